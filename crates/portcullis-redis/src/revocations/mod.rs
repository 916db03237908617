mod follow;
mod record;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{Clock, Follower, Revocation, RevocationStore, StoreError, SystemClock};
use redis::Value;

use crate::Redis;

/// Revocations that one machine makes and every machine hears of.
///
/// They are the members of one sorted set, each with the moment when it may be forgotten. A script
/// writes one down, counts it and publishes it, in one step. Whoever follows
/// [subscribes first](RevocationStore::follow), then reads them all, and counts along: each second
/// it asks for the number, which tells within a second that a message was lost on its way, and all
/// is read anew. It is also read anew after every lost connection, and every ten seconds.
///
/// # What is promised
///
/// * A revocation that [`revoke`](RevocationStore::revoke) has acknowledged is as durable as what
///   Redis acknowledges. With `appendfsync always` it survives a crash. With `everysec`, which is
///   Redis's default once `appendonly` is on, a crash may cost the last second; without
///   `appendonly`, all since the last snapshot. Where a replica takes over,
///   [`wait_for_replicas`](Self::wait_for_replicas).
/// * It is written down even if Redis is out of memory, so that nobody who fills it with tickets
///   keeps you from taking them back.
/// * It has no expiry of Redis's, so that no policy but `allkeys-…` evicts it. It is removed an hour
///   after its end, by a later revocation; the hour is for clocks that disagree.
/// * Redis away is [`Unavailable`](StoreError::Unavailable), and whoever follows is told that the
///   connection is [lost](Follower::lost), at the latest one deadline and one check after it last
///   answered.
///
/// Whoever can write to this Redis can revoke, and can delete what was revoked.
#[derive(Clone)]
pub struct RedisRevocations {
    redis: Redis,
    names: Arc<Names>,
    replicas: usize,
    check_every: Duration,
    read_every: Duration,
    clock: Arc<dyn Clock>,
}

/// The braces keep both keys at one server of a cluster.
struct Names {
    set: String,
    count: String,
    channel: String,
}

impl RedisRevocations {
    /// Keeps revocations in `redis`.
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

    /// Acknowledges a revocation only when this many replicas have it, too; 0 by default.
    ///
    /// It is for deployments where a replica takes over from a primary that has crashed. Redis is
    /// given three quarters of the [deadline](crate::RedisBuilder::deadline), and everything else
    /// that this [`Redis`] asks of the same server waits for so long: give revocations a `Redis` of
    /// their own.
    #[must_use]
    pub fn wait_for_replicas(mut self, count: usize) -> Self {
        self.replicas = count;
        self
    }

    /// How often one who follows asks whether Redis still answers and whether a message was missed;
    /// every second by default.
    #[must_use]
    pub fn check_every(mut self, time: Duration) -> Self {
        self.check_every = time;
        self
    }

    /// How often one who follows reads everything anew; every ten seconds by default.
    #[must_use]
    pub fn read_every(mut self, time: Duration) -> Self {
        self.read_every = time;
        self
    }

    /// Takes the time from `clock` instead of the machine.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}

impl RevocationStore for RedisRevocations {
    async fn revoke(&self, revocation: &Revocation) -> Result<(), StoreError> {
        let Some(record) = record::write(revocation) else {
            return Ok(());
        };
        let end = revocation.ends_at().map(record::score);
        let forgotten = self
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
        write.arg(record).arg(forgotten);
        let mut commands = vec![write];
        if self.replicas > 0 {
            commands.push(self.redis.wait_for(self.replicas));
        }
        let answers = self.redis.ask(set, &commands).await;
        match &*answers.map_err(|_| StoreError::Unavailable)? {
            [Value::Int(_)] => Ok(()),
            [Value::Int(_), Value::Int(replicas)] if *replicas >= self.replicas as i64 => Ok(()),
            _ => Err(StoreError::Unavailable),
        }
    }

    async fn follow(&self, follower: impl Follower) {
        follow::follow(self, follower).await;
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

/// Writes down, counts and publishes in one step. Whoever has read the count before the set has
/// missed nothing up to that count.
const WRITE: &str = "#!lua flags=allow-oom
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[4])
local count = redis.call('INCR', KEYS[2])
redis.call('PUBLISH', ARGV[1], count .. ' ' .. ARGV[3])
return count
";

/// How long after its end a revocation is kept, for clocks that disagree.
const MARGIN: Duration = Duration::from_secs(3_600);
