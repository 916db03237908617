use std::env;
use std::io::{BufRead as _, BufReader, Write as _, stdin};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{StoreError, TicketKey, TicketStore as _};
use portcullis_redis::{Redis, RedisTickets};
use tokio::time::sleep;

use crate::get_then_delete::GetThenDelete;
use crate::server::RedisServer;
use crate::suite::tickets::{contend, ledger, new_key, promises, race};
use crate::with_long_deadline;

const ROUNDS: usize = 100;
const CONTENDERS: usize = 1_000;

#[tokio::test]
async fn fulfils_the_trait() {
    let server = RedisServer::start();
    let tickets = RedisTickets::new(&with_long_deadline(&server.url()));
    // Keys expire by the clock of Redis.
    promises(&tickets, sleep).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_redemptions_succeeds() {
    let server = RedisServer::start();
    let tickets = Arc::new(RedisTickets::new(&with_long_deadline(&server.url())));
    assert_eq!(race(&tickets, ROUNDS, CONTENDERS).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_race_detects_a_wrong_store() {
    let server = RedisServer::start();
    let wrong = Arc::new(GetThenDelete::new(&server.url()).await);
    let redeemed = race(&wrong, ROUNDS, CONTENDERS).await.unwrap_err();
    assert!(redeemed > 1);
}

/// Runs as the second process if the variable is set.
#[test]
fn one_redemption_of_two_processes_succeeds() {
    const URL: &str = "PORTCULLIS_REDIS_OF_SECOND_PROCESS";
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let redeem = |tickets: &Arc<RedisTickets>, key| {
        runtime.block_on(contend(tickets, TicketKey::new(key), CONTENDERS / 2))
    };
    if let Ok(url) = env::var(URL) {
        let tickets = Arc::new(RedisTickets::new(&with_long_deadline(&url)));
        for line in stdin().lines() {
            let key = blake3::Hash::from_hex(line.expect("a line")).expect("a key");
            println!("\nredeemed {}", redeem(&tickets, *key.as_bytes()));
        }
        return;
    }

    let server = RedisServer::start();
    let tickets = Arc::new(RedisTickets::new(&with_long_deadline(&server.url())));
    let mut other = Command::new(env::current_exe().expect("this binary"))
        .args([
            "--exact",
            "tickets::one_redemption_of_two_processes_succeeds",
            "--nocapture",
        ])
        .env(URL, server.url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this binary runs");
    let mut keys = other.stdin.take().expect("piped");
    let mut lines = BufReader::new(other.stdout.take().expect("piped")).lines();
    for round in 0..ROUNDS {
        let key = new_key();
        let put = tickets.put(key, b"r".to_vec(), Duration::from_secs(600));
        runtime.block_on(put).expect("the store has capacity");
        let hex = blake3::Hash::from_bytes(*key.as_bytes()).to_hex();
        writeln!(keys, "{hex}").expect("the other process runs");
        let here = redeem(&tickets, *key.as_bytes());
        let there: usize = lines
            .by_ref()
            .find_map(|line| {
                line.expect("a line")
                    .strip_prefix("redeemed ")?
                    .parse()
                    .ok()
            })
            .expect("the other process responds");
        assert_eq!(here + there, 1, "round {round}: {here} here, {there} there");
    }
    drop(keys);
    assert!(other.wait().expect("a child of ours").success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_ticket_is_redeemed_expired_or_valid() {
    let server = RedisServer::start();
    let tickets = Arc::new(RedisTickets::new(&with_long_deadline(&server.url())));
    ledger(&tickets, sleep).await;
    assert_eq!(server.command(&["DBSIZE"]), "0");
}

#[tokio::test]
async fn prefixes_separate_deployments() {
    let server = RedisServer::start();
    let with = |prefix: &str| {
        let redis = Redis::builder(&server.url())
            .prefix(prefix)
            .build()
            .unwrap();
        RedisTickets::new(&redis)
    };
    let (one, other) = (with("one:"), with("other:"));
    let key = new_key();
    let lifetime = Duration::from_secs(60);
    assert_eq!(one.put(key, b"1".to_vec(), lifetime).await, Ok(()));
    assert_eq!(other.take(key).await, Ok(None));
    assert_eq!(other.put(key, b"2".to_vec(), lifetime).await, Ok(()));
    assert_eq!(one.take(key).await, Ok(Some(b"1".to_vec())));
}

#[tokio::test]
async fn redemption_waits_for_replicas() {
    let primary = RedisServer::start();
    let redis = Redis::builder(&primary.url()).deadline(Duration::from_millis(800));
    let alone = RedisTickets::new(&redis.build().unwrap()).wait_for_replicas(1);
    let lifetime = Duration::from_secs(60);
    let key = new_key();
    assert_eq!(alone.take(key).await, Ok(None), "no ticket was put");
    alone.put(key, b"r".to_vec(), lifetime).await.unwrap();
    assert_eq!(alone.take(key).await, Err(StoreError::Unavailable));
    let tickets = RedisTickets::new(&with_long_deadline(&primary.url()));
    assert_eq!(tickets.take(key).await, Ok(None), "the ticket is used up");

    let port = primary.port().to_string();
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port]);
    replica.wait_for(&["INFO", "replication"], |info| {
        info.contains("master_link_status:up")
    });
    let tickets = tickets.wait_for_replicas(1);
    tickets.put(key, b"r".to_vec(), lifetime).await.unwrap();
    assert_eq!(tickets.take(key).await, Ok(Some(b"r".to_vec())));
    assert_eq!(replica.command(&["DBSIZE"]), "0");
}

#[tokio::test]
async fn redis_out_of_memory_is_full() {
    let server = RedisServer::start_with(&["--maxmemory", "1500kb"]);
    let tickets = RedisTickets::new(&with_long_deadline(&server.url()));
    let lifetime = Duration::from_secs(60);
    let mut kept = Vec::new();
    let full = loop {
        let key = new_key();
        match tickets.put(key, vec![b'x'; 16 * 1024], lifetime).await {
            Ok(()) => kept.push(key),
            Err(error) => break error,
        }
        assert!(
            kept.len() < 1_000,
            "Redis accepts 16 MB with a limit of 1.5 MB"
        );
    };
    assert_eq!(full, StoreError::Full);
    // Acknowledged tickets exist, and redeeming them frees memory.
    for key in kept {
        assert!(tickets.take(key).await.unwrap().is_some());
    }
    assert_eq!(
        tickets.put(new_key(), b"r".to_vec(), lifetime).await,
        Ok(())
    );
}
