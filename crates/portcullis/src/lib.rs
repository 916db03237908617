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
//!
//! Use `any` and not `get`: over HTTP/2, the method of an upgrade is `CONNECT`.
//!
//! # From a browser
//!
//! A script in a browser cannot set headers on a WebSocket, so it sends the token as a subprotocol
//! next to the subprotocol of the application. `AuthLayer` removes it before the handler runs.
//!
//! ```js
//! const bytes = new TextEncoder().encode(token);
//! const base64url = btoa(String.fromCharCode(...bytes))
//!   .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
//! new WebSocket("wss://app.example.com/ws", ["chat.v2", "v1.bearer." + base64url]);
//! ```
//!
//! The handler has to select `chat.v2` with
//! [`GuardedUpgrade::protocols`](crate::GuardedUpgrade::protocols), or the browser fails the
//! connection.
//!
//! # Your own tokens
//!
//! A verifier maps a credential to an identity. It is a type that implements [`Verify`], or a
//! closure. It can attach claims of any type, which handlers read with [`Claims`]:
//!
//! ```
//! use portcullis::{AuthLayer, Claims, Credential, Identity, VerifyError};
//!
//! struct Member {
//!     team: String,
//! }
//!
//! # async fn look_up(_: &str) -> Option<(String, Member)> { None }
//! let auth = AuthLayer::new(async |credential: Credential| {
//!     match look_up(credential.expose_secret()).await {
//!         Some((user, member)) => Ok(Identity::builder(user).claims(member).build()),
//!         None => Err(VerifyError::Invalid),
//!     }
//! });
//!
//! async fn team(member: Claims<Member>) -> String {
//!     member.team.clone()
//! }
//! ```
//!
//! JSON Web Tokens are verified by the crate `portcullis-jwt`:
//!
//! ```
//! use portcullis::AuthLayer;
//! use portcullis_jwt::{Algorithm, Jwt, Key};
//!
//! # fn build(public_key: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let key = Key::from_pem(Algorithm::EdDSA, public_key)?;
//! let jwt = Jwt::builder(key).issuer("https://login.example.com").audience("chat").build()?;
//! let auth = AuthLayer::new(jwt);
//! # Ok(()) }
//! ```
//!
//! # Where to look
//!
//! | to | see |
//! |---|---|
//! | combine verifiers, or cache one | [`any_of`], [`VerifyExt`] |
//! | choose the carriers of credentials | [`Profile`], [`carrier`] |
//! | log a browser in with a link | `PersistTokenLayer`, `seal` |
//! | list, renew, revoke and limit open sockets | [`Sessions`], [`session`] |
//! | issue a credential for one handshake | `Tickets`, `ticket` |
//! | accept credentials in messages | `dialect` |
//! | require scopes on a route | [`RequireScopeLayer`] |
//! | answer refusals in your own way | [`AuthLayer::respond`], [`refusal`] |
//! | test routes | `testing` |
//!
//! # Features
//!
//! A feature adds API and never changes a decision.
//!
//! | feature | adds | default |
//! |---|---|---|
//! | `axum` | extractors, `GuardedUpgrade`, `GuardedSocket`, `renewal_handler` | yes |
//! | `cookie` | `SealedCookie` and `PersistTokenLayer` | yes |
//! | `dialects` | `AuthLayer::dialect`: credentials in messages | yes |
//! | `tickets` | `Tickets` and `mint_handler` | yes |
//! | `http2` | WebSockets over HTTP/2, in `axum::serve` and in `testing` | no |
//! | `testing` | a client over an in-memory pipe, a clock that tests set, verifiers | no |

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
