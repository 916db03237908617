//! Tickets: single-use credentials for the next handshake.
//!
//! A client that can set headers on an HTTP request but not on a handshake mints a ticket with the
//! request, and opens the socket with the ticket. A ticket has 128 random bits. It is valid for at
//! most thirty seconds, for one handshake, and for the paths that it was minted for. A ticket in a
//! log is therefore useless to an attacker.
//!
//! ```
//! use std::sync::Arc;
//! use axum::{Router, response::Response, routing::{any, post}};
//! use portcullis::{carrier::QueryCarrier, ws::mint_handler};
//! use portcullis::{AuthLayer, GuardedUpgrade, Profile, StaticTokens, Tickets};
//!
//! let tokens = StaticTokens::new([("alice", "s3cret")])?;
//! let tickets: Arc<Tickets> = Arc::new(Tickets::in_memory(["/ws"]));
//! let by_ticket = Profile::new("ticket").carrier(QueryCarrier::named("ticket"));
//!
//! let app: Router = Router::new()
//!     .route("/ticket", post(mint_handler(&tickets)))
//!     .route_layer(AuthLayer::new(tokens))
//!     .merge(
//!         Router::new()
//!             .route("/ws", any(ws))
//!             .route_layer(AuthLayer::new(tickets).profile(by_ticket)),
//!     );
//!
//! async fn ws(upgrade: GuardedUpgrade) -> Response {
//!     upgrade.on_upgrade(async |_socket| {})
//! }
//! # Ok::<_, portcullis::verify::StaticTokenError>(())
//! ```
//!
//! [`Tickets`](crate::Tickets) is a verifier. Combine it with others in
//! [`any_of`](crate::any_of), as the last one, because it redeems each credential that reaches it.
//! Do not cache it. A dialect accepts tickets like other tokens.
//!
//! Verification removes the ticket from its store before the socket opens. If the handshake then
//! fails, or the path is wrong, the ticket is used up, and the client mints another one.

mod memory;
mod path;
mod record;
pub(crate) mod tickets;

pub use self::memory::MemoryTickets;
pub use self::tickets::{Binding, MintError, Ticket};
