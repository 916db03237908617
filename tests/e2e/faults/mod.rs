//! Two machines, many clients, and a Redis that fails while they come and go: it is killed, stopped,
//! slow, out of memory, and one machine cannot subscribe for ten seconds.
//!
//! A cluster that loses a server, a machine that was told to let nobody stay when it hears no
//! revocations, and two kernel servers have files of their own.
//!
//! Whatever happens, tokens are let in, open sockets live on, no ticket opens two sockets, and
//! nobody who was revoked keeps a socket once the store is back. At the end the books are closed:
//! see `close_the_books`.
//!
//! A store that is lost with its data loses tickets, which are in its memory. This one writes down
//! what it acknowledges (`appendfsync always`), so none may be missing.

mod cluster;
mod crowd;
mod kernels;
mod ledger;
mod machine;
mod mallory;
mod policy;
mod site;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future;
use portcullis_e2e::{Mode, Proxy, RedisServer};
use tokio::time::sleep;

use self::crowd::{Crowd, Store};
use self::ledger::{Kind, Ledger, Outcome, Tickets, key_of};
use self::machine::Machine;
use self::mallory::Mallory;
use self::site::{SHORT_LIVED, Site};
use crate::guarded::LIMIT;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_restarted() {
    let mut redis = RedisServer::start();
    let urls = [redis.url(), redis.url()];
    is_away_for_a_while(&mut redis, urls, RedisServer::kill, RedisServer::restart).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_and_continued() {
    let mut redis = RedisServer::start();
    let urls = [redis.url(), redis.url()];
    is_away_for_a_while(
        &mut redis,
        urls,
        |redis| redis.freeze(),
        |redis| redis.thaw(),
    )
    .await;
}

/// Every call reaches the store, which does what it is told, and no answer comes in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow() {
    let mut redis = RedisServer::start();
    let proxies = [
        Proxy::start(redis.port()).await,
        Proxy::start(redis.port()).await,
    ];
    let urls = proxies.each_ref().map(Proxy::url);
    let set = |mode| proxies.iter().for_each(|proxy| proxy.set(mode));
    let begin = |_: &mut _| set(Mode::Slow(Duration::from_secs(3)));
    // Slower than usual is good enough.
    let end = |_: &mut _| set(Mode::Slow(Duration::from_millis(5)));
    is_away_for_a_while(&mut redis, urls, begin, end).await;
}

/// There are no tickets, and a revocation is in force at the machine that was told alone. When the
/// store is back, all is as before, and who was revoked is out everywhere.
async fn is_away_for_a_while(
    redis: &mut RedisServer,
    urls: [String; 2],
    begin: impl FnOnce(&mut RedisServer),
    end: impl FnOnce(&mut RedisServer),
) {
    let site = Site::start(&redis.url(), urls, &[]);
    let ledger = Ledger::default();
    let machines = site.machines(&ledger);
    let mut crowd = Crowd::gather(&machines).await;
    site.mint_some_that_end_soon(&ledger).await;
    let mut mallory = Mallory::arrives(&site, &machines).await;
    crowd.round(Store::Well).await;

    crowd.round_while(|| begin(redis)).await;
    crowd.round(Store::Away).await;
    mallory.is_known_of_here_alone().await;

    crowd.round_while(|| end(redis)).await;
    crowd.has_its_store().await;
    mallory.vanishes().await;
    site.one_that_starts_late_refuses_them(&redis.url()).await;
    close_the_books(crowd, &machines, || keys(redis)).await;
}

