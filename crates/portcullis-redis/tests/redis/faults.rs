use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{RevocationStore as _, StoreError, TicketStore as _};
use portcullis_redis::{Redis, RedisRevocations, RedisTickets};
use tokio::time::{sleep, timeout};

use crate::proxy::{Mode, Proxy};
use crate::server::RedisServer;
use crate::suite::revocations::{Heard, Listener, revocation};
use crate::suite::tickets::new_key;
use crate::{hasty, patient};

const LONG: Duration = Duration::from_secs(600);

/// The stores of one machine, and one who follows.
struct Machine {
    redis: Redis,
    tickets: RedisTickets,
    revocations: Arc<RedisRevocations>,
    listener: Listener,
}

impl Machine {
    async fn start(url: &str) -> Self {
        Self::with(hasty(url)).await
    }

    async fn with(redis: Redis) -> Self {
        // Without the net below: whatever is noticed, the checks notice.
        let revocations = RedisRevocations::new(&redis)
            .check_every(Duration::from_millis(100))
            .read_every(LONG);
        let revocations = Arc::new(revocations);
        let mut listener = Listener::start(&revocations);
        listener.picture().await;
        listener.hears(&Heard::Alive).await;
        Self {
            tickets: RedisTickets::new(&redis),
            revocations,
            listener,
            redis,
        }
    }

    /// Every call ends by itself, and says that it cannot tell.
    async fn is_without_store(&self) {
        let calls = async {
            let unavailable = Err(StoreError::Unavailable);
            assert_eq!(self.redis.check().await, unavailable);
            let put = self.tickets.put(new_key(), b"r".to_vec(), LONG).await;
            assert_eq!(put, unavailable);
            let take = self.tickets.take(new_key()).await;
            assert_eq!(take, Err(StoreError::Unavailable));
            let revoked = self.revocations.revoke(&revocation("nobody knows")).await;
            assert_eq!(revoked, unavailable);
        };
        timeout(Duration::from_secs(20), calls)
            .await
            .expect("calls end");
    }

    /// Every call works.
    async fn has_its_store(&mut self) {
        let key = new_key();
        assert_eq!(self.tickets.put(key, b"r".to_vec(), LONG).await, Ok(()));
        assert_eq!(self.tickets.take(key).await, Ok(Some(b"r".to_vec())));
        let revoked = revocation("again");
        assert_eq!(self.revocations.revoke(&revoked).await, Ok(()));
        self.listener.knows(&revoked).await;
        self.listener.hears(&Heard::Alive).await;
    }
}

#[tokio::test]
async fn away_at_start() {
    let mut server = RedisServer::start();
    server.kill();
    let redis = hasty(&server.url());
    assert_eq!(redis.check().await, Err(StoreError::Unavailable));
    let revocations = Arc::new(RedisRevocations::new(&redis));
    let mut listener = Listener::start(&revocations);
    assert_eq!(listener.next().await, Heard::Lost);
    server.restart();
    assert_eq!(redis.check().await, Ok(()));
    // It was told once that it is lost, however often it tried.
    assert_eq!(listener.next().await, Heard::Synchronized(vec![]));
}

