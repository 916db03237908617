use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_core::TicketStore as _;
use portcullis_core::{Revocation, RevocationStore as _, StoreError};
use portcullis_redis::{Redis, RedisRevocations, RedisTickets};

use crate::server::RedisServer;
use crate::suite::revocations::{Listener, Notice, promises, races, revocation};
use crate::suite::tickets::new_key;
use crate::with_long_deadline;

const SET: &str = "portcullis:{revocations}";
const COUNT: &str = "portcullis:{revocations}:count";

fn store(server: &RedisServer) -> RedisRevocations {
    RedisRevocations::new(&with_long_deadline(&server.url()))
}

#[tokio::test]
async fn fulfils_the_trait() {
    let server = RedisServer::start();
    promises(&Arc::new(
        store(&server).check_every(Duration::from_millis(50)),
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_that_start_during_revocations_receive_all() {
    let server = RedisServer::start();
    races(&Arc::new(store(&server))).await;
}

#[tokio::test]
async fn more_revocations_than_a_page_are_read() {
    let server = RedisServer::start();
    let store = Arc::new(store(&server));
    let revokers: Vec<_> = (0..2_500)
        .map(|index| {
            let store = Arc::clone(&store);
            let revocation = revocation(&format!("t{index}"));
            tokio::spawn(async move { store.revoke(&revocation).await })
        })
        .collect();
    for revoker in revokers {
        assert_eq!(revoker.await.unwrap(), Ok(()));
    }
    let mut set = Listener::start(&store).full_set().await;
    set.sort_by_key(|revocation| format!("{revocation:?}"));
    set.dedup();
    assert_eq!(set.len(), 2_500);
}

#[tokio::test]
async fn ended_revocations_are_removed_after_an_hour() {
    let server = RedisServer::start();
    let store = store(&server);
    let ago = |seconds| SystemTime::now() - Duration::from_secs(seconds);
    for (name, end) in [("long ago", ago(3_700)), ("just now", ago(60))] {
        store
            .revoke(&Revocation::token(name).until(end))
            .await
            .unwrap();
    }
    store
        .revoke(&Revocation::token("without end"))
        .await
        .unwrap();
    let left = server.command(&["ZRANGE", SET, "0", "-1"]);
    assert!(!left.contains("long ago"), "{left}");
    assert!(left.contains("just now"), "{left}");
    let set = Listener::start(&Arc::new(store)).full_set().await;
    assert_eq!(set, [Revocation::token("without end")]);
}

#[tokio::test]
async fn keys_have_no_expiry() {
    let server = RedisServer::start();
    store(&server).revoke(&revocation("t")).await.unwrap();
    for key in [SET, COUNT] {
        assert_eq!(server.command(&["TTL", key]), "-1", "{key}");
    }
}

#[tokio::test]
async fn unknown_versions_and_foreign_messages_are_skipped() {
    let server = RedisServer::start();
    let store = Arc::new(store(&server).check_every(Duration::from_millis(20)));
    let mut listener = Listener::start(&store);
    listener.full_set().await;
    server.command(&["PUBLISH", SET, "hello"]);
    server.command(&["INCR", COUNT]);
    server.command(&[
        "ZADD",
        SET,
        "+inf",
        r#"{"version":3,"revocation":{"device":"d"}}"#,
    ]);
    server.command(&[
        "PUBLISH",
        SET,
        r#"1 {"version":3,"revocation":{"device":"d"}}"#,
    ]);
    let known = revocation("t");
    store.revoke(&known).await.unwrap();
    listener.knows(&known).await;
    assert_eq!(Listener::start(&store).full_set().await, [known]);
    assert!(!listener.unread().contains(&Notice::Lost));
}

#[tokio::test]
async fn revocations_are_stored_if_redis_is_out_of_memory() {
    let server = RedisServer::start_with(&["--maxmemory", "1500kb"]);
    let redis = with_long_deadline(&server.url());
    let tickets = RedisTickets::new(&redis);
    let lifetime = Duration::from_secs(60);
    while tickets
        .put(new_key(), vec![b'x'; 16 * 1024], lifetime)
        .await
        .is_ok()
    {}
    let full = tickets
        .put(new_key(), vec![b'x'; 16 * 1024], lifetime)
        .await;
    assert_eq!(full, Err(StoreError::Full));

    let store = Arc::new(RedisRevocations::new(&redis));
    let mut listener = Listener::start(&store);
    listener.full_set().await;
    let revoked = revocation("t");
    assert_eq!(store.revoke(&revoked).await, Ok(()));
    listener.knows(&revoked).await;
}

#[tokio::test]
async fn revocation_waits_for_replicas() {
    let primary = RedisServer::start();
    let redis = Redis::builder(&primary.url()).deadline(Duration::from_millis(800));
    let redis = redis.build().unwrap();
    let store = RedisRevocations::new(&redis).wait_for_replicas(1);
    let alone = store.revoke(&revocation("alone")).await;
    assert_eq!(alone, Err(StoreError::Unavailable));

    let port = primary.port().to_string();
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port]);
    replica.wait_for(&["INFO", "replication"], |info| {
        info.contains("master_link_status:up")
    });
    let store = RedisRevocations::new(&with_long_deadline(&primary.url())).wait_for_replicas(1);
    assert_eq!(store.revoke(&revocation("both")).await, Ok(()));
    let members = replica.command(&["ZRANGE", SET, "0", "-1"]);
    assert!(members.contains("both"), "{members}");
}

#[tokio::test]
async fn the_documented_acl_is_sufficient() {
    let server = RedisServer::start();
    // The rule in the documentation of the crate.
    let documented = include_str!("../../src/lib.rs");
    let (_, rule) = documented
        .split_once("//! ACL SETUSER portcullis ")
        .unwrap();
    let (rule, _) = rule.split_once("```").unwrap();
    let rule = rule.replace("//!", "").replace("PASSWORD", "s3cret");
    let mut command = vec!["ACL", "SETUSER", "portcullis"];
    command.extend(rule.split_whitespace());
    assert_eq!(server.command(&command), "OK");
    let url = |password| format!("redis://portcullis:{password}@127.0.0.1:{}", server.port());

    let redis = with_long_deadline(&url("s3cret"));
    assert_eq!(redis.check().await, Ok(()));
    let store = Arc::new(RedisRevocations::new(&redis));
    let mut listener = Listener::start(&store);
    listener.full_set().await;
    let revoked = revocation("t");
    assert_eq!(store.revoke(&revoked).await, Ok(()));
    listener.knows(&revoked).await;
    let tickets = RedisTickets::new(&redis);
    let key = new_key();
    assert_eq!(
        tickets
            .put(key, b"r".to_vec(), Duration::from_secs(9))
            .await,
        Ok(())
    );
    assert_eq!(tickets.take(key).await, Ok(Some(b"r".to_vec())));

    assert_eq!(
        with_long_deadline(&url("wrong")).check().await,
        Err(StoreError::Unavailable)
    );
    let foreign = Redis::builder(&url("s3cret"))
        .prefix("other:")
        .build()
        .unwrap();
    assert_eq!(foreign.check().await, Err(StoreError::Unavailable));
}
