use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{RevocationStore as _, StoreError, TicketStore as _};
use portcullis_redis::{Redis, RedisRevocations, RedisTickets};
use tokio::time::{sleep, timeout};

use crate::proxy::{Mode, Proxy};
use crate::server::RedisServer;
use crate::suite::revocations::{Listener, Notice, revocation};
use crate::suite::tickets::new_key;
use crate::{with_default_deadline, with_long_deadline};

const LONG: Duration = Duration::from_secs(600);

/// The stores of one machine, and a follower of its revocations.
struct Machine {
    redis: Redis,
    tickets: RedisTickets,
    revocations: Arc<RedisRevocations>,
    listener: Listener,
}

impl Machine {
    async fn start(url: &str) -> Self {
        Self::with(with_default_deadline(url)).await
    }

    async fn with(redis: Redis) -> Self {
        // Without periodic reading, so that only the checks can detect a fault.
        let revocations = RedisRevocations::new(&redis)
            .check_every(Duration::from_millis(100))
            .read_every(LONG);
        let revocations = Arc::new(revocations);
        let mut listener = Listener::start(&revocations);
        listener.full_set().await;
        listener.receives(&Notice::Alive).await;
        Self {
            tickets: RedisTickets::new(&redis),
            revocations,
            listener,
            redis,
        }
    }

    /// Asserts that every call returns `Unavailable` in time.
    async fn cannot_use_redis(&self) {
        let calls = async {
            let unavailable = Err(StoreError::Unavailable);
            assert_eq!(self.redis.check().await, unavailable);
            let put = self.tickets.put(new_key(), b"r".to_vec(), LONG).await;
            assert_eq!(put, unavailable);
            let take = self.tickets.take(new_key()).await;
            assert_eq!(take, Err(StoreError::Unavailable));
            let revoked = self.revocations.revoke(&revocation("unavailable")).await;
            assert_eq!(revoked, unavailable);
        };
        timeout(Duration::from_secs(20), calls)
            .await
            .expect("all calls return");
    }

    /// Asserts that every call works.
    async fn can_use_redis(&mut self) {
        let key = new_key();
        assert_eq!(self.tickets.put(key, b"r".to_vec(), LONG).await, Ok(()));
        assert_eq!(self.tickets.take(key).await, Ok(Some(b"r".to_vec())));
        let revoked = revocation("again");
        assert_eq!(self.revocations.revoke(&revoked).await, Ok(()));
        self.listener.knows(&revoked).await;
        self.listener.receives(&Notice::Alive).await;
    }
}

#[tokio::test]
async fn redis_can_start_after_the_program() {
    let mut server = RedisServer::start();
    server.kill();
    let redis = with_default_deadline(&server.url());
    assert_eq!(redis.check().await, Err(StoreError::Unavailable));
    let revocations = Arc::new(RedisRevocations::new(&redis));
    let mut listener = Listener::start(&revocations);
    assert_eq!(listener.next().await, Notice::Lost);
    server.restart();
    assert_eq!(redis.check().await, Ok(()));
    // The follower was notified once, in spite of several attempts.
    assert_eq!(listener.next().await, Notice::Synchronized(vec![]));
}

