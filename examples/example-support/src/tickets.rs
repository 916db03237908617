use std::time::Duration;

use portcullis::store::{StoreError, TicketKey, TicketStore};
use portcullis::ticket::MemoryTickets;
use portcullis_redis::{Redis, RedisTickets};

/// The number of unredeemed tickets that this process keeps in memory.
const CAPACITY: usize = 10_000;

/// A ticket store that is selected at run time.
#[non_exhaustive]
#[derive(Debug)]
pub enum TicketBackend {
    /// Keeps tickets in the memory of this process.
    Memory(MemoryTickets),

    /// Shares tickets with other processes.
    Redis(RedisTickets),
}

impl TicketBackend {
    /// Creates a store in `redis`, or in memory if there is no Redis.
    pub fn new(redis: Option<&Redis>) -> Self {
        match redis {
            Some(redis) => Self::Redis(RedisTickets::new(redis)),
            None => Self::Memory(MemoryTickets::new(CAPACITY)),
        }
    }
}

impl TicketStore for TicketBackend {
    async fn put(
        &self,
        key: TicketKey,
        record: Vec<u8>,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        match self {
            Self::Memory(tickets) => tickets.put(key, record, lifetime).await,
            Self::Redis(tickets) => tickets.put(key, record, lifetime).await,
        }
    }

    async fn take(&self, key: TicketKey) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Memory(tickets) => tickets.take(key).await,
            Self::Redis(tickets) => tickets.take(key).await,
        }
    }
}
