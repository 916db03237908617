//! Tickets: credentials for the next handshake, and for nothing else.
//!
//! A client that can send a header in an HTTP request but not in a handshake mints a ticket with
//! the one and opens the socket with the other. A ticket has 128 random bits, is good for thirty
//! seconds at most, for one time, and for the paths that it was minted for. So one that ends up in
//! a log is worth nothing.
//!
//! ```
//! use std::sync::Arc;
//! use axum::{Router, response::Response, routing::{any, post}};
//! use portcullis::{carrier::QueryCarrier, ws::mint_handler, AuthLayer, GuardedUpgrade, Profile, StaticTokens, Tickets};
//!
//! let tokens = Arc::new(StaticTokens::new([("alice", "s3cret")])?);
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
//! [`Tickets`] is a verifier, so [`any_of`](crate::any_of) puts it beside others, and a dialect
//! takes a ticket as it takes a token. Put it last: it is asked about whatever the others do not
//! know. Do not cache it.
//!
//! A ticket is taken out of its store before the socket opens. If that fails afterwards, or the
//! path was wrong, the ticket is gone all the same, and the client mints another one.

mod memory;
mod path;
mod record;
pub(crate) mod tickets;

pub use self::memory::MemoryTickets;
pub(crate) use self::tickets::Tickets;
pub use self::tickets::{Binding, MintError, Ticket};
