//! A machine that is told to let nobody stay when it hears no revocations.

use portcullis_e2e::{Mode, Proxy, RedisServer};

use super::crowd::{Crowd, Store};
use super::ledger::{Ledger, Outcome};
use super::machine::Way;
use super::mallory::Mallory;
use super::site::Site;
use super::{close_the_books, keys};

/// It cannot subscribe, and can do all else. Who is revoked at the other one meanwhile does not stay
/// longer than the lag, and nor does anybody else. Nobody is let in, until it hears again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_be_revoked_unheard_is_sent_away() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(redis.port()).await;
    let close = ["--revocation-lag", "2", "--when-revocations-lag", "close"];
    let site = Site::start(&redis.url(), [redis.url(), proxy.url()], &close);
    let ledger = Ledger::default();
    let machines = site.machines(&ledger);
    let [one, two] = &machines;
    let mut crowd = Crowd::gather(&machines).await;
    site.mint_some_that_end_soon(&ledger).await;
    let mut mallory = Mallory::arrives(&site, &machines).await;
    crowd.round(Store::Well).await;
    let mut tickets = Vec::new();
    for _ in Way::ALL {
        tickets.push(one.mint_in_time(one.guarded.alice()).await);
    }

    proxy.set(Mode::Unsubscribed);
    mallory.is_revoked_in_time().await;
    mallory.is_sent_away().await;
    crowd.is_sent_away(1).await;
    for token in [two.guarded.alice(), &two.guarded.bob, &site.mallory] {
        let refused = two.open(token).await;
        assert_eq!(refused.err(), Some(Outcome::Unavailable));
        assert_eq!(two.mint(token).await, Err(Outcome::Unavailable));
    }
    for (way, ticket) in Way::ALL.into_iter().zip(&tickets) {
        let refused = two.redeem(ticket, way).await;
        assert_eq!(refused.err(), Some(Outcome::Unavailable), "{way:?}");
    }
    // The other one hears, and goes on.
    let mut held = one.open(one.guarded.alice()).await.expect("alice is known");
    held.echoes().await;
    held.leave().await;

    proxy.set(Mode::Open);
    crowd.comes_back(1).await;
    mallory.vanishes_unasked().await;
    site.one_that_starts_late_refuses_them(&redis.url()).await;
    close_the_books(crowd, &machines, || keys(&redis)).await;
}