#[tokio::test]
async fn redis_is_killed_and_restarted() {
    let mut server = RedisServer::start();
    let mut machine = Machine::start(&server.url()).await;
    let key = new_key();
    machine.tickets.put(key, b"r".to_vec(), LONG).await.unwrap();
    let revoked = revocation("before");
    machine.revocations.revoke(&revoked).await.unwrap();
    let idle = RedisTickets::new(&with_default_deadline(&server.url()));
    let other_key = new_key();
    idle.put(other_key, b"r".to_vec(), LONG).await.unwrap();
    server.kill();
    machine.listener.receives(&Notice::Lost).await;
    machine.cannot_use_redis().await;
    assert_eq!(machine.listener.unread(), []);

    server.restart();
    // The next command reconnects, even for a client that was idle during the outage.
    assert_eq!(machine.tickets.take(key).await, Ok(Some(b"r".to_vec())));
    assert_eq!(idle.take(other_key).await, Ok(Some(b"r".to_vec())));
    assert!(machine.listener.full_set().await.contains(&revoked));
    machine.can_use_redis().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_loses_no_acknowledged_revocation() {
    let mut server = RedisServer::start();
    let store = Arc::new(RedisRevocations::new(&with_default_deadline(&server.url())));
    let revokers: Vec<_> = (0..8)
        .map(|revoker| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for index in 0.. {
                    let revocation = revocation(&format!("{revoker}-{index}"));
                    match store.revoke(&revocation).await {
                        Ok(()) => acknowledged.push(revocation),
                        Err(error) => {
                            assert_eq!(error, StoreError::Unavailable);
                            break;
                        }
                    }
                }
                acknowledged
            })
        })
        .collect();
    // Some revocations are acknowledged, and others are in progress.
    server.wait_for(&["ZCARD", "portcullis:{revocations}"], |count| {
        count.parse::<usize>().is_ok_and(|count| count > 100)
    });
    server.kill();
    server.restart();
    let set = Listener::start(&store).full_set().await;
    for revoker in revokers {
        let acknowledged = revoker.await.unwrap();
        assert!(!acknowledged.is_empty());
        for revocation in acknowledged {
            assert!(set.contains(&revocation), "{revocation:?} is lost");
        }
    }
}

#[tokio::test]
async fn redis_is_stopped_and_continued() {
    let server = RedisServer::start();
    let mut machine = Machine::start(&server.url()).await;
    server.freeze();
    machine.listener.receives(&Notice::Lost).await;
    machine.cannot_use_redis().await;
    assert_eq!(machine.listener.unread(), []);
    server.thaw();
    machine.listener.full_set().await;
    machine.can_use_redis().await;
}

#[tokio::test]
async fn redis_is_slow() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let mut machine = Machine::start(&proxy.url()).await;
    proxy.set(Mode::Slow(Duration::from_secs(5)));
    machine.listener.receives(&Notice::Lost).await;
    machine.cannot_use_redis().await;
    // A delay within the deadline is tolerated.
    proxy.set(Mode::Slow(Duration::from_millis(5)));
    machine.listener.full_set().await;
    machine.can_use_redis().await;
}

/// As if a network cable were pulled.
#[tokio::test]
async fn the_network_drops_everything() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let mut machine = Machine::start(&proxy.url()).await;
    proxy.set(Mode::Silent);
    machine.listener.receives(&Notice::Lost).await;
    machine.cannot_use_redis().await;
    // The old connections stay half open, so they must not be used any more.
    proxy.set(Mode::Open);
    machine.listener.full_set().await;
    machine.can_use_redis().await;
}

#[tokio::test]
async fn a_replica_is_unavailable_until_it_is_promoted() {
    let primary = RedisServer::start();
    let port = primary.port().to_string();
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port]);
    let redis = with_long_deadline(&replica.url());
    let put = RedisTickets::new(&redis)
        .put(new_key(), b"r".to_vec(), LONG)
        .await;
    assert_eq!(put, Err(StoreError::Unavailable));
    let revoked = RedisRevocations::new(&redis).revoke(&revocation("t")).await;
    assert_eq!(revoked, Err(StoreError::Unavailable));
    // Promote the replica.
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    let put = RedisTickets::new(&redis)
        .put(new_key(), b"r".to_vec(), LONG)
        .await;
    assert_eq!(put, Ok(()));
}

#[tokio::test]
async fn a_machine_is_disconnected_for_ten_seconds() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let mut far = Machine::start(&proxy.url()).await;
    let mut near = Machine::start(&server.url()).await;
    let healthy = revocation("before");
    near.revocations.revoke(&healthy).await.unwrap();
    far.listener.knows(&healthy).await;

    proxy.set(Mode::Cut);
    far.listener.receives(&Notice::Lost).await;
    let missed = revocation("missed");
    near.revocations.revoke(&missed).await.unwrap();
    near.listener.knows(&missed).await;
    // The duration of the outage.
    sleep(Duration::from_secs(10)).await;
    assert_eq!(far.listener.unread(), [], "no notice during the outage");
    proxy.set(Mode::Open);
    let set = far.listener.full_set().await;
    assert!(set.contains(&healthy) && set.contains(&missed));
    far.can_use_redis().await;
}

