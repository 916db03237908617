//! Against real Redis: the promises of each store, and what becomes of them when Redis is killed,
//! stopped, slow, full, cut off, restarted, or a cluster.

mod cluster;
mod faults;
mod naive;
#[allow(dead_code, unreachable_pub, reason = "a part of another crate")]
#[path = "../../../../tests/src/proxy.rs"]
mod proxy;
mod revocations;
#[allow(dead_code, unreachable_pub, reason = "a part of another crate")]
#[path = "../../../../tests/src/redis.rs"]
mod server;
#[path = "../suite/mod.rs"]
mod suite;
mod tickets;
#[cfg(feature = "tls")]
mod tls;
mod verifications;

use std::time::Duration;

use portcullis_redis::Redis;

use crate::server::RedisServer;

/// With a deadline that no test waits for.
fn patient(url: &str) -> Redis {
    let deadline = Duration::from_secs(20);
    Redis::builder(url)
        .deadline(deadline)
        .build()
        .expect("a URL")
}

/// With the deadline that there is by default, which faults may be held against.
fn hasty(url: &str) -> Redis {
    Redis::open(url).expect("a URL")
}

/// So that a run against another server than Redis is one.
#[test]
fn what_runs_is_what_was_asked_for() {
    let server = RedisServer::start();
    let is_valkey = server
        .command(&["INFO", "server"])
        .contains("server_name:valkey");
    let program = RedisServer::program();
    assert_eq!(is_valkey, program.to_string_lossy().contains("valkey"));
}
