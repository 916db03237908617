use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{RevocationStore as _, StoreError, TicketKey, TicketStore as _};
use portcullis_redis::{RedisRevocations, RedisTickets};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::server::{RedisCluster, RedisServer};
use crate::suite::revocations::{self, Listener, Notice, revocation};
use crate::suite::tickets::{self, new_key};
use crate::{with_default_deadline, with_long_deadline};

const SET: &str = "portcullis:{revocations}";
const COUNT: &str = "portcullis:{revocations}:count";
const LONG: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_fulfils_both_traits() {
    let cluster = RedisCluster::start();
    let redis = with_long_deadline(&cluster.url());
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
async fn one_server_of_the_url_is_sufficient() {
    let mut cluster = RedisCluster::start();
    let port = cluster.nodes()[2].port();
    let redis = with_long_deadline(&format!("redis+cluster://127.0.0.1:{port}"));
    let store = Arc::new(RedisTickets::new(&redis));
    tickets::ledger(&store, sleep).await;
    // With a URL for a single server, keys of other servers are unavailable.
    let one = RedisTickets::new(&with_long_deadline(&format!("redis://127.0.0.1:{port}")));
    let mut puts = Vec::new();
    for _ in 0..50 {
        puts.push(one.put(new_key(), b"r".to_vec(), LONG).await);
    }
    assert!(puts.contains(&Err(StoreError::Unavailable)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_tickets_of_a_stopped_server_are_unavailable() {
    let mut cluster = RedisCluster::start();
    let store = RedisTickets::new(&with_default_deadline(&cluster.url()));
    let keys: Vec<_> = (0..60).map(|_| new_key()).collect();
    for key in &keys {
        store.put(*key, b"r".to_vec(), LONG).await.unwrap();
    }
    cluster.nodes()[0].kill();
    let mut unavailable = Vec::new();
    for key in keys {
        match store.take(key).await {
            Ok(record) => assert!(record.is_some()),
            Err(error) => {
                assert_eq!(error, StoreError::Unavailable);
                unavailable.push(key);
            }
        }
    }
    assert!(
        (1..60).contains(&unavailable.len()),
        "{}",
        unavailable.len()
    );
    cluster.nodes()[0].restart();
    cluster.wait_until_whole();
    for key in unavailable {
        // The stopped server executed none of the failed redemptions.
        assert_eq!(store.take(key).await, Ok(Some(b"r".to_vec())));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_no_revocation() {
    let mut cluster = RedisCluster::start();
    let redis = with_default_deadline(&cluster.url());
    let every = Duration::from_millis(100);
    let store = Arc::new(RedisRevocations::new(&redis).check_every(every));
    let mut listener = Listener::start(&store);
    listener.full_set().await;
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
    listener.receives(&Notice::Alive).await;
    let set = Listener::start(&store).full_set().await;
    for revocation in acknowledged {
        assert!(set.contains(&revocation));
    }
}

/// During the migration, the server redirects with `ASK`, and afterwards with `MOVED`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_are_redeemed_while_their_slot_migrates() {
    let mut cluster = RedisCluster::start();
    let store = RedisTickets::new(&with_long_deadline(&cluster.url()));
    let [from, to, _] = cluster.nodes() else {
        panic!("three servers");
    };
    // Two tickets of one slot of the first server.
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
        "not migrated yet"
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

/// During the migration, the two keys are on two servers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocations_work_while_their_slot_migrates() {
    let mut cluster = RedisCluster::start();
    let redis = with_long_deadline(&cluster.url());
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
    // The server responds with `TRYAGAIN`.
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
    let set = Listener::start(&store).full_set().await;
    assert!(
        [before, meanwhile, after]
            .iter()
            .all(|revocation| set.contains(revocation))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_replica_has_the_revocations() {
    let mut cluster = RedisCluster::start();
    let home = cluster.owner_of(SET);
    cluster.add_replica(home);
    let redis = with_long_deadline(&cluster.url());
    let every = Duration::from_millis(100);
    let store = RedisRevocations::new(&redis).wait_for_replicas(1);
    let store = Arc::new(store.check_every(every));
    let mut listener = Listener::start(&store);
    listener.full_set().await;
    let acknowledged = revocation("before");
    assert_eq!(store.revoke(&acknowledged).await, Ok(()));
    listener.knows(&acknowledged).await;

    cluster.nodes()[home].kill();
    listener.receives(&Notice::Lost).await;
    let replica = &cluster.nodes()[3];
    replica.wait_for(&["ROLE"], |role| role.starts_with("master"));
    let set = listener.full_set().await;
    assert!(set.contains(&acknowledged));
    // The new primary has no replica, so the revocation is not acknowledged.
    let waiting = RedisRevocations::new(&with_default_deadline(&cluster.url()));
    let waiting = waiting.wait_for_replicas(1);
    let alone = waiting.revoke(&revocation("alone")).await;
    assert_eq!(alone, Err(StoreError::Unavailable));
    let after = revocation("after");
    assert_eq!(RedisRevocations::new(&redis).revoke(&after).await, Ok(()));
    listener.knows(&after).await;
}

/// A server that has lost the majority responds with `CLUSTERDOWN`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_is_used_if_one_reports_that_the_cluster_is_down() {
    let mut cluster = RedisCluster::start();
    let alone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = alone.local_addr().unwrap().port();
    let (requests, mut received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((connection, _)) = alone.accept().await {
            tokio::spawn(respond_clusterdown(connection, requests.clone()));
        }
    });
    let with = cluster.nodes()[0].port();
    let url = format!("redis+cluster://127.0.0.1:{port},127.0.0.1:{with}");
    let store = Arc::new(RedisTickets::new(&with_long_deadline(&url)));
    tickets::ledger(&store, sleep).await;
    assert!(received.recv().await.is_some());

    // Without another server, Redis is unavailable.
    let only = with_default_deadline(&format!("redis+cluster://127.0.0.1:{port}"));
    assert_eq!(only.check().await, Err(StoreError::Unavailable));
}

/// Accepts the greeting, and responds with `CLUSTERDOWN` to all other commands.
async fn respond_clusterdown(connection: TcpStream, requests: mpsc::UnboundedSender<()>) {
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
        let response = match command[0].as_str() {
            "HELLO" => "%0\r\n",
            "CLIENT" => "+OK\r\n",
            _ => {
                let _ = requests.send(());
                "-CLUSTERDOWN The cluster is down\r\n"
            }
        };
        if write.write_all(response.as_bytes()).await.is_err() {
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
