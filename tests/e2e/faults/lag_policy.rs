//! A machine with `LagPolicy::Close`.

use portcullis_e2e::{Mode, Proxy, RedisServer};

use super::clients::{Clients, Store};
use super::machine::Way;
use super::mallory::Mallory;
use super::record::{Outcome, Record};
use super::setup::Setup;
use super::{check_record, keys};

/// The machine cannot subscribe, and everything else works. It closes all sockets after the lag and
/// refuses new ones until it can subscribe again. So a subject that is revoked at the other machine
/// keeps no socket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_without_revocations_closes_and_refuses_sockets() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(redis.port()).await;
    let close = ["--revocation-lag", "2", "--when-revocations-lag", "close"];
    let setup = Setup::start(&redis.url(), [redis.url(), proxy.url()], &close);
    let record = Record::default();
    let machines = setup.machines(&record);
    let [one, two] = &machines;
    let mut clients = Clients::connect(&machines).await;
    setup.mint_short_lived_tickets(&record).await;
    let mut mallory = Mallory::connect(&setup, &machines).await;
    clients.run_round(Store::Healthy).await;
    let mut tickets = Vec::new();
    for _ in Way::ALL {
        tickets.push(one.mint_in_time(one.guarded.alice()).await);
    }

    proxy.set(Mode::Unsubscribed);
    mallory.revoke_until_stored().await;
    mallory.expect_unavailable_close().await;
    clients.expect_unavailable_close(1).await;
    for token in [two.guarded.alice(), &two.guarded.bob, &setup.mallory] {
        let refused = two.open(token).await;
        assert_eq!(refused.err(), Some(Outcome::Unavailable));
        assert_eq!(two.mint(token).await, Err(Outcome::Unavailable));
    }
    for (way, ticket) in Way::ALL.into_iter().zip(&tickets) {
        let refused = two.redeem(ticket, way).await;
        assert_eq!(refused.err(), Some(Outcome::Unavailable), "{way:?}");
    }
    // The other machine receives revocations and works.
    let opened = one.open(one.guarded.alice()).await;
    let mut socket = opened.expect("alice is admitted");
    socket.assert_echoes().await;
    socket.close().await;

    proxy.set(Mode::Open);
    clients.reconnect(1).await;
    mallory.assert_disconnected().await;
    setup.assert_new_machine_refuses_revoked(&redis.url()).await;
    check_record(clients, &machines, || keys(&redis)).await;
}
