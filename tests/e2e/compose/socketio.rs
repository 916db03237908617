//! socketioxide behind `AuthLayer`. It is a tower layer that responds to `/socket.io` itself, and its
//! handlers find the identity in the extensions of the request.

use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::middleware::from_fn_with_state;
use futures_util::{SinkExt as _, StreamExt as _};
use portcullis::testing::Accepting;
use portcullis::{AuthLayer, Identity};
use portcullis_e2e::new_secret;
use socketioxide::SocketIo;
use socketioxide::extract::{HttpExtension, SocketRef};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{Probe, entry, record};

#[tokio::test]
async fn the_handler_gets_the_identity() {
    let token = new_secret();
    let server = Server::start(&token).await;
    let mut request = server.handshake();
    let bearer = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    request.headers_mut().insert(header::AUTHORIZATION, bearer);
    let (socket, _) = connect_async(request).await.unwrap();
    assert_is_greeted(socket).await;
    assert_eq!(server.probe.requests(), 1);
    assert!(!server.probe.text().contains(&token));
}

/// socketioxide selects no subprotocol, so `AuthLayer` selects the marker, as a browser requires.
#[tokio::test]
async fn a_page_can_send_the_token_as_a_subprotocol() {
    let token = new_secret();
    let server = Server::start(&token).await;
    let mut request = server.handshake();
    let offered = HeaderValue::from_str(&format!("v1.bearer, {}", entry(&token))).unwrap();
    let headers = request.headers_mut();
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, offered);
    let (socket, response) = connect_async(request).await.unwrap();
    assert_eq!(
        response.headers()[header::SEC_WEBSOCKET_PROTOCOL],
        "v1.bearer"
    );
    assert_is_greeted(socket).await;
    assert!(!server.probe.text().contains(&entry(&token)));
}

#[tokio::test]
async fn a_request_without_a_token_does_not_reach_socketioxide() {
    let server = Server::start(&new_secret()).await;
    match connect_async(server.handshake()).await {
        Err(tungstenite::Error::Http(response)) => {
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
    let polling = Request::get(format!("http{}polling", server.address))
        .body(String::new())
        .unwrap();
    let response = portcullis_e2e::fetch(polling).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(server.probe.requests(), 0);
}

/// Asserts that Engine.IO opens, that Socket.IO connects, and that the handler sends its greeting.
async fn assert_is_greeted(mut socket: Socket) {
    let opened = text(&mut socket).await;
    assert!(opened.starts_with("0{\"sid\":"), "{opened}");
    socket.send(Message::text("40")).await.unwrap();
    let connected = text(&mut socket).await;
    assert!(connected.starts_with("40{\"sid\":"), "{connected}");
    assert_eq!(text(&mut socket).await, "42[\"hello\",\"alice\"]");
}

/// Returns the next packet that is not a ping of Engine.IO, and answers the pings.
async fn text(socket: &mut Socket) -> String {
    loop {
        let message = socket.next().await.expect("a message").unwrap();
        match message.into_text().unwrap().as_str() {
            "2" => socket.send(Message::text("3")).await.unwrap(),
            text => return text.to_owned(),
        }
    }
}

async fn greet(socket: SocketRef, HttpExtension(identity): HttpExtension<Identity>) {
    socket.emit("hello", identity.subject()).unwrap();
}

/// `AuthLayer` cannot close the socket later, and reports this once.
#[tokio::test]
async fn the_log_reports_that_the_sockets_are_not_guarded() {
    let token = new_secret();
    let server = Server::start(&token).await;
    let log = Log::default();
    {
        // The server runs on this thread, too.
        let _guard = log.capture();
        for _ in 0..2 {
            let mut request = server.handshake();
            let bearer = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
            request.headers_mut().insert(header::AUTHORIZATION, bearer);
            let (socket, _) = connect_async(request).await.unwrap();
            assert_is_greeted(socket).await;
        }
    }
    let text = log.text();
    let warning = "a WebSocket that is admitted but not guarded";
    assert_eq!(text.matches(warning).count(), 1, "{text}");
    assert!(
        text.contains("WARN") && text.contains("`Session::guard`"),
        "{text}"
    );
}

/// What this thread logs at the level WARN and above.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn capture(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Server {
    /// The URL without `ws` or `http`, up to the name of the transport.
    address: String,
    /// The probe between admission and socketioxide.
    probe: Probe,
}

impl Server {
    async fn start(token: &str) -> Self {
        let (layer, io) = SocketIo::new_layer();
        io.ns("/", greet);
        let probe = Probe::default();
        let auth = AuthLayer::new(Accepting::token(token, Identity::new("alice")));
        // socketioxide responds outside routes, so this uses `layer` instead of `route_layer`.
        let app: Router = Router::new()
            .layer(layer)
            .layer(from_fn_with_state(probe.clone(), record))
            .layer(auth);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // The task ends with the runtime of the test.
        tokio::spawn(axum::serve(listener, app).into_future());
        Self {
            address: format!("://{address}/socket.io/?EIO=4&transport="),
            probe,
        }
    }

    fn handshake(&self) -> tungstenite::handshake::client::Request {
        let address = format!("ws{}websocket", self.address);
        address.into_client_request().unwrap()
    }
}