#[tokio::test]
async fn killed_and_restarted() {
    let mut server = RedisServer::start();
    let mut machine = Machine::start(&server.url()).await;
    let key = new_key();
    machine.tickets.put(key, b"r".to_vec(), LONG).await.unwrap();
    let revoked = revocation("before");
    machine.revocations.revoke(&revoked).await.unwrap();
    let resting = RedisTickets::new(&hasty(&server.url()));
    let other_key = new_key();
    resting.put(other_key, b"r".to_vec(), LONG).await.unwrap();
    server.kill();
    machine.listener.hears(&Heard::Lost).await;
    machine.is_without_store().await;
    assert_eq!(machine.listener.so_far(), []);

    server.restart();
    // Nobody has to fail for a connection to be made again, not even who did not call meanwhile.
    assert_eq!(machine.tickets.take(key).await, Ok(Some(b"r".to_vec())));
    assert_eq!(resting.take(other_key).await, Ok(Some(b"r".to_vec())));
    assert!(machine.listener.picture().await.contains(&revoked));
    machine.has_its_store().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_revocation_is_lost_by_a_crash() {
    let mut server = RedisServer::start();
    let store = Arc::new(RedisRevocations::new(&hasty(&server.url())));
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
    // In the middle of it: some are acknowledged, and more are under way.
    server.wait_for(&["ZCARD", "portcullis:{revocations}"], |count| {
        count.parse::<usize>().is_ok_and(|count| count > 100)
    });
    server.kill();
    server.restart();
    let picture = Listener::start(&store).picture().await;
    for revoker in revokers {
        let acknowledged = revoker.await.unwrap();
        assert!(!acknowledged.is_empty());
        for revocation in acknowledged {
            assert!(picture.contains(&revocation), "{revocation:?} is lost");
        }
    }
}

#[tokio::test]
async fn stopped() {
    let server = RedisServer::start();
    let mut machine = Machine::start(&server.url()).await;
    server.freeze();
    machine.listener.hears(&Heard::Lost).await;
    machine.is_without_store().await;
    assert_eq!(machine.listener.so_far(), []);
    server.thaw();
    machine.listener.picture().await;
    machine.has_its_store().await;
}

#[tokio::test]
async fn slow() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let mut machine = Machine::start(&proxy.url()).await;
    proxy.set(Mode::Slow(Duration::from_secs(5)));
    machine.listener.hears(&Heard::Lost).await;
    machine.is_without_store().await;
    // Slower than usual and within the deadline is good enough.
    proxy.set(Mode::Slow(Duration::from_millis(5)));
    machine.listener.picture().await;
    machine.has_its_store().await;
}

/// The network goes away and says nothing, as when a cable is pulled.
#[tokio::test]
async fn half_open() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let mut machine = Machine::start(&proxy.url()).await;
    proxy.set(Mode::Silent);
    machine.listener.hears(&Heard::Lost).await;
    machine.is_without_store().await;
    // The old connections stay as they are: nobody may wait for them any more.
    proxy.set(Mode::Open);
    machine.listener.picture().await;
    machine.has_its_store().await;
}

#[tokio::test]
async fn a_read_only_replica() {
    let primary = RedisServer::start();
    let port = primary.port().to_string();
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port]);
    let redis = patient(&replica.url());
    let put = RedisTickets::new(&redis)
        .put(new_key(), b"r".to_vec(), LONG)
        .await;
    assert_eq!(put, Err(StoreError::Unavailable));
    let revoked = RedisRevocations::new(&redis).revoke(&revocation("t")).await;
    assert_eq!(revoked, Err(StoreError::Unavailable));
    // It becomes the primary.
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    let put = RedisTickets::new(&redis)
        .put(new_key(), b"r".to_vec(), LONG)
        .await;
    assert_eq!(put, Ok(()));
}

#[tokio::test]
async fn cut_off_for_ten_seconds() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let mut far = Machine::start(&proxy.url()).await;
    let mut near = Machine::start(&server.url()).await;
    let healthy = revocation("before");
    near.revocations.revoke(&healthy).await.unwrap();
    far.listener.knows(&healthy).await;

    proxy.set(Mode::Cut);
    far.listener.hears(&Heard::Lost).await;
    let missed = revocation("in the gap");
    near.revocations.revoke(&missed).await.unwrap();
    near.listener.knows(&missed).await;
    // The fault itself takes this long.
    sleep(Duration::from_secs(10)).await;
    assert_eq!(far.listener.so_far(), [], "nothing is alive in the gap");
    proxy.set(Mode::Open);
    let picture = far.listener.picture().await;
    assert!(picture.contains(&healthy) && picture.contains(&missed));
    far.has_its_store().await;
}

