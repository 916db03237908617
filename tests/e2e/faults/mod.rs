//! Two machines with many clients, and a Redis that fails meanwhile: it is killed, stopped, slow, or
//! out of memory, and one machine cannot subscribe for ten seconds.
//!
//! The other files contain a cluster that loses a server, a machine with `LagPolicy::Close`, and two
//! kernel servers.
//!
//! In every test tokens are accepted, open sockets stay open, no ticket opens two sockets, and no
//! revoked subject has an open socket after the store has recovered. At the end `check_record`
//! compares what the clients observed with the machines and the store.
//!
//! A store that loses its data loses the tickets. This Redis saves what it acknowledges (`appendfsync
//! always`), so no ticket may be missing.

mod clients;
mod cluster;
mod kernels;
mod lag_policy;
mod machine;
mod mallory;
mod record;
mod setup;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future;
use portcullis_e2e::{Mode, Proxy, RedisServer};
use tokio::time::sleep;

use self::clients::{Clients, Store};
use self::machine::Machine;
use self::mallory::Mallory;
use self::record::{Kind, Outcome, Record, Tickets, key_of};
use self::setup::{SHORT_LIVED, Setup};
use crate::guarded::LIMIT;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_killed_and_restarted() {
    let mut redis = RedisServer::start();
    let urls = [redis.url(), redis.url()];
    run_outage(&mut redis, urls, RedisServer::kill, RedisServer::restart).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_stopped_and_continued() {
    let mut redis = RedisServer::start();
    let urls = [redis.url(), redis.url()];
    run_outage(
        &mut redis,
        urls,
        |redis| redis.freeze(),
        |redis| redis.thaw(),
    )
    .await;
}

/// Every command reaches Redis and is executed, and no response arrives in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_slow() {
    let mut redis = RedisServer::start();
    let proxies = [
        Proxy::start(redis.port()).await,
        Proxy::start(redis.port()).await,
    ];
    let urls = proxies.each_ref().map(Proxy::url);
    let set = |mode| proxies.iter().for_each(|proxy| proxy.set(mode));
    let begin = |_: &mut _| set(Mode::Slow(Duration::from_secs(3)));
    // A slightly slow Redis is fast enough.
    let end = |_: &mut _| set(Mode::Slow(Duration::from_millis(5)));
    run_outage(&mut redis, urls, begin, end).await;
}

/// During the outage no ticket can be minted or redeemed, and a revocation applies only at the machine
/// that received it. After the outage everything works, and the revocation applies everywhere.
async fn run_outage(
    redis: &mut RedisServer,
    urls: [String; 2],
    begin: impl FnOnce(&mut RedisServer),
    end: impl FnOnce(&mut RedisServer),
) {
    let setup = Setup::start(&redis.url(), urls, &[]);
    let record = Record::default();
    let machines = setup.machines(&record);
    let mut clients = Clients::connect(&machines).await;
    setup.mint_short_lived_tickets(&record).await;
    let mut mallory = Mallory::connect(&setup, &machines).await;
    clients.run_round(Store::Healthy).await;

    clients.run_round_with_fault(|| begin(redis)).await;
    clients.run_round(Store::Unavailable).await;
    mallory.revoke_at_first_machine_only().await;

    clients.run_round_with_fault(|| end(redis)).await;
    clients.wait_for_store().await;
    mallory.revoke_and_assert_disconnected().await;
    setup.assert_new_machine_refuses_revoked(&redis.url()).await;
    check_record(clients, &machines, || keys(redis)).await;
}

/// No ticket can be minted. Existing tickets can be redeemed, and revocations are stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_out_of_memory() {
    let redis = RedisServer::start();
    let setup = Setup::start(&redis.url(), [redis.url(), redis.url()], &[]);
    let record = Record::default();
    let machines = setup.machines(&record);
    let mut clients = Clients::connect(&machines).await;
    setup.mint_short_lived_tickets(&record).await;
    let mallory = Mallory::connect(&setup, &machines).await;
    clients.run_round(Store::Healthy).await;

    let limit = |bytes| {
        let set = redis.command(&["CONFIG", "SET", "maxmemory", bytes]);
        assert_eq!(set, "OK");
    };
    clients.run_round_with_fault(|| limit("1")).await;
    clients.run_round(Store::OutOfMemory).await;
    mallory.revoke_and_assert_disconnected().await;

    clients.run_round_with_fault(|| limit("0")).await;
    clients.wait_for_store().await;
    check_record(clients, &machines, || keys(&redis)).await;
}

