use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{RevocationStore as _, StoreError, TicketKey, TicketStore as _};
use portcullis_redis::{RedisRevocations, RedisTickets};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::server::{RedisCluster, RedisServer};
use crate::suite::revocations::{self, Heard, Listener, revocation};
use crate::suite::tickets::{self, new_key};
use crate::{hasty, patient};

const SET: &str = "portcullis:{revocations}";
const COUNT: &str = "portcullis:{revocations}:count";
const LONG: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_all_promises() {
    let cluster = RedisCluster::start();
    let redis = patient(&cluster.url());
    assert_eq!(redis.check().await, Ok(()));
    let store = Arc::new(RedisTickets::new(&redis));
    tickets::promises(&*store, sleep).await;
    tickets::ledger(&store, sleep).await;
    assert_eq!(tickets::race(&store, 10, 1_000).await, Ok(()));
    let every = Duration::from_millis(50);
    let store = Arc::new(RedisRevocations::new(&redis).check_every(every));
    revocations::promises(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_one_server_leads_to_the_others() {
    let mut cluster = RedisCluster::start();
    let port = cluster.nodes()[2].port();
    let redis = patient(&format!("redis+cluster://127.0.0.1:{port}"));
    let store = Arc::new(RedisTickets::new(&redis));
    tickets::ledger(&store, sleep).await;
    // As one server it is not good for much, and says so.
    let one = RedisTickets::new(&patient(&format!("redis://127.0.0.1:{port}")));
    let mut puts = Vec::new();
    for _ in 0..50 {
        puts.push(one.put(new_key(), b"r".to_vec(), LONG).await);
    }
    assert!(puts.contains(&Err(StoreError::Unavailable)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down_takes_its_own_tickets_along() {
    let mut cluster = RedisCluster::start();
    let store = RedisTickets::new(&hasty(&cluster.url()));
    let keys: Vec<_> = (0..60).map(|_| new_key()).collect();
    for key in &keys {
        store.put(*key, b"r".to_vec(), LONG).await.unwrap();
    }
    cluster.nodes()[0].kill();
    let mut lost = Vec::new();
    for key in keys {
        match store.take(key).await {
            Ok(record) => assert!(record.is_some()),
            Err(error) => {
                assert_eq!(error, StoreError::Unavailable);
                lost.push(key);
            }
        }
    }
    assert!((1..60).contains(&lost.len()), "{}", lost.len());
    cluster.nodes()[0].restart();
    cluster.wait_until_whole();
    for key in lost {
        // Some were taken by a call that got no answer: none, since it was not running.
        assert_eq!(store.take(key).await, Ok(Some(b"r".to_vec())));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_no_revocation() {
    let mut cluster = RedisCluster::start();
    let redis = hasty(&cluster.url());
    let every = Duration::from_millis(100);
    let store = Arc::new(RedisRevocations::new(&redis).check_every(every));
    let mut listener = Listener::start(&store);
    listener.picture().await;
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        cluster.nodes()[round].stop();
        for index in 0..5 {
            let revocation = revocation(&format!("{round}-{index}"));
            if store.revoke(&revocation).await.is_ok() {
                acknowledged.push(revocation);
            }
        }
        cluster.nodes()[round].restart();
        cluster.wait_until_whole();
        let revocation = revocation(&format!("{round}-after"));
        assert_eq!(store.revoke(&revocation).await, Ok(()));
        acknowledged.push(revocation);
        for revocation in &acknowledged {
            listener.knows(revocation).await;
        }
    }
    listener.hears(&Heard::Alive).await;
    let picture = Listener::start(&store).picture().await;
    for revocation in acknowledged {
        assert!(picture.contains(&revocation));
    }
}

/// A slot moves to another server while its tickets are redeemed: `ASK` first, then `MOVED`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves() {
    let mut cluster = RedisCluster::start();
    let store = RedisTickets::new(&patient(&cluster.url()));
    let [from, to, _] = cluster.nodes() else {
        panic!("three servers");
    };
    // Two tickets of one slot, which the first server has.
    let put = async |key: TicketKey| store.put(key, b"r".to_vec(), LONG).await.unwrap();
    let (slot, [stays, goes]) = two_of_one_slot(from);
    put(stays).await;
    put(goes).await;
    let [from_id, to_id] = [&*from, &*to].map(|node| node.command(&["CLUSTER", "MYID"]));
    to.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
    from.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
    let port = to.port().to_string();
    let name = name(goes);
    from.command(&["MIGRATE", "127.0.0.1", &port, &name, "0", "5000"]);
    assert_eq!(to.command(&["CLUSTER", "COUNTKEYSINSLOT", &slot]), "1");

    assert_eq!(
        store.take(stays).await,
        Ok(Some(b"r".to_vec())),
        "still here"
    );
    assert_eq!(store.take(goes).await, Ok(Some(b"r".to_vec())), "ASK");
    assert_eq!(store.take(goes).await, Ok(None));
    put(goes).await;
    for node in [&*to, &*from] {
        node.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
    }
    assert_eq!(store.take(goes).await, Ok(Some(b"r".to_vec())), "MOVED");
    assert_eq!(store.take(stays).await, Ok(None));
}

/// The same with revocations, whose two keys are in two places for a moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_slot_of_the_revocations_moves() {
    let mut cluster = RedisCluster::start();
    let redis = patient(&cluster.url());
    let every = Duration::from_millis(50);
    let store = Arc::new(RedisRevocations::new(&redis).check_every(every));
    let mut listener = Listener::start(&store);
    let before = revocation("before");
    store.revoke(&before).await.unwrap();
    listener.knows(&before).await;

    let home = cluster.owner_of(SET);
    let nodes = cluster.nodes();
    let (from, to) = (&nodes[home], &nodes[(home + 1) % 3]);
    let slot = from.command(&["CLUSTER", "KEYSLOT", SET]);
    let [from_id, to_id] = [from, to].map(|node| node.command(&["CLUSTER", "MYID"]));
    to.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
    from.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
    let port = to.port().to_string();
    let migrate = |name| from.command(&["MIGRATE", "127.0.0.1", &port, name, "0", "5000"]);
    migrate(SET);
    let meanwhile = revocation("meanwhile");
    let revoking = tokio::spawn({
        let (store, meanwhile) = (Arc::clone(&store), meanwhile.clone());
        async move { store.revoke(&meanwhile).await }
    });
    // It is told to try again.
    from.wait_for(&["INFO", "errorstats"], |stats| {
        stats.contains("errorstat_TRYAGAIN")
    });
    migrate(COUNT);
    assert_eq!(revoking.await.unwrap(), Ok(()));
    for node in [to, from] {
        node.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
    }
    listener.knows(&meanwhile).await;
    let after = revocation("after");
    assert_eq!(store.revoke(&after).await, Ok(()));
    listener.knows(&after).await;
    let picture = Listener::start(&store).picture().await;
    assert!(
        [before, meanwhile, after]
            .iter()
            .all(|it| picture.contains(it))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_over() {
    let mut cluster = RedisCluster::start();
    let home = cluster.owner_of(SET);
    cluster.add_replica(home);
    let redis = patient(&cluster.url());
    let every = Duration::from_millis(100);
    let store = RedisRevocations::new(&redis).wait_for_replicas(1);
    let store = Arc::new(store.check_every(every));
    let mut listener = Listener::start(&store);
    listener.picture().await;
    let acknowledged = revocation("before");
    assert_eq!(store.revoke(&acknowledged).await, Ok(()));
    listener.knows(&acknowledged).await;

    cluster.nodes()[home].kill();
    listener.hears(&Heard::Lost).await;
    let replica = &cluster.nodes()[3];
    replica.wait_for(&["ROLE"], |role| role.starts_with("master"));
    let picture = listener.picture().await;
    assert!(picture.contains(&acknowledged));
    // There is no second copy any more, and it says so.
    let hasty = RedisRevocations::new(&hasty(&cluster.url())).wait_for_replicas(1);
    let alone = hasty.revoke(&revocation("alone")).await;
    assert_eq!(alone, Err(StoreError::Unavailable));
    let after = revocation("after");
    assert_eq!(RedisRevocations::new(&redis).revoke(&after).await, Ok(()));
    listener.knows(&after).await;
}

/// One that cannot reach the rest says so to everybody. The others know better.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_cut_off_from_the_rest() {
    let mut cluster = RedisCluster::start();
    let alone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = alone.local_addr().unwrap().port();
    let (asked, mut was_asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((connection, _)) = alone.accept().await {
            tokio::spawn(say_that_it_is_down(connection, asked.clone()));
        }
    });
    let with = cluster.nodes()[0].port();
    let url = format!("redis+cluster://127.0.0.1:{port},127.0.0.1:{with}");
    let store = Arc::new(RedisTickets::new(&patient(&url)));
    tickets::ledger(&store, sleep).await;
    assert!(was_asked.recv().await.is_some());

    // When nobody knows better, it is the answer.
    let only = hasty(&format!("redis+cluster://127.0.0.1:{port}"));
    assert_eq!(only.check().await, Err(StoreError::Unavailable));
}

/// Greets, and answers every other command as a server does that has lost the majority.
async fn say_that_it_is_down(connection: TcpStream, asked: mpsc::UnboundedSender<()>) {
    let (read, mut write) = connection.into_split();
    let mut lines = BufReader::new(read).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Some(parts) = line.strip_prefix('*') else {
            panic!("not a command: {line}");
        };
        let mut command = Vec::new();
        for _ in 0..parts.parse().expect("a number") {
            lines.next_line().await.expect("a length");
            command.extend(lines.next_line().await.expect("a part"));
        }
        let answer = match command[0].as_str() {
            "HELLO" => "%0\r\n",
            "CLIENT" => "+OK\r\n",
            _ => {
                let _ = asked.send(());
                "-CLUSTERDOWN The cluster is down\r\n"
            }
        };
        if write.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn two_of_one_slot(node: &RedisServer) -> (String, [TicketKey; 2]) {
    let mut seen = std::collections::HashMap::new();
    loop {
        let key = new_key();
        let slot = node.command(&["CLUSTER", "KEYSLOT", &name(key)]);
        if slot.parse::<u16>().expect("a number") >= 16_384 / 3 {
            continue;
        }
        if let Some(other) = seen.insert(slot.clone(), key) {
            return (slot, [other, key]);
        }
    }
}

fn name(key: TicketKey) -> String {
    let digest = blake3::Hash::from_bytes(*key.as_bytes());
    format!("portcullis:ticket:{}", digest.to_hex())
}
