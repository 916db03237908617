use std::fmt;
use std::time::Duration;

use portcullis_core::{StoreError, TicketKey, TicketStore};
use redis::Value;

use crate::Redis;

/// A ticket store in Redis: one machine mints a ticket, another one redeems it.
///
/// A ticket is a key with an expiry. `SET … NX PX` mints it and `GETDEL` redeems it, both on the
/// primary. The key is a digest of the ticket, and the value is a record that is encrypted under the
/// ticket.
///
/// | Redis | minting | redeeming |
/// |---|---|---|
/// | is unavailable, slow or read-only, or refuses access | [`Unavailable`](StoreError::Unavailable), at the latest at the deadline | the same; the ticket may be used up |
/// | is out of memory | [`Full`](StoreError::Full) | works |
/// | lost its data | works | the ticket is unknown |
/// | has promoted a replica | works | a recent ticket may be unknown, or valid once more; see [`wait_for_replicas`](Self::wait_for_replicas) |
///
/// The number of tickets is limited by the memory of Redis only, so set `maxmemory`.
///
/// No command is sent twice. A lost response can therefore make a ticket unusable, but a ticket is
/// never redeemed twice.
///
/// ```
/// use portcullis_redis::{Redis, RedisTickets};
///
/// let redis = Redis::open("redis://127.0.0.1:6379")?;
/// let tickets = RedisTickets::new(&redis);
/// # Ok::<_, portcullis_redis::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct RedisTickets {
    redis: Redis,
    replicas: usize,
}

impl RedisTickets {
    /// Creates a store in `redis`.
    pub fn new(redis: &Redis) -> Self {
        Self {
            redis: redis.clone(),
            replicas: 0,
        }
    }

    /// Redeems a ticket only after `count` replicas have deleted it, too. The default is 0.
    ///
    /// Use it if a replica takes over when the primary crashes. Replication is asynchronous: a
    /// ticket that was redeemed just before the crash is valid once more on the new primary, until
    /// it expires. With this setting, redemption returns [`Unavailable`](StoreError::Unavailable)
    /// if the replicas do not respond, and the ticket is used up.
    ///
    /// As with [revocations](crate::RedisRevocations::wait_for_replicas), the other commands of this
    /// [`Redis`] to the same server wait during that time.
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
        match &*self.redis.send(&key, &[command]).await? {
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
        let mut responses = self.redis.send(&key, &commands).await?.into_iter();
        let (taken, waited) = (responses.next(), responses.next());
        let is_replicated = match waited {
            None => self.replicas == 0,
            Some(Value::Int(replicas)) => replicas >= self.replicas as i64,
            Some(_) => false,
        };
        match taken {
            Some(Value::BulkString(record)) if is_replicated => Ok(Some(record)),
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

/// Converts a lifetime to the range that Redis accepts, which has no zero and an upper limit.
fn milliseconds(lifetime: Duration) -> u64 {
    const YEAR: Duration = Duration::from_secs(366 * 86_400);
    let millis = lifetime.min(YEAR).as_millis();
    u64::try_from(millis).map_or(u64::MAX, |millis| millis.max(1))
}
