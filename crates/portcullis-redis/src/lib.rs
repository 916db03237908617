//! What the machines of one [portcullis] deployment share, in Redis: tickets, revocations, and what
//! verifiers have answered.
//!
//! ```
//! use portcullis_redis::{Redis, RedisRevocations, RedisTickets};
//!
//! let redis = Redis::open("redis://127.0.0.1:6379")?;
//! let tickets = RedisTickets::new(&redis); // minted by one machine, redeemed by another
//! let revocations = RedisRevocations::new(&redis); // made by one, heard by all
//! # Ok::<_, portcullis_redis::ConfigError>(())
//! ```
//!
//! | type | is a | what goes where |
//! |---|---|---|
//! | [`RedisTickets`] | [`TicketStore`](portcullis_core::TicketStore) | `portcullis:ticket:…`, a key for each |
//! | [`RedisRevocations`] | [`RevocationStore`](portcullis_core::RevocationStore) | `portcullis:{revocations}`, a sorted set and a channel |
//! | [`RedisVerifications`] | [`Verify`](portcullis_core::Verify) around another one | `portcullis:verification:…`, a key for each |
//!
//! It speaks to Redis 7 or Valkey, to [one server or a cluster](Redis#urls), and to primaries only.
//!
//! # While the store is away
//!
//! Away is: it does not answer within the [deadline](RedisBuilder::deadline), it starts, it has
//! become a replica, or it refuses us.
//!
//! * **Tickets** are neither minted nor redeemed: 503. One whose redemption got no answer may be
//!   spent.
//! * **Verifications** ask their verifier, as they would without this crate.
//! * **Admissions** by other credentials go on. They are held against the revocations that each
//!   machine has heard of.
//! * **Revocations** by this machine fail with
//!   [`Unavailable`](portcullis_core::StoreError::Unavailable): not known to be kept, so make them
//!   again. Those of others are not heard.
//! * **Open sessions** live on for the revocation lag that portcullis is configured with. When it
//!   has passed and the store is still away, they stay or are closed, as configured.
//!
//! When the store is back, each machine reads all revocations before it trusts its own picture
//! again, so one that was made meanwhile takes effect then. Nothing that was acknowledged is lost,
//! provided that Redis keeps what it acknowledges; see [`RedisRevocations`]. A replica that takes over
//! may not have what its primary acknowledged last, unless the stores
//! [wait for it](RedisRevocations::wait_for_replicas).
//!
//! # What Redis is trusted with
//!
//! It sees no credential: tickets and verifications go by digests, and a ticket's record is sealed
//! to the ticket. It does see the subjects of revocations, and the identities of verifications.
//! Whoever can write to it can revoke, delete what was revoked, and make tickets be refused. Give it
//! a password, and this program a user of its own:
//!
//! ```text
//! ACL SETUSER portcullis on >PASSWORD resetkeys ~portcullis:* resetchannels &portcullis:*
//!     -@all +get +set +getdel +eval +zadd +zrange +zremrangebyscore +incr
//!     +publish +subscribe +wait +asking +cluster|slots
//! ```
//!
//! Set `maxmemory-policy noeviction`, which is the default, or a `volatile-…` one: with `allkeys-…`
//! Redis forgets revocations when it is full.
//!
//! # Features
//!
//! | feature | adds | default |
//! |---|---|---|
//! | `tls` | `rediss://` and `rediss+cluster://` URLs, and `RedisBuilder::root_certificate` | no |
//!
//! [portcullis]: https://docs.rs/portcullis

#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod client;
mod node;
mod revocations;
mod servers;
mod slot;
mod tickets;
mod verifications;

pub use client::{ConfigError, Redis, RedisBuilder};
pub use revocations::RedisRevocations;
pub use tickets::RedisTickets;
pub use verifications::{RedisVerifications, VerificationKey};
