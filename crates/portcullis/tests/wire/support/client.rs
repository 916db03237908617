//! Clients over both versions of HTTP, and parts of their requests.

use axum::Router;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderName, Method, Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis::session::SessionId;
use portcullis::testing::{TestClient, TestRequest, TestResponse, TestSocket};
use tokio::io::{AsyncRead, AsyncWrite};

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HttpVersion {
    Http1,
    Http2,
}

impl HttpVersion {
    pub(crate) const ALL: [Self; 2] = [Self::Http1, Self::Http2];

    pub(crate) fn client(self, app: Router) -> TestClient {
        match self {
            Self::Http1 => TestClient::new(app),
            Self::Http2 => TestClient::new(app).http2(),
        }
    }
}

/// Sends a handshake over `io` and returns the byte stream of the open socket: what follows a 101,
/// or the DATA frames of an extended CONNECT (RFC 8441 §5).
///
/// # Panics
///
/// If the server refuses the handshake.
pub(super) async fn upgrade<I>(io: I, request: Request<Bytes>) -> TokioIo<Upgraded>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let io = TokioIo::new(io);
    let is_connect = request.method() == Method::CONNECT;
    let request: Request<Full<Bytes>> = request.map(Full::new);
    let (response, expected) = if is_connect {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        // An extended CONNECT waits for the server's SETTINGS (RFC 8441 §3).
        while !connection.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
        tokio::spawn(connection);
        (sender.send_request(request).await, StatusCode::OK)
    } else {
        let (mut sender, connection) = http1::handshake(io).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        let response = sender.send_request(request).await;
        (response, StatusCode::SWITCHING_PROTOCOLS)
    };
    let response = response.unwrap();
    assert_eq!(response.status(), expected);
    TokioIo::new(hyper::upgrade::on(response).await.unwrap())
}

/// The bytes of a valid HTTP/1.1 handshake, with more header lines if there are any.
pub(crate) fn raw_handshake(request_line: &str, lines: &str) -> String {
    format!(
        "{request_line}\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
    )
}

/// The subprotocol entry that contains `token` in the default profile.
pub(crate) fn bearer_entry(token: &str) -> String {
    format!("v1.bearer.{}", URL_SAFE_NO_PAD.encode(token))
}

/// Adds a header in several lines.
pub(crate) fn with_lines(request: TestRequest, name: &HeaderName, lines: &[&str]) -> TestRequest {
    lines.iter().fold(request, |request, line| {
        request.header(name, line.as_bytes())
    })
}

/// A request to the renewal endpoint at `/renew`.
pub(crate) fn renew_request(client: &TestClient, token: &str, session: SessionId) -> TestRequest {
    let body = format!(r#"{{"session":"{session}"}}"#);
    client.post("/renew").bearer(token).body(body)
}

/// The status of a handshake as text: `open`, or that of the refusal.
pub(crate) fn handshake_status(connected: &Result<TestSocket, TestResponse>) -> String {
    match connected {
        Ok(_) => "open".to_owned(),
        Err(response) => response.status().as_u16().to_string(),
    }
}
