//! The layers of portcullis together with those of tower-http, and in front of WebSocket servers that
//! are not axum's. Everything runs in this process.

mod cors;
mod graphql;
mod order;
mod socketio;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use axum::extract::{OriginalUri, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::testing::TestClient;

/// Returns a client for each version of HTTP.
fn clients(app: axum::Router) -> [TestClient; 2] {
    let client = TestClient::new(app);
    [client.clone(), client.http2()]
}

/// Returns the subprotocol that contains `token` in the default profile.
fn entry(token: &str) -> String {
    format!("v1.bearer.{}", URL_SAFE_NO_PAD.encode(token))
}

/// Records every request that reaches it, with everything that a handler could read.
#[derive(Clone, Debug, Default)]
struct Probe(Arc<Mutex<Vec<String>>>);

impl Probe {
    fn requests(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn text(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

/// The middleware of a [`Probe`], for axum's `from_fn_with_state`.
async fn record(State(probe): State<Probe>, request: Request, next: Next) -> Response {
    let original = request.extensions().get::<OriginalUri>();
    let mut text = format!("{} {original:?} {request:?}", request.uri());
    for (name, value) in request.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        write!(text, "\n{name}: {value}").unwrap();
    }
    probe.0.lock().unwrap().push(text);
    next.run(request).await
}
