mod record;
mod subscription;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{Clock, Follower, Revocation, RevocationStore, StoreError, SystemClock};
use redis::Value;

use crate::Redis;

/// A revocation store in Redis: a revocation made on one machine takes effect on all.
///
/// Revocations are members of a sorted set, with their end as the score. A script adds a
/// revocation, increments a counter and publishes the revocation, in one step. A follower
/// [subscribes first](RevocationStore::follow) and then reads the whole set. Every second it compares
/// the counter with the messages that it received. If a message was lost, it reads the set again. It
/// also does so after a lost connection, and every ten seconds.
///
/// # Guarantees
///
/// * An acknowledged revocation is as durable as any write that Redis acknowledges. With
///   `appendfsync always`, it survives a crash. With `everysec`, the default if `appendonly` is
///   enabled, a crash can lose the last second. Without `appendonly`, a crash can lose everything
///   since the last snapshot. If a replica can take over, set
///   [`wait_for_replicas`](Self::wait_for_replicas).
/// * Revocations are stored even if Redis is out of memory, so filling it with tickets does not
///   prevent revocations.
/// * The keys have no expiry, so only an `allkeys-…` policy evicts them. A revocation is removed one
///   hour after its end, which allows for differing clocks; the next revocation removes it.
/// * If Redis is unavailable, [`revoke`](RevocationStore::revoke) returns
///   [`Unavailable`](StoreError::Unavailable), and followers are notified that the connection is
///   [lost](Follower::lost): at the latest one deadline and one check after the last response.
///
/// An attacker with write access to Redis can revoke credentials and delete revocations.
///
/// ```
/// use portcullis_redis::{Redis, RedisRevocations};
///
/// let redis = Redis::open("redis://127.0.0.1:6379")?;
/// let revocations = RedisRevocations::new(&redis);
/// # Ok::<_, portcullis_redis::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct RedisRevocations {
    redis: Redis,
    names: Arc<Names>,
    replicas: usize,
    check_every: Duration,
    read_every: Duration,
    clock: Arc<dyn Clock>,
}

/// The keys and the channel. The braces place both keys on one server of a cluster.
struct Names {
    set: String,
    count: String,
    channel: String,
}

impl RedisRevocations {
    /// Creates a store in `redis`.
    pub fn new(redis: &Redis) -> Self {
        Self {
            names: Arc::new(Names {
                set: redis.key("{revocations}"),
                count: redis.key("{revocations}:count"),
                channel: redis.key("{revocations}"),
            }),
            redis: redis.clone(),
            replicas: 0,
            check_every: Duration::from_secs(1),
            read_every: Duration::from_secs(10),
            clock: Arc::new(SystemClock),
        }
    }

    /// Acknowledges a revocation only after `count` replicas have stored it, too. The default is 0.
    ///
    /// Use it if a replica takes over when the primary crashes. The replicas have three quarters of
    /// the [deadline](crate::RedisBuilder::deadline). Other commands of this [`Redis`] to the same
    /// server wait during that time, so create a separate `Redis` for revocations.
    #[must_use]
    pub fn wait_for_replicas(mut self, count: usize) -> Self {
        self.replicas = count;
        self
    }

    /// Sets how often a follower checks that Redis responds and that no message was lost: every
    /// second by default.
    #[must_use]
    pub fn check_every(mut self, time: Duration) -> Self {
        self.check_every = time;
        self
    }

    /// Sets how often a follower reads all revocations: every ten seconds by default.
    #[must_use]
    pub fn read_every(mut self, time: Duration) -> Self {
        self.read_every = time;
        self
    }

    /// Sets the clock that ends of revocations are compared with. The default is [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}

impl RevocationStore for RedisRevocations {
    async fn revoke(&self, revocation: &Revocation) -> Result<(), StoreError> {
        let Some(record) = record::encode(revocation) else {
            return Ok(());
        };
        let end = revocation.ends_at().map(record::score);
        let removable = self
            .clock
            .now()
            .checked_sub(MARGIN)
            .map_or(0, record::score);
        let Names {
            set,
            count,
            channel,
        } = &*self.names;
        let mut write = redis::cmd("EVAL");
        write.arg(WRITE).arg(2).arg(set).arg(count).arg(channel);
        write.arg(end.map_or("+inf".to_owned(), |end| end.to_string()));
        write.arg(record).arg(removable);
        let mut commands = vec![write];
        if self.replicas > 0 {
            commands.push(self.redis.wait_for(self.replicas));
        }
        let responses = self.redis.send(set, &commands).await;
        match &*responses.map_err(|_| StoreError::Unavailable)? {
            [Value::Int(_)] => Ok(()),
            [Value::Int(_), Value::Int(replicas)] if *replicas >= self.replicas as i64 => Ok(()),
            _ => Err(StoreError::Unavailable),
        }
    }

    async fn follow(&self, follower: impl Follower) {
        subscription::follow(self, follower).await;
    }
}

impl fmt::Debug for RedisRevocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisRevocations")
            .field("redis", &self.redis)
            .field("replicas", &self.replicas)
            .field("check_every", &self.check_every)
            .field("read_every", &self.read_every)
            .finish_non_exhaustive()
    }
}

/// Adds, counts and publishes a revocation in one step. A follower that reads the counter before the
/// set therefore knows all revocations up to that count.
const WRITE: &str = "#!lua flags=allow-oom
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[4])
local count = redis.call('INCR', KEYS[2])
redis.call('PUBLISH', ARGV[1], count .. ' ' .. ARGV[3])
return count
";

/// How long a revocation is kept after its end, to allow for differing clocks.
const MARGIN: Duration = Duration::from_secs(3_600);