/// One machine receives no revocation for ten seconds, longer than its limit, with `LagPolicy::Stay`.
/// Everything else works, so it admits a subject that was revoked meanwhile. When it can subscribe
/// again, it closes the sockets of the subject.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_cannot_subscribe_for_ten_seconds() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(redis.port()).await;
    let stay = ["--revocation-lag", "2", "--when-revocations-lag", "stay"];
    let setup = Setup::start(&redis.url(), [redis.url(), proxy.url()], &stay);
    let record = Record::default();
    let machines = setup.machines(&record);
    let mut clients = Clients::connect(&machines).await;
    setup.mint_short_lived_tickets(&record).await;
    let mut mallory = Mallory::connect(&setup, &machines).await;
    clients.run_round(Store::Healthy).await;

    proxy.set(Mode::Unsubscribed);
    // The duration of the fault.
    let gap = sleep(Duration::from_secs(10));
    let during = async {
        clients.run_round(Store::Healthy).await;
        mallory.revoke_until_stored().await;
        mallory.open_more_at_second_machine().await;
        clients.run_round(Store::Healthy).await;
    };
    future::join(gap, during).await;
    mallory.assert_connected_at_second_machine().await;

    let began = Instant::now();
    proxy.set(Mode::Open);
    mallory.assert_disconnected().await;
    println!("after the gap: disconnected in {:?}", began.elapsed());
    clients.wait_for_store().await;
    check_record(clients, &machines, || keys(&redis)).await;
}

// --- the record --------------------------------------------------------------------------------

/// Runs one more round, and compares the record of the clients with the machines and the store:
///
/// - Every attempt has one outcome, and the machine has logged the response.
/// - The machines list the sessions that were opened and not closed.
/// - Every ticket is redeemed, revoked, lost, expired or live, as in the store.
async fn check_record<'a>(
    mut clients: Clients<'a>,
    machines: &'a [Machine<'a>; 2],
    keys: impl Fn() -> BTreeSet<String>,
) {
    let record = machines[0].record;
    clients.run_round(Store::Healthy).await;
    for machine in machines {
        assert!(!record.live(machine.index).is_empty());
        machine.wait_until_it_matches_the_record().await;
    }

    let began = Instant::now();
    while !record.short_lived().is_disjoint(&keys()) {
        assert!(began.elapsed() < LIMIT, "the store has expired tickets");
    }
    let before = keys();
    let tickets = record.classify_tickets(&before);
    println!("{tickets:?}, {}", record.summary());
    let Tickets {
        issued,
        redeemed,
        revoked,
        lost,
        expired,
        live,
    } = tickets;
    assert_eq!(issued, redeemed + revoked + lost + expired + live);
    assert!(
        redeemed > 0 && live > 0 && expired >= SHORT_LIVED,
        "{tickets:?}"
    );

    // In none of these states can a ticket open a second socket.
    let live = |ticket: &str| before.contains(&key_of(ticket));
    clients
        .redeem_at_both_machines(&record.unredeemed(), live)
        .await;
    let after = record.classify_tickets(&keys());
    assert_eq!((after.issued, after.live), (issued, 0), "{after:?}");
    assert!(after.redeemed > redeemed, "{after:?}");

    clients.disconnect().await;
    for machine in machines {
        assert!(record.live(machine.index).is_empty());
        machine.wait_until_it_matches_the_record().await;
    }
    record.assert_every_attempt_has_ended();
    // The store saved these tickets, and its response was lost, so no client has them.
    let unanswered = record.count(Kind::Mint, Outcome::Unavailable);
    let unknown = record.unknown(&keys());
    assert!(unknown <= unanswered, "{unknown} tickets were never issued");
}

/// Returns the keys of the tickets in the store.
fn keys(redis: &RedisServer) -> BTreeSet<String> {
    let keys = redis.command(&["KEYS", "portcullis:ticket:*"]);
    keys.lines().map(str::to_owned).collect()
}
