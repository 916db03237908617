//! Portcullis authenticates a WebSocket upgrade before it happens, and keeps enforcing that
//! decision while the socket is open.
//!
//! It is a tower middleware stack for axum, and for any other tower service over [`http`].
//! [`AuthLayer`] reads the credential from wherever the client can put it, removes it from the
//! request, asks a verifier which user it belongs to, and gives the handler an [`Identity`]:
//!
//! ```
//! use axum::{Router, response::Response, routing::any};
//! use portcullis::{AuthLayer, GuardedUpgrade, Identity, StaticTokens};
//!
//! let auth = AuthLayer::new(StaticTokens::new([("alice", "s3cret")])?);
//! let app: Router = Router::new().route("/ws", any(ws)).route_layer(auth);
//!
//! async fn ws(identity: Identity, upgrade: GuardedUpgrade) -> Response {
//!     upgrade.on_upgrade(async move |mut socket| {
//!         // Ends when the client leaves, or the session expires or is revoked.
//!         while let Some(Ok(message)) = socket.recv().await {
//!             let _ = socket.send(message).await;
//!         }
//!     })
//! }
//! # Ok::<_, portcullis::verify::StaticTokenError>(())
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod admission;
pub mod carrier;
pub mod clock;
pub mod close;
mod counts;
#[cfg(feature = "dialects")]
pub mod dialect;
pub mod identity;
#[cfg(feature = "cookie")]
pub mod links;
mod peer;
mod profile;
pub mod refusal;
mod require_scope;
pub mod scope;
#[cfg(feature = "cookie")]
pub mod seal;
pub mod session;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "tickets")]
pub mod ticket;
pub mod trace;
mod upgrade;
pub mod verify;
#[cfg(feature = "axum")]
pub mod ws;

pub use portcullis_core::{Claims, Credential, Identity, Scopes, Verify, VerifyError};

pub use self::admission::layer::AuthLayer;
#[cfg(feature = "cookie")]
pub use self::links::layer::PersistTokenLayer;
pub use self::profile::Profile;
pub use self::require_scope::RequireScopeLayer;
pub use self::session::handle::Session;
pub use self::session::sessions::Sessions;
#[cfg(feature = "tickets")]
pub use self::ticket::tickets::Tickets;
pub use self::verify::any_of::any_of;
pub use self::verify::ext::VerifyExt;
pub use self::verify::static_tokens::StaticTokens;
#[cfg(feature = "axum")]
pub use self::ws::socket::GuardedSocket;
#[cfg(feature = "axum")]
pub use self::ws::upgrade::GuardedUpgrade;
