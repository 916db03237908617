//! A service of hyper with tokio-tungstenite, without axum.
//!
//! ```sh
//! cargo run -p portcullis --example hyper_service
//!
//! curl -i -m 1 -H 'Authorization: Bearer s3cret' \
//!   -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
//!   -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' http://127.0.0.1:3000/
//! ```

use std::error::Error;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use portcullis::{AuthLayer, Session, StaticTokens};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role};
use tower::{Layer, service_fn};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);

    let auth = AuthLayer::new(StaticTokens::new([("alice", "s3cret")])?);
    let service = auth.layer(service_fn(serve));
    loop {
        let (stream, peer) = listener.accept().await?;
        let service = service.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            // The address of the client, for `SessionInfo::peer`.
            request.extensions_mut().insert(peer);
            tower::ServiceExt::oneshot(service.clone(), request)
        });
        let connection = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
            .with_upgrades();
        tokio::spawn(connection);
    }
}

/// Runs for admitted requests only.
async fn serve(mut request: Request<Incoming>) -> http::Result<Response<Full<Bytes>>> {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    let Some(accept) = key.map(|key| derive_accept_key(key.as_bytes())) else {
        return Ok(Response::new(Full::from("Hello!")));
    };
    let Ok(session) = Session::open(request.extensions_mut()) else {
        // Too many sessions, or the credential was revoked a moment ago.
        return Response::builder().status(503).body(Full::default());
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(io) = upgrade.await {
            let io = TokioIo::new(io);
            let socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
            echo(session, socket).await;
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept)
        .body(Full::default())
}

async fn echo(session: Session, socket: WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>) {
    // The session closes the socket at its end, with a frame that this closure makes.
    let mut socket = session.guard(socket, |frame| {
        let reason = frame.reason().to_owned().into();
        Message::Close(Some(CloseFrame {
            code: frame.code().into(),
            reason,
        }))
    });
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() && socket.send(message).await.is_err() {
            return;
        }
    }
}
