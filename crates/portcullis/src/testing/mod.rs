//! A test kit: a client without a network, a clock to turn, verifiers that do as they are told.
//!
//! [`TestClient`] speaks to an application through a pipe in memory. At both of its ends is what
//! is there in production: hyper's client and hyper's server, HTTP/1.1 and HTTP/2, upgrades and
//! WebSockets included. So a test sees the status, the headers and the socket that a client would
//! see, and needs no port.
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
//!
//! let http1 = TestClient::new(app);
//! let http2 = http1.clone().http2();
//! for client in [http1, http2] {
//!     let handshake = client.websocket("/ws").bearer("t0k").protocols(["chat"]);
//!     let mut socket = handshake.connect().await.unwrap();
//!     assert_eq!(socket.protocol(), Some("chat"));
//!     assert_eq!(socket.text().await, "Hello, alice!");
//!
//!     let refused = client.websocket("/ws").connect().await.unwrap_err();
//!     assert_eq!(refused.status(), 401);
//! }
//! # }
//! ```
//!
//! # Time
//!
//! A [`FakeClock`] stands still until it is turned. It is the wall clock only: what *waits*, such
//! as the time limit of a verifier, waits on tokio's clock, which a test turns with
//! `tokio::time::pause` and `tokio::time::advance`.

mod client;
mod clock;
mod connection;
mod request;
mod response;
mod socket;
mod verifiers;

pub use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

pub use self::client::TestClient;
pub use self::clock::FakeClock;
pub use self::request::TestRequest;
pub use self::response::TestResponse;
pub use self::socket::TestSocket;
pub use self::verifiers::{Accepting, Counting, Refusing, Silent};
