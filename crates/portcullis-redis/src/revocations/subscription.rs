use std::time::Duration;

use portcullis_core::{Follower, Revocation};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, PushInfo, PushKind, Value};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use super::{RedisRevocations, record};

/// Follows the revocations until the future is dropped, and reconnects after a lost connection.
pub(super) async fn follow(store: &RedisRevocations, mut follower: impl Follower) {
    let mut failures = 0;
    let mut is_lost = false;
    loop {
        if let Ok(mut subscription) = Subscription::open(store).await
            && subscription.read_all(&mut follower).await.is_ok()
        {
            (failures, is_lost) = (0, false);
            let Err(ConnectionLost) = subscription.listen(&mut follower).await;
        }
        if !is_lost {
            follower.lost();
            is_lost = true;
        }
        sleep(backoff(failures)).await;
        failures += 1;
    }
}

/// A connection with a subscription. Commands use the same connection, so a message that was published
/// before a command was executed arrives before the response to the command.
struct Subscription<'a> {
    store: &'a RedisRevocations,
    connection: MultiplexedConnection,
    pushes: Receiver<PushInfo>,
    /// The counter of Redis at the last known revocation.
    count: u64,
}

/// There is no connection, or no response.
struct ConnectionLost;

impl<'a> Subscription<'a> {
    async fn open(store: &'a RedisRevocations) -> Result<Self, ConnectionLost> {
        let redis = &store.redis;
        // The server that owns the set publishes the revocations.
        let commands = [get_count(store)];
        let response = redis.send_to_owner(redis.deadline(), &store.names.set, &commands);
        let (node, _) = response.await.map_err(|_| ConnectionLost)?;
        let (sender, pushes) = channel(MAX_WAITING);
        let listen = move |push| {
            // If the channel is full, the message is lost, and the next check notices.
            let _ = sender.try_send(push);
        };
        let end = Instant::now() + redis.deadline();
        let connection = node.open(listen, end).await.ok_or(ConnectionLost)?;
        let mut subscription = Self {
            store,
            connection,
            pushes,
            count: 0,
        };
        let mut subscribe = redis::cmd("SUBSCRIBE");
        subscribe.arg(&store.names.channel);
        subscription.send(&subscribe).await?;
        Ok(subscription)
    }

    /// Passes revocations to the follower until the connection is lost.
    async fn listen(
        &mut self,
        follower: &mut impl Follower,
    ) -> Result<std::convert::Infallible, ConnectionLost> {
        let every = self.store.check_every.max(Duration::from_millis(1));
        let mut check = interval_at(Instant::now() + every, every);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut read_at = Instant::now() + self.store.read_every;
        loop {
            let is_complete = tokio::select! {
                push = self.pushes.recv() => self.receive(push.ok_or(ConnectionLost)?, follower)?,
                _ = check.tick() => self.check(follower).await?,
            };
            if !is_complete || Instant::now() >= read_at {
                self.read_all(follower).await?;
                read_at = Instant::now() + self.store.read_every;
            }
        }
    }

    /// Compares the counter. Returns whether no message was lost.
    async fn check(&mut self, follower: &mut impl Follower) -> Result<bool, ConnectionLost> {
        let count = self.read_count().await?;
        while let Ok(push) = self.pushes.try_recv() {
            self.receive(push, follower)?;
        }
        // The count of this machine is higher if Redis has lost its data or, rarely, if a message
        // arrived after the response. Reading the set again is right in both cases.
        let is_complete = self.count == count;
        if is_complete {
            follower.alive();
        }
        Ok(is_complete)
    }

    /// Reads all revocations. Messages that arrive meanwhile wait in the channel.
    async fn read_all(&mut self, follower: &mut impl Follower) -> Result<(), ConnectionLost> {
        self.count = self.read_count().await?;
        let now = self.store.clock.now();
        let mut revocations = Vec::new();
        for page in 0.. {
            // In reverse order: removals happen at the other end, and additions move members to a
            // later page. So no member is skipped, but one may be read twice.
            let mut command = redis::cmd("ZRANGE");
            command.arg(&self.store.names.set);
            command
                .arg(page * PAGE)
                .arg((page + 1) * PAGE - 1)
                .arg("REV");
            let Value::Array(records) = self.send(&command).await? else {
                return Err(ConnectionLost);
            };
            revocations.extend(records.iter().filter_map(member));
            if records.len() < PAGE {
                break;
            }
        }
        revocations.retain(|revocation| revocation.ends_at().is_none_or(|end| now < end));
        follower.synchronized(revocations);
        Ok(())
    }

    /// Handles one message. Returns whether no message was lost before it.
    fn receive(
        &mut self,
        push: PushInfo,
        follower: &mut impl Follower,
    ) -> Result<bool, ConnectionLost> {
        let message = match (push.kind, &*push.data) {
            (PushKind::Disconnection, _) => return Err(ConnectionLost),
            (PushKind::Message, [_, Value::BulkString(message)]) => message,
            _ => return Ok(true),
        };
        let Some((count, record)) = split(message) else {
            tracing::warn!(
                channel = self.store.names.channel,
                "ignored a message of another program on the channel of the revocations"
            );
            return Ok(true);
        };
        if let Some(revocation) = decode(record) {
            follower.revoked(revocation);
        }
        // A revocation that was already read arrives again as a message.
        let is_next = count <= self.count.saturating_add(1);
        if is_next {
            self.count = self.count.max(count);
        }
        Ok(is_next)
    }

    async fn read_count(&mut self) -> Result<u64, ConnectionLost> {
        match self.send(&get_count(self.store)).await? {
            Value::Nil => Ok(0),
            Value::BulkString(count) => parse_number(&count).ok_or(ConnectionLost),
            _ => Err(ConnectionLost),
        }
    }

    async fn send(&mut self, command: &Cmd) -> Result<Value, ConnectionLost> {
        let response = self.connection.send_packed_command(command);
        match timeout(self.store.redis.deadline(), response).await {
            Ok(Ok(Value::ServerError(error))) => {
                tracing::warn!(
                    code = error.code(),
                    "Redis refused to let this machine follow the revocations"
                );
                Err(ConnectionLost)
            }
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) | Err(_) => Err(ConnectionLost),
        }
    }
}

fn get_count(store: &RedisRevocations) -> Cmd {
    let mut command = redis::cmd("GET");
    command.arg(&store.names.count);
    command
}

/// Splits a message such as `7 {"version":…}` into the counter and the record.
fn split(message: &[u8]) -> Option<(u64, &[u8])> {
    let space = message.iter().position(|byte| *byte == b' ')?;
    Some((parse_number(&message[..space])?, &message[space + 1..]))
}

fn parse_number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn member(value: &Value) -> Option<Revocation> {
    match value {
        Value::BulkString(record) => decode(record),
        _ => None,
    }
}

fn decode(record: &[u8]) -> Option<Revocation> {
    let revocation = record::decode(record);
    if revocation.is_none() {
        tracing::warn!("skipped a revocation in an unknown format: update this machine");
    }
    revocation
}

/// Returns the time until the next attempt: longer with each failure, at most two seconds, and random
/// so that machines do not reconnect at the same time.
fn backoff(failures: u32) -> Duration {
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
    fn messages_are_split() {
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
    fn backoff_grows_to_two_seconds() {
        for failures in [0, 1, 5, 6, 100, u32::MAX] {
            let backoff = backoff(failures);
            assert!(backoff >= Duration::from_millis(25), "{backoff:?}");
            assert!(backoff <= Duration::from_secs(2), "{backoff:?}");
        }
        assert!(backoff(u32::MAX) >= Duration::from_secs(1));
    }
}