/// Only the messages are lost: the connection lives, and answers.
#[tokio::test]
async fn messages_that_are_lost_on_their_way() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let mut far = Machine::with(patient(&proxy.url())).await;
    let near = RedisRevocations::new(&patient(&server.url()));
    proxy.set(Mode::Deaf);
    let missed = revocation("in the gap");
    near.revoke(&missed).await.unwrap();
    // The next check counts one that it has not heard of.
    let mut heard = Vec::new();
    while !matches!(heard.last(), Some(Heard::Synchronized(picture)) if picture.contains(&missed)) {
        heard.push(far.listener.next().await);
    }
    assert!(
        !heard.contains(&Heard::Revoked(missed)),
        "the proxy is not deaf"
    );
    assert!(!heard.contains(&Heard::Lost));
}

/// One that is missed shows at the next message, too.
#[tokio::test]
async fn a_gap_between_messages() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    // It neither checks nor reads anew by itself.
    let far = RedisRevocations::new(&patient(&proxy.url()));
    let far = Arc::new(far.check_every(LONG).read_every(LONG));
    let mut listener = Listener::start(&far);
    listener.picture().await;
    let near = RedisRevocations::new(&patient(&server.url()));
    let [first, missed, last] = ["first", "missed", "last"].map(revocation);
    near.revoke(&first).await.unwrap();
    assert_eq!(listener.next().await, Heard::Revoked(first));
    proxy.set(Mode::Deaf);
    near.revoke(&missed).await.unwrap();
    proxy.has_lost_one().await;
    proxy.set(Mode::Open);
    near.revoke(&last).await.unwrap();
    assert_eq!(listener.next().await, Heard::Revoked(last));
    assert!(listener.picture().await.contains(&missed));
}

#[tokio::test]
async fn connections_that_listen_are_killed() {
    let server = RedisServer::start();
    let mut machine = Machine::start(&server.url()).await;
    assert_eq!(server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]), "1");
    machine.listener.hears(&Heard::Lost).await;
    machine.listener.picture().await;
    machine.has_its_store().await;
}

#[tokio::test]
async fn data_that_is_lost_is_noticed() {
    let server = RedisServer::start();
    let mut machine = Machine::start(&server.url()).await;
    let revoked = revocation("t");
    machine.revocations.revoke(&revoked).await.unwrap();
    machine.listener.knows(&revoked).await;
    server.command(&["FLUSHALL"]);
    machine.listener.hears(&Heard::Synchronized(vec![])).await;
    machine.has_its_store().await;
}

/// The net below: everything is read anew now and then, even if nothing seems to be missed.
#[tokio::test]
async fn what_nobody_counted_is_read_in_time() {
    let server = RedisServer::start();
    let often = Duration::from_millis(50);
    let store = RedisRevocations::new(&patient(&server.url()));
    let store = Arc::new(store.check_every(often).read_every(often));
    let mut listener = Listener::start(&store);
    assert_eq!(listener.picture().await, []);
    let known = revocation("t");
    store.revoke(&known).await.unwrap();
    listener.knows(&known).await;
    server.command(&["ZREMRANGEBYRANK", "portcullis:{revocations}", "0", "-1"]);
    listener.hears(&Heard::Synchronized(vec![])).await;
}

/// A caller who goes away takes nobody else's answer with it.
#[tokio::test]
async fn callers_that_hang_up() {
    let server = RedisServer::start();
    let tickets = Arc::new(RedisTickets::new(&patient(&server.url())));
    for _ in 0..200 {
        let [key, other] = [new_key(), new_key()];
        tickets.put(key, b"r".to_vec(), LONG).await.unwrap();
        tickets.put(other, b"o".to_vec(), LONG).await.unwrap();
        let leaving = tokio::spawn({
            let tickets = Arc::clone(&tickets);
            async move { tickets.take(key).await }
        });
        tokio::task::yield_now().await;
        leaving.abort();
        assert_eq!(tickets.take(other).await, Ok(Some(b"o".to_vec())));
        // It is redeemed or it is not, and not twice.
        let first = leaving.await.map_or(Ok(None), |taken| taken).unwrap();
        let second = tickets.take(key).await.unwrap();
        assert!(first.is_none() || second.is_none());
        assert_eq!(tickets.take(key).await, Ok(None));
    }
    // Nobody had to connect again: there is this connection, and the one that asks.
    let clients = server.command(&["INFO", "clients"]);
    assert!(clients.contains("connected_clients:2"), "{clients}");
}