/// No ticket is minted. Those that there are can be redeemed, and revocations go through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_memory() {
    let redis = RedisServer::start();
    let site = Site::start(&redis.url(), [redis.url(), redis.url()], &[]);
    let ledger = Ledger::default();
    let machines = site.machines(&ledger);
    let mut crowd = Crowd::gather(&machines).await;
    site.mint_some_that_end_soon(&ledger).await;
    let mallory = Mallory::arrives(&site, &machines).await;
    crowd.round(Store::Well).await;

    let limit = |bytes| {
        let set = redis.command(&["CONFIG", "SET", "maxmemory", bytes]);
        assert_eq!(set, "OK");
    };
    crowd.round_while(|| limit("1")).await;
    crowd.round(Store::Full).await;
    mallory.vanishes().await;

    crowd.round_while(|| limit("0")).await;
    crowd.has_its_store().await;
    close_the_books(crowd, &machines, || keys(&redis)).await;
}

/// One machine hears nothing of the other for ten seconds, which is far longer than it is told that
/// revocations may be late: it is not told to care. All else works, and so it cannot know that it
/// lets in who was revoked in the gap. When the gap is over, they are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_off_from_messages_for_ten_seconds() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(redis.port()).await;
    let stay = ["--revocation-lag", "2", "--when-revocations-lag", "stay"];
    let site = Site::start(&redis.url(), [redis.url(), proxy.url()], &stay);
    let ledger = Ledger::default();
    let machines = site.machines(&ledger);
    let mut crowd = Crowd::gather(&machines).await;
    site.mint_some_that_end_soon(&ledger).await;
    let mut mallory = Mallory::arrives(&site, &machines).await;
    crowd.round(Store::Well).await;

    proxy.set(Mode::Unsubscribed);
    // The fault itself takes this long.
    let gap = sleep(Duration::from_secs(10));
    let during = async {
        crowd.round(Store::Well).await;
        mallory.is_revoked_in_time().await;
        mallory.comes_again().await;
        crowd.round(Store::Well).await;
    };
    future::join(gap, during).await;
    mallory.is_there_still().await;

    let began = Instant::now();
    proxy.set(Mode::Open);
    mallory.vanishes_unasked().await;
    println!("after the gap: gone in {:?}", began.elapsed());
    crowd.has_its_store().await;
    close_the_books(crowd, &machines, || keys(&redis)).await;
}

// --- the books are closed ----------------------------------------------------------------------

/// One more round, and then: every attempt has one outcome, which the machine has printed, too; what
/// was opened and not closed is what the machines list; and every ticket is redeemed, revoked, lost,
/// expired or live, as the store says.
async fn close_the_books<'a>(
    mut crowd: Crowd<'a>,
    machines: &'a [Machine<'a>; 2],
    keys: impl Fn() -> BTreeSet<String>,
) {
    let ledger = machines[0].ledger;
    crowd.round(Store::Well).await;
    for machine in machines {
        assert!(!ledger.live(machine.index).is_empty());
        machine.agrees().await;
    }

    let began = Instant::now();
    while !ledger.short_lived().is_disjoint(&keys()) {
        assert!(
            began.elapsed() < LIMIT,
            "tickets stay for longer than they may"
        );
    }
    let before = keys();
    let tickets = ledger.sort_tickets(&before);
    println!("{tickets:?}, {}", ledger.summary());
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

    // Whatever a ticket has become, it does not become a second socket.
    let live = |ticket: &str| before.contains(&key_of(ticket));
    crowd.try_at_both(&ledger.unredeemed(), live).await;
    let after = ledger.sort_tickets(&keys());
    assert_eq!((after.issued, after.live), (issued, 0), "{after:?}");
    assert!(after.redeemed > redeemed, "{after:?}");

    crowd.leave().await;
    for machine in machines {
        assert!(ledger.live(machine.index).is_empty());
        machine.agrees().await;
    }
    ledger.assert_balanced();
    // Minted when the store could not say so. Nobody has them.
    let unanswered = ledger.count(Kind::Mint, Outcome::Unavailable);
    let unknown = ledger.unknown(&keys());
    assert!(unknown <= unanswered, "{unknown} tickets are nobody's");
}

/// The tickets that the store has.
fn keys(redis: &RedisServer) -> BTreeSet<String> {
    let keys = redis.command(&["KEYS", "portcullis:ticket:*"]);
    keys.lines().map(str::to_owned).collect()
}
