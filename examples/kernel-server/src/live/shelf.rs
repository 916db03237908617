use std::time::Duration;

use portcullis::ticket::MemoryTickets;
use portcullis::{StoreError, TicketKey, TicketStore};
use portcullis_redis::{Redis, RedisTickets};

/// How many tickets wait at a time in the memory of this process.
const MOST: usize = 10_000;

/// Where tickets wait.
#[derive(Debug)]
pub(crate) enum Shelf {
    Own(MemoryTickets),
    Shared(RedisTickets),
}

impl Shelf {
    pub(super) fn own() -> Self {
        Self::Own(MemoryTickets::new(MOST))
    }

    pub(super) fn shared(redis: &Redis) -> Self {
        Self::Shared(RedisTickets::new(redis))
    }
}

impl TicketStore for Shelf {
    async fn put(
        &self,
        key: TicketKey,
        record: Vec<u8>,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        match self {
            Self::Own(tickets) => tickets.put(key, record, lifetime).await,
            Self::Shared(tickets) => tickets.put(key, record, lifetime).await,
        }
    }

    async fn take(&self, key: TicketKey) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Own(tickets) => tickets.take(key).await,
            Self::Shared(tickets) => tickets.take(key).await,
        }
    }
}
