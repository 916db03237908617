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
/// | has made a replica the primary | | a ticket of the last moment may be unknown, or good once more; see [`wait_for_replicas`](Self::wait_for_replicas) |
///
/// How many there may be is what Redis's `maxmemory` has room for: set it.
///
/// No command is sent twice. So an answer that is lost may cost a ticket, and never gives one away
/// twice.
#[derive(Clone)]
pub struct RedisTickets {
    redis: Redis,
    replicas: usize,
}

impl RedisTickets {
    /// Keeps tickets in `redis`.
    pub fn new(redis: &Redis) -> Self {
        Self {
            redis: redis.clone(),
            replicas: 0,
        }
    }

    /// Lets a ticket be redeemed only when this many replicas know that it is; 0 by default.
    ///
    /// It is for deployments where a replica takes over from a primary that has crashed. What Redis
    /// has acknowledged it sends to its replicas a moment later: a ticket that was redeemed in
    /// between is good once more at the replica, for who has seen it and until it ends. When the
    /// replicas do not answer, redeeming it is [`Unavailable`](StoreError::Unavailable), and it is
    /// gone. As with [revocations](crate::RedisRevocations::wait_for_replicas), everything else that
    /// this [`Redis`] asks of the same server waits for so long.
    #[must_use]
    pub fn wait_for_replicas(mut self, count: usize) -> Self {
        self.replicas = count;
        self
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
        let mut commands = vec![command];
        if self.replicas > 0 {
            commands.push(self.redis.wait_for(self.replicas));
        }
        let mut answers = self.redis.ask(&key, &commands).await?.into_iter();
        let (taken, waited) = (answers.next(), answers.next());
        let is_known = match waited {
            None => self.replicas == 0,
            Some(Value::Int(replicas)) => replicas >= self.replicas as i64,
            Some(_) => false,
        };
        match taken {
            Some(Value::BulkString(record)) if is_known => Ok(Some(record)),
            Some(Value::Nil) => Ok(None),
            _ => Err(StoreError::Unavailable),
        }
    }
}

impl fmt::Debug for RedisTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTickets")
            .field("redis", &self.redis)
            .field("replicas", &self.replicas)
            .finish()
    }
}

/// Redis knows no lifetime of zero and none beyond its calendar.
fn milliseconds(lifetime: Duration) -> u64 {
    const A_YEAR: Duration = Duration::from_secs(366 * 86_400);
    let millis = lifetime.min(A_YEAR).as_millis();
    u64::try_from(millis).map_or(u64::MAX, |millis| millis.max(1))
}
