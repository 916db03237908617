use std::fmt;
use std::time::Duration;

use portcullis_core::{StoreError, TicketKey, TicketStore};
use redis::Value;

use crate::Redis;

/// Tickets that one machine mints and another one redeems.
///
/// A ticket is a key that ends by itself: `SET … NX PX` mints it and `GETDEL` redeems it, both at
/// the primary. What is kept is what portcullis hands over: a digest, and a record sealed to it.
///
/// | Redis | minting | redeeming |
/// |---|---|---|
/// | is away, slow, read-only or refuses us | [`Unavailable`](StoreError::Unavailable), at the deadline | the same; the ticket may be gone |
/// | is out of memory | [`Full`](StoreError::Full) | goes on |
/// | lost its data | | the ticket is unknown |
///
/// How many there may be is what Redis's `maxmemory` has room for: set it.
///
/// No command is sent twice. So an answer that is lost may cost a ticket, and never gives one away
/// twice.
#[derive(Clone)]
pub struct RedisTickets {
    redis: Redis,
}

impl RedisTickets {
    /// Keeps tickets in `redis`.
    pub fn new(redis: &Redis) -> Self {
        Self {
            redis: redis.clone(),
        }
    }

    fn key(&self, key: TicketKey) -> String {
        let digest = blake3::Hash::from_bytes(*key.as_bytes());
        self.redis.key(&format!("ticket:{}", digest.to_hex()))
    }
}

impl TicketStore for RedisTickets {
    async fn put(
        &self,
        key: TicketKey,
        record: Vec<u8>,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        let key = self.key(key);
        let mut command = redis::cmd("SET");
        command.arg(&key).arg(record);
        command.arg("NX").arg("PX").arg(milliseconds(lifetime));
        match &*self.redis.ask(&key, &[command]).await? {
            [Value::Okay] => Ok(()),
            [Value::Nil] => Err(StoreError::Occupied),
            _ => Err(StoreError::Unavailable),
        }
    }

    async fn take(&self, key: TicketKey) -> Result<Option<Vec<u8>>, StoreError> {
        let key = self.key(key);
        let mut command = redis::cmd("GETDEL");
        command.arg(&key);
        match self.redis.ask(&key, &[command]).await?.pop() {
            Some(Value::BulkString(record)) => Ok(Some(record)),
            Some(Value::Nil) => Ok(None),
            _ => Err(StoreError::Unavailable),
        }
    }
}

impl fmt::Debug for RedisTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisTickets").field(&self.redis).finish()
    }
}

/// Redis knows no lifetime of zero and none beyond its calendar.
fn milliseconds(lifetime: Duration) -> u64 {
    const A_YEAR: Duration = Duration::from_secs(366 * 86_400);
    let millis = lifetime.min(A_YEAR).as_millis();
    u64::try_from(millis).map_or(u64::MAX, |millis| millis.max(1))
}
