//! A cluster of Redis, of which a primary dies.

use portcullis_e2e::RedisCluster;

use super::crowd::{Crowd, Store};
use super::ledger::Ledger;
use super::mallory::Mallory;
use super::site::Site;
use super::{close_the_books, keys};

/// It has the revocations, and its share of the tickets. While nobody has them, a machine lets in
/// whom it would let in, and tells a revocation to nobody. The other tickets are good throughout. When
/// its replica takes over, all is as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_dies_and_a_replica_takes_over() {
    let mut cluster = RedisCluster::start();
    let home = cluster.owner_of("portcullis:{revocations}");
    cluster.add_replica(home);
    let replica = cluster.nodes().len() - 1;
    cluster.nodes()[replica].command(&["CONFIG", "SET", WAIT, "yes"]);
    let urls = [cluster.url(), cluster.url()];
    let site = Site::start(&cluster.url(), urls, &[]);
    let ledger = Ledger::default();
    let machines = site.machines(&ledger);
    let mut crowd = Crowd::gather(&machines).await;
    site.mint_some_that_end_soon(&ledger).await;
    let mut mallory = Mallory::arrives(&site, &machines).await;
    crowd.round(Store::Well).await;

    let kill = || {
        cluster.nodes()[home].kill();
        ledger.a_primary_dies();
    };
    crowd.round_while(kill).await;
    // Some of what a round needs is there, and some is not.
    crowd.round(Store::Turning).await;
    mallory.is_known_of_here_alone().await;

    let replica = &cluster.nodes()[replica];
    let take_over = || {
        replica.command(&["CONFIG", "SET", WAIT, "no"]);
    };
    crowd.round_while(take_over).await;
    replica.wait_for(&["ROLE"], |role| role.starts_with("master"));
    crowd.has_its_store().await;
    mallory.vanishes().await;
    site.one_that_starts_late_refuses_them(&cluster.url()).await;
    let keys = || cluster.running().flat_map(keys).collect();
    close_the_books(crowd, &machines, keys).await;
}

/// Makes a replica wait.
const WAIT: &str = "cluster-replica-no-failover";
