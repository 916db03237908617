use std::time::Duration;

use portcullis_core::{Follower, Revocation};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, PushInfo, PushKind, Value};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use super::{RedisRevocations, record};

/// Follows for as long as it is polled, over any number of connections.
pub(super) async fn follow(store: &RedisRevocations, mut follower: impl Follower) {
    let mut failures = 0;
    let mut is_lost = false;
    loop {
        if let Ok(mut line) = Line::open(store).await
            && line.read(&mut follower).await.is_ok()
        {
            (failures, is_lost) = (0, false);
            let Err(Lost) = line.listen(&mut follower).await;
        }
        if !is_lost {
            follower.lost();
            is_lost = true;
        }
        sleep(pause(failures)).await;
        failures += 1;
    }
}

/// A connection that is subscribed. Commands and messages share it, so whatever was published
/// before a command was carried out arrives before its answer.
struct Line<'a> {
    store: &'a RedisRevocations,
    connection: MultiplexedConnection,
    pushes: Receiver<PushInfo>,
    /// The count of the last revocation that we know.
    count: u64,
}

/// There is no connection, or it says nothing.
struct Lost;

impl<'a> Line<'a> {
    async fn open(store: &'a RedisRevocations) -> Result<Self, Lost> {
        let redis = &store.redis;
        // The server that has the revocations publishes them, too.
        let commands = [count(store)];
        let asked = redis.ask_owner(redis.deadline(), &store.names.set, &commands);
        let (node, _) = asked.await.map_err(|_| Lost)?;
        let (sender, pushes) = channel(MAX_WAITING);
        let listen = move |push| {
            // What does not fit in is missed, and the count will tell.
            let _ = sender.try_send(push);
        };
        let end = Instant::now() + redis.deadline();
        let connection = node.open(listen, end).await.ok_or(Lost)?;
        let mut line = Self {
            store,
            connection,
            pushes,
            count: 0,
        };
        let mut subscribe = redis::cmd("SUBSCRIBE");
        subscribe.arg(&store.names.channel);
        line.ask(&subscribe).await?;
        Ok(line)
    }

    /// Tells what comes, until the connection is lost.
    async fn listen(
        &mut self,
        follower: &mut impl Follower,
    ) -> Result<std::convert::Infallible, Lost> {
        let every = self.store.check_every.max(Duration::from_millis(1));
        let mut check = interval_at(Instant::now() + every, every);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut read_at = Instant::now() + self.store.read_every;
        loop {
            let is_complete = tokio::select! {
                push = self.pushes.recv() => self.tell(push.ok_or(Lost)?, follower)?,
                _ = check.tick() => self.check(follower).await?,
            };
            if !is_complete || Instant::now() >= read_at {
                self.read(follower).await?;
                read_at = Instant::now() + self.store.read_every;
            }
        }
    }

    /// Asks for the count. Whether it is ours.
    async fn check(&mut self, follower: &mut impl Follower) -> Result<bool, Lost> {
        let count = self.ask_count().await?;
        while let Ok(push) = self.pushes.try_recv() {
            self.tell(push, follower)?;
        }
        // Ours is higher if a message came after the answer, and if Redis has lost its data. The
        // first is rare, and reading again does no harm.
        let is_complete = self.count == count;
        if is_complete {
            follower.alive();
        }
        Ok(is_complete)
    }

    /// Reads everything. What is published meanwhile waits in the channel.
    async fn read(&mut self, follower: &mut impl Follower) -> Result<(), Lost> {
        self.count = self.ask_count().await?;
        let now = self.store.clock.now();
        let mut revocations = Vec::new();
        for page in 0.. {
            // From the end: what is removed meanwhile is at the other end, and what is added moves
            // others to a later page. So none is passed over, and one may be read twice.
            let mut command = redis::cmd("ZRANGE");
            command.arg(&self.store.names.set);
            command
                .arg(page * PAGE)
                .arg((page + 1) * PAGE - 1)
                .arg("REV");
            let Value::Array(records) = self.ask(&command).await? else {
                return Err(Lost);
            };
            revocations.extend(records.iter().filter_map(read));
            if records.len() < PAGE {
                break;
            }
        }
        revocations.retain(|revocation| revocation.ends_at().is_none_or(|end| now < end));
        follower.synchronized(revocations);
        Ok(())
    }

