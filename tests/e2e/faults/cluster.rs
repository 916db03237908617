//! A Redis cluster that loses a primary.

use portcullis_e2e::RedisCluster;

use super::clients::{Clients, Store};
use super::mallory::Mallory;
use super::record::Record;
use super::setup::Setup;
use super::{check_record, keys};

/// The primary has the revocations and a part of the tickets. While it is down, the machines admit as
/// before and cannot share revocations, and the other tickets are valid. When the replica takes over,
/// everything works again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_fails_and_a_replica_takes_over() {
    let mut cluster = RedisCluster::start();
    let primary = cluster.owner_of("portcullis:{revocations}");
    cluster.add_replica(primary);
    let replica = cluster.nodes().len() - 1;
    cluster.nodes()[replica].command(&["CONFIG", "SET", WAIT, "yes"]);
    let urls = [cluster.url(), cluster.url()];
    let setup = Setup::start(&cluster.url(), urls, &[]);
    let record = Record::default();
    let machines = setup.machines(&record);
    let mut clients = Clients::connect(&machines).await;
    setup.mint_short_lived_tickets(&record).await;
    let mut mallory = Mallory::connect(&setup, &machines).await;
    clients.run_round(Store::Healthy).await;

    let kill = || {
        cluster.nodes()[primary].kill();
        record.primary_failed();
    };
    clients.run_round_with_fault(kill).await;
    // A part of the keys is available.
    clients.run_round(Store::Changing).await;
    mallory.revoke_at_first_machine_only().await;

    let replica = &cluster.nodes()[replica];
    let take_over = || {
        replica.command(&["CONFIG", "SET", WAIT, "no"]);
    };
    clients.run_round_with_fault(take_over).await;
    replica.wait_for(&["ROLE"], |role| role.starts_with("master"));
    clients.wait_for_store().await;
    mallory.revoke_and_assert_disconnected().await;
    setup
        .assert_new_machine_refuses_revoked(&cluster.url())
        .await;
    let keys = || cluster.running().flat_map(keys).collect();
    check_record(clients, &machines, keys).await;
}

/// The setting that keeps a replica from taking over.
const WAIT: &str = "cluster-replica-no-failover";
