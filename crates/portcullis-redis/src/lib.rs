//! Shares the tickets, revocations and verification results of [portcullis] between machines,
//! through Redis or Valkey.
//!
//! ```
//! use portcullis_redis::{Redis, RedisRevocations, RedisTickets};
//!
//! let redis = Redis::open("redis://127.0.0.1:6379")?;
//! let tickets = RedisTickets::new(&redis); // minted by one machine, redeemed by another
//! let revocations = RedisRevocations::new(&redis); // made by one machine, enforced by all
//! # Ok::<_, portcullis_redis::ConfigError>(())
//! ```
//!
//! | type | implements | keys in Redis |
//! |---|---|---|
//! | [`RedisTickets`] | [`TicketStore`](portcullis_core::TicketStore) | `portcullis:ticket:…`, one for each ticket |
//! | [`RedisRevocations`] | [`RevocationStore`](portcullis_core::RevocationStore) | `portcullis:{revocations}`, a sorted set and a channel |
//! | [`RedisVerifications`] | [`Verify`](portcullis_core::Verify), around another verifier | `portcullis:verification:…`, one for each result |
//!
//! Redis 7 or Valkey is required, as [one server or a cluster](Redis#urls). Commands go to primaries
//! only.
//!
//! # If Redis is unavailable
//!
//! Redis counts as unavailable if it does not respond within the [deadline](RedisBuilder::deadline),
//! if it is loading its data, if it is a replica, or if it refuses access.
//!
//! * **Tickets** can be neither minted nor redeemed; the client receives 503. A ticket may be used up
//!   if the response to its redemption is lost.
//! * **Verifications** call their verifier, as they do without this crate.
//! * **Admission** by other credentials continues. It compares them with the revocations that the
//!   machine has received so far.
//! * **Revocations** made on this machine fail with
//!   [`Unavailable`](portcullis_core::StoreError::Unavailable), since they may not be stored; retry
//!   them. Revocations made on other machines do not arrive.
//! * **Open sessions** stay open during the maximum revocation lag that portcullis is configured
//!   with. If Redis is still unavailable afterwards, they stay open or close, as configured.
//!
//! When Redis is available again, each machine reads all revocations, so those that it missed take
//! effect then. No acknowledged revocation is lost, provided that Redis keeps what it acknowledges;
//! see [`RedisRevocations`]. A replica that takes over may lack what its primary acknowledged last,
//! unless the stores [wait for replicas](RedisRevocations::wait_for_replicas).
//!
//! # Security
//!
//! Redis receives no credentials: the keys of tickets and verification results are digests, and the
//! record of a ticket is encrypted under the ticket. Redis does store the subjects of revocations
//! and the identities of verification results.
//!
//! An attacker with write access to Redis can revoke credentials, delete revocations, and make
//! tickets unusable. Set a password, and create a separate user for this program:
//!
//! ```text
//! ACL SETUSER portcullis on >PASSWORD resetkeys ~portcullis:* resetchannels &portcullis:*
//!     -@all +get +set +getdel +eval +zadd +zrange +zremrangebyscore +incr
//!     +publish +subscribe +wait +asking +cluster|slots
//! ```
//!
//! Set `maxmemory-policy` to `noeviction`, the default, or to a `volatile-…` policy. With an
//! `allkeys-…` policy, Redis evicts revocations when its memory is full.
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
