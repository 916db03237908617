use std::time::Duration;

use portcullis::ticket::MemoryTickets;
use portcullis::{StoreError, TicketKey, TicketStore};
use portcullis_redis::{Redis, RedisTickets};

/// Where tickets wait to be redeemed, as `--redis` decides.
#[non_exhaustive]
#[derive(Debug)]
pub enum Shelf {
    /// In this process.
    Own(MemoryTickets),

    /// Where other machines redeem them, too.
    Shared(RedisTickets),
}

impl Shelf {
    /// A shelf in `redis`, or one of our own.
    pub fn new(redis: Option<&Redis>) -> Self {
        match redis {
            Some(redis) => Self::Shared(RedisTickets::new(redis)),
            None => Self::Own(MemoryTickets::new(MOST)),
        }
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

/// How many tickets wait at a time in the memory of this process.
const MOST: usize = 10_000;
