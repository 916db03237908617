//! Portcullis decides who may open a WebSocket before it opens.
//!
//! It is a tower middleware stack for axum and for everything else that is a tower service over
//! [`http`]. One layer reads the credential wherever the client can put it, takes it out of the
//! request, asks a verifier whose it is, and hands the handler an [`Identity`]:
//!
//! ```
//! use axum::{Router, response::Response, routing::any};
//! use portcullis::{AuthLayer, GuardedUpgrade, StaticTokens};
//!
//! let auth = AuthLayer::new(StaticTokens::new([("alice", "s3cret")])?);
//! let app: Router = Router::new().route("/ws", any(ws)).route_layer(auth);
//!
//! async fn ws(upgrade: GuardedUpgrade) -> Response {
//!     upgrade.on_upgrade(async move |mut socket| {
//!         while let Some(Ok(message)) = socket.recv().await {
//!             let _ = socket.send(message).await;
//!         }
//!     })
//! }
//! # Ok::<_, portcullis::verify::StaticTokenError>(())
//! ```
//!
//! # Where to look
//!
//! | you want | look at |
//! |---|---|
//! | to admit by a token, a JWT, a closure | [`AuthLayer`], [`verify`], the crate `portcullis-jwt` |
//! | to combine verifiers, or to cache one | [`any_of`], [`VerifyExt`] |
//! | to choose where credentials may ride | [`Profile`], [`carrier`] |
//! | a link with `?token=` that logs a browser in | [`PersistTokenLayer`], [`seal`] |
//! | to list, renew, revoke and limit open sockets | [`Sessions`], [`session`] |
//! | a credential for the next handshake alone | [`Tickets`], [`ticket`] |
//! | credentials spoken in messages | [`dialect`] |
//! | to ask for scopes on a route | [`RequireScopeLayer`] |
//! | to answer refusals in your own way | [`refusal`] |
//! | to test your routes | [`testing`] |
//!
//! # Features
//!
//! A feature adds API and never changes what is decided.
//!
//! | feature | adds | default |
//! |---|---|---|
//! | `axum` | the extractors, [`GuardedUpgrade`] and [`GuardedSocket`]; also keeps axum's `OriginalUri` free of query tokens | yes |
//! | `testing` | [`testing`]: a client over an in-memory pipe, a clock to turn, verifiers that accept or refuse | no |

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod auth;
#[cfg(feature = "axum")]
mod axum;
pub mod carrier;
#[cfg_attr(
    not(feature = "axum"),
    allow(dead_code, reason = "only the sockets of axum speak dialects")
)]
pub mod dialect;
mod peer;
pub mod persist;
mod profile;
pub mod refusal;
pub mod scope;
pub mod seal;
#[cfg_attr(
    not(feature = "axum"),
    allow(dead_code, reason = "only the sockets of axum speak dialects")
)]
pub mod session;
#[cfg(feature = "testing")]
pub mod testing;
pub mod ticket;
mod trace;
pub mod verify;

pub use portcullis_core::{
    Carrier, CarrierKind, Clock, Credential, Follower, Handshake, Identity, IdentityBuilder,
    MissingAuthLayer, Proof, Revocation, RevocationStore, Revoked, Scheme, Scopes, StoreError,
    SystemClock, TicketKey, TicketStore, Verify, VerifyError,
};

pub use self::auth::{AllowedOrigin, AuthLayer, InvalidOrigin};
#[cfg(feature = "axum")]
pub use self::axum::{
    GuardedSocket, GuardedUpgrade, GuardedUpgradeRejection, RefusedInBand, mint_handler,
    renewal_handler,
};
pub use self::persist::{LinkPolicy, PersistTokenLayer};
pub use self::profile::Profile;
pub use self::refusal::{Refusal, RefusalKind};
pub use self::scope::RequireScopeLayer;
pub use self::session::{CloseCodes, CloseFrame, Session, Sessions};
pub use self::ticket::Tickets;
pub use self::trace::redacting_span;
pub use self::verify::{StaticToken, StaticTokens, VerifyExt, any_of};