/// The connection works otherwise.
#[tokio::test]
async fn lost_messages_are_detected_by_the_next_check() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let mut far = Machine::with(with_long_deadline(&proxy.url())).await;
    let near = RedisRevocations::new(&with_long_deadline(&server.url()));
    proxy.set(Mode::Deaf);
    let missed = revocation("missed");
    near.revoke(&missed).await.unwrap();
    let mut notices = Vec::new();
    while !matches!(notices.last(), Some(Notice::Synchronized(set)) if set.contains(&missed)) {
        notices.push(far.listener.next().await);
    }
    assert!(
        !notices.contains(&Notice::Revoked(missed)),
        "the proxy drops the message"
    );
    assert!(!notices.contains(&Notice::Lost));
}

#[tokio::test]
async fn lost_messages_are_detected_by_the_next_message() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    // Neither checks nor reads periodically.
    let far = RedisRevocations::new(&with_long_deadline(&proxy.url()));
    let far = Arc::new(far.check_every(LONG).read_every(LONG));
    let mut listener = Listener::start(&far);
    listener.full_set().await;
    let near = RedisRevocations::new(&with_long_deadline(&server.url()));
    let [first, missed, last] = ["first", "missed", "last"].map(revocation);
    near.revoke(&first).await.unwrap();
    assert_eq!(listener.next().await, Notice::Revoked(first));
    proxy.set(Mode::Deaf);
    near.revoke(&missed).await.unwrap();
    proxy.has_lost_one().await;
    proxy.set(Mode::Open);
    near.revoke(&last).await.unwrap();
    assert_eq!(listener.next().await, Notice::Revoked(last));
    assert!(listener.full_set().await.contains(&missed));
}

#[tokio::test]
async fn a_follower_reconnects_after_its_connection_is_killed() {
    let server = RedisServer::start();
    let mut machine = Machine::start(&server.url()).await;
    assert_eq!(server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]), "1");
    machine.listener.receives(&Notice::Lost).await;
    machine.listener.full_set().await;
    machine.can_use_redis().await;
}

#[tokio::test]
async fn lost_data_is_detected() {
    let server = RedisServer::start();
    let mut machine = Machine::start(&server.url()).await;
    let revoked = revocation("t");
    machine.revocations.revoke(&revoked).await.unwrap();
    machine.listener.knows(&revoked).await;
    server.command(&["FLUSHALL"]);
    machine
        .listener
        .receives(&Notice::Synchronized(vec![]))
        .await;
    machine.can_use_redis().await;
}

/// The counter does not show this change.
#[tokio::test]
async fn periodic_reading_detects_changes_outside_of_the_counter() {
    let server = RedisServer::start();
    let often = Duration::from_millis(50);
    let store = RedisRevocations::new(&with_long_deadline(&server.url()));
    let store = Arc::new(store.check_every(often).read_every(often));
    let mut listener = Listener::start(&store);
    assert_eq!(listener.full_set().await, []);
    let known = revocation("t");
    store.revoke(&known).await.unwrap();
    listener.knows(&known).await;
    server.command(&["ZREMRANGEBYRANK", "portcullis:{revocations}", "0", "-1"]);
    listener.receives(&Notice::Synchronized(vec![])).await;
}

#[tokio::test]
async fn a_cancelled_call_does_not_affect_others() {
    let server = RedisServer::start();
    let tickets = Arc::new(RedisTickets::new(&with_long_deadline(&server.url())));
    for _ in 0..200 {
        let [key, other] = [new_key(), new_key()];
        tickets.put(key, b"r".to_vec(), LONG).await.unwrap();
        tickets.put(other, b"o".to_vec(), LONG).await.unwrap();
        let cancelled = tokio::spawn({
            let tickets = Arc::clone(&tickets);
            async move { tickets.take(key).await }
        });
        tokio::task::yield_now().await;
        cancelled.abort();
        assert_eq!(tickets.take(other).await, Ok(Some(b"o".to_vec())));
        // The ticket is redeemed at most once.
        let first = cancelled.await.map_or(Ok(None), |taken| taken).unwrap();
        let second = tickets.take(key).await.unwrap();
        assert!(first.is_none() || second.is_none());
        assert_eq!(tickets.take(key).await, Ok(None));
    }
    // No reconnection: one connection of the store, and one of this command.
    let clients = server.command(&["INFO", "clients"]);
    assert!(clients.contains("connected_clients:2"), "{clients}");
}