    /// Tells one message. Whether there was none between it and the last one.
    fn tell(&mut self, push: PushInfo, follower: &mut impl Follower) -> Result<bool, Lost> {
        let message = match (push.kind, &*push.data) {
            (PushKind::Disconnection, _) => return Err(Lost),
            (PushKind::Message, [_, Value::BulkString(message)]) => message,
            _ => return Ok(true),
        };
        let Some((count, record)) = split(message) else {
            tracing::warn!("somebody else publishes on the channel of the revocations");
            return Ok(true);
        };
        if let Some(revocation) = record_of(record) {
            follower.revoked(revocation);
        }
        // One that was read already comes again with its message.
        let is_next = count <= self.count.saturating_add(1);
        if is_next {
            self.count = self.count.max(count);
        }
        Ok(is_next)
    }

    async fn ask_count(&mut self) -> Result<u64, Lost> {
        match self.ask(&count(self.store)).await? {
            Value::Nil => Ok(0),
            Value::BulkString(count) => number(&count).ok_or(Lost),
            _ => Err(Lost),
        }
    }

    async fn ask(&mut self, command: &Cmd) -> Result<Value, Lost> {
        let answer = self.connection.send_packed_command(command);
        match timeout(self.store.redis.deadline(), answer).await {
            Ok(Ok(Value::ServerError(error))) => {
                tracing::warn!(
                    code = error.code(),
                    "Redis lets nobody follow the revocations"
                );
                Err(Lost)
            }
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) | Err(_) => Err(Lost),
        }
    }
}

fn count(store: &RedisRevocations) -> Cmd {
    let mut command = redis::cmd("GET");
    command.arg(&store.names.count);
    command
}

/// `7 {"version":…}`
fn split(message: &[u8]) -> Option<(u64, &[u8])> {
    let space = message.iter().position(|byte| *byte == b' ')?;
    Some((number(&message[..space])?, &message[space + 1..]))
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn read(value: &Value) -> Option<Revocation> {
    match value {
        Value::BulkString(record) => record_of(record),
        _ => None,
    }
}

fn record_of(record: &[u8]) -> Option<Revocation> {
    let revocation = record::read(record);
    if revocation.is_none() {
        tracing::warn!("passed over a revocation that a later version has written");
    }
    revocation
}

/// Longer with each failure, up to two seconds, and at random, so that not all machines come back in
/// the same moment.
fn pause(failures: u32) -> Duration {
    let longest = Duration::from_millis(50) * 2_u32.pow(failures.min(6));
    let longest = longest.min(Duration::from_secs(2));
    let random = getrandom::u32().unwrap_or_default();
    longest / 2 + longest.mul_f64(f64::from(random) / f64::from(u32::MAX)) / 2
}

const PAGE: usize = 1_000;
const MAX_WAITING: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        assert_eq!(split(b"7 {}"), Some((7, &b"{}"[..])));
        assert_eq!(split(b"7 a b"), Some((7, &b"a b"[..])));
        for foreign in [
            &b""[..],
            b"7",
            b" x",
            b"-1 x",
            b"x 7",
            b"99999999999999999999 x",
            b"\xff x",
        ] {
            assert_eq!(split(foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn pauses_grow_to_two_seconds() {
        for failures in [0, 1, 5, 6, 100, u32::MAX] {
            let pause = pause(failures);
            assert!(pause >= Duration::from_millis(25), "{pause:?}");
            assert!(pause <= Duration::from_secs(2), "{pause:?}");
        }
        assert!(pause(u32::MAX) >= Duration::from_secs(1));
    }
}
