//! A server whose clients say who they are in a message, and a client that writes every byte of its
//! frames itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use bytes::Bytes;
use http::{Request, StatusCode};
use hyper::client::conn::{http1, http2};
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis::dialect::Dialect;
use portcullis::testing::{FakeClock, TestClient, TestSocket};
use portcullis::{AuthLayer, Clock, GuardedUpgrade, Identity, VerifyError};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::live::Tokens;
use crate::site::Over;

/// Says `hello` once it knows who is there, and echoes. Its clock stands still, an hour before its
/// tokens end.
pub(crate) struct Greeter {
    pub(crate) app: Router,
    pub(crate) tokens: Tokens,
    calls: Arc<AtomicUsize>,
}

impl Greeter {
    pub(crate) fn new(
        dialect: impl Dialect,
        layer: impl FnOnce(AuthLayer<Tokens>) -> AuthLayer<Tokens>,
    ) -> Self {
        let (clock, tokens) = (FakeClock::new(), Tokens::default());
        let hour = Duration::from_secs(3_600);
        for (token, subject) in [("good", "alice"), ("bob", "bob")] {
            let identity = Identity::builder(subject).expires_at(clock.now() + hour);
            tokens.set(token, Ok(identity.build()));
        }
        tokens.set("past", Err(VerifyError::Expired));
        tokens.set("forbidden", Err(VerifyError::Forbidden));
        tokens.set("down", Err(VerifyError::unavailable()));
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let ws = move |upgrade: GuardedUpgrade| {
            let calls = Arc::clone(&counted);
            async move {
                upgrade.on_upgrade(async move |mut socket| {
                    calls.fetch_add(1, Ordering::SeqCst);
                    let _ = socket.send("hello".into()).await;
                    while let Some(Ok(message)) = socket.recv().await {
                        if socket.send(message).await.is_err() {
                            return;
                        }
                    }
                })
            }
        };
        let auth = AuthLayer::new(tokens.clone()).clock(clock);
        let auth = layer(auth.dialect(dialect));
        let app = Router::new().route("/ws", any(ws)).route_layer(auth);
        Self { app, tokens, calls }
    }

    pub(crate) fn client(&self, over: Over) -> TestClient {
        over.client(self.app.clone())
    }

    pub(crate) async fn open(&self, over: Over) -> TestSocket {
        self.client(over).websocket("/ws").connect().await.unwrap()
    }

    /// A socket as bytes: what follows a 101, or the DATA of an extended CONNECT (RFC 8441 §5).
    /// Over HTTP/2 every write is a DATA frame of its own.
    pub(crate) async fn open_raw(&self, over: Over) -> TokioIo<Upgraded> {
        let client = self.client(over);
        let request = client.websocket("/ws").into_request();
        let request = request.map(|_: Bytes| String::new());
        let pipe = TokioIo::new(client.pipe());
        let (response, opens) = match over {
            Over::Http1 => {
                let (mut sender, connection) = http1::handshake(pipe).await.unwrap();
                tokio::spawn(connection.with_upgrades());
                let sent: Request<String> = request;
                (
                    sender.send_request(sent).await,
                    StatusCode::SWITCHING_PROTOCOLS,
                )
            }
            Over::Http2 => {
                let exec = TokioExecutor::new();
                let (mut sender, connection) = http2::handshake(exec, pipe).await.unwrap();
                // An extended CONNECT waits for the server's SETTINGS (RFC 8441 §3).
                while !connection.is_extended_connect_protocol_enabled() {
                    tokio::task::yield_now().await;
                }
                tokio::spawn(connection);
                (sender.send_request(request).await, StatusCode::OK)
            }
        };
        let response = response.unwrap();
        assert_eq!(response.status(), opens);
        TokioIo::new(hyper::upgrade::on(response).await.unwrap())
    }

    /// How often the handler has been called.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

/// A frame of a client, masked with zeros (RFC 6455 §5.3): its first byte, and at most 125 bytes.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126, "a length of one byte");
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

/// The next frame of a server in words: `text hello`, `close 3000 why`; `gone` if there is none.
pub(crate) async fn heard(reader: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = [0; 2];
    if reader.read_exact(&mut head).await.is_err() {
        return "gone".to_owned();
    }
    let mut payload = vec![0; usize::from(head[1])];
    if reader.read_exact(&mut payload).await.is_err() {
        return "gone".to_owned();
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match (head[0], &payload[..]) {
        (0x81, payload) => format!("text {}", text(payload)),
        (0x82, payload) => format!("binary {}", text(payload)),
        (0x88, []) => "close".to_owned(),
        (0x88, [high, low, reason @ ..]) => {
            let code = u16::from_be_bytes([*high, *low]);
            format!("close {code} {}", text(reason))
        }
        (0x8a, payload) => format!("pong {}", text(payload)),
        (first, payload) => format!("{first:#x} {}", text(payload)),
    }
}
