//! A test kit: a client without a network, a clock that the test sets, and simple verifiers.
//!
//! [`TestClient`] sends requests to an application through an in-memory pipe. hyper's client and
//! hyper's server are at its ends, as in production, with upgrades and WebSockets. A test sees the
//! status, the headers and the socket that a real client would see, and needs no port.
//!
//! ```
//! use axum::{Router, response::Response, routing::any};
//! use portcullis::testing::{Accepting, TestClient};
//! use portcullis::{AuthLayer, GuardedUpgrade, Identity};
//!
//! async fn greet(upgrade: GuardedUpgrade) -> Response {
//!     upgrade.protocols(["chat"]).on_upgrade(async move |mut socket| {
//!         let greeting = format!("Hello, {}!", socket.identity().subject());
//!         let _ = socket.send(greeting.into()).await;
//!     })
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let auth = AuthLayer::new(Accepting::token("t0k", Identity::new("alice")));
//! let app: Router = Router::new().route("/ws", any(greet)).route_layer(auth);
//! let client = TestClient::new(app);
//!
//! let handshake = client.websocket("/ws").bearer("t0k").protocols(["chat"]);
//! let mut socket = handshake.connect().await.unwrap();
//! assert_eq!(socket.protocol(), Some("chat"));
//! assert_eq!(socket.text().await, "Hello, alice!");
//!
//! let refused = client.websocket("/ws").connect().await.unwrap_err();
//! assert_eq!(refused.status(), 401);
//! # }
//! ```
//!
//! # HTTP/2
//!
//! With the feature `http2`, `TestClient::http2` returns a client that uses HTTP/2. Run each test
//! over both versions if your server accepts both: over HTTP/2 a WebSocket is a `CONNECT`.
//!
//! # Time
//!
//! [`FakeClock`] replaces the wall clock only. Timeouts, for example that of a verifier, use
//! tokio's clock, which a test controls with `tokio::time::pause` and `tokio::time::advance`.

mod client;
mod clock;
mod connection;
mod message;
mod request;
mod response;
mod socket;
mod verifiers;

pub use self::client::TestClient;
pub use self::clock::FakeClock;
pub use self::message::{Message, SocketError};
pub use self::request::TestRequest;
pub use self::response::TestResponse;
pub use self::socket::TestSocket;
pub use self::verifiers::{Accepting, Counting, Refusing, Silent};
