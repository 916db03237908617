//! The traits of stores, which share state between the machines of one deployment.
//!
//! The default stores are in memory: [`MemoryTickets`](crate::ticket::MemoryTickets) and
//! [`MemoryRevocations`](crate::session::MemoryRevocations). The crate `portcullis-redis` has
//! stores in Redis.

pub use portcullis_core::{Follower, RevocationStore, StoreError, TicketKey, TicketStore};
