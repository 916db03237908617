//! A server for clients that authenticate with a message.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::any;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use portcullis::dialect::Dialect;
use portcullis::testing::{FakeClock, TestClient, TestSocket};
use portcullis::{AuthLayer, GuardedUpgrade, Identity, VerifyError, clock::Clock};

use super::client::upgrade;
use super::{HOUR, HttpVersion, Tokens};

/// Sends `hello` once the client has authenticated, then echoes.
///
/// Its clock stands still, one hour before its tokens expire.
pub(crate) struct MessageAuthServer {
    pub(crate) app: Router,
    pub(crate) tokens: Tokens,
    calls: Arc<AtomicUsize>,
}

impl MessageAuthServer {
    pub(crate) fn new(
        dialect: impl Dialect,
        layer: impl FnOnce(AuthLayer<Tokens>) -> AuthLayer<Tokens>,
    ) -> Self {
        let (clock, tokens) = (FakeClock::new(), Tokens::default());
        for (token, subject) in [("good", "alice"), ("bob", "bob")] {
            let identity = Identity::builder(subject).expires_at(clock.now() + HOUR);
            tokens.set(token, Ok(identity.build()));
        }
        tokens.set("expired", Err(VerifyError::Expired));
        tokens.set("forbidden", Err(VerifyError::Forbidden));
        tokens.set("unavailable", Err(VerifyError::unavailable()));
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

    pub(crate) fn client(&self, version: HttpVersion) -> TestClient {
        version.client(self.app.clone())
    }

    pub(crate) async fn open(&self, version: HttpVersion) -> TestSocket {
        let handshake = self.client(version).websocket("/ws");
        handshake.connect().await.unwrap()
    }

    /// Opens a socket as a byte stream. Over HTTP/2 every write is a DATA frame of its own.
    pub(crate) async fn open_raw(&self, version: HttpVersion) -> TokioIo<Upgraded> {
        let client = self.client(version);
        upgrade(client.pipe(), client.websocket("/ws").into_request()).await
    }

    /// How many times the handler has received a socket.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}
