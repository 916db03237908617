//! Tests of the stores with real Redis servers and clusters that are killed, stopped, slow, full,
//! disconnected or restarted.

mod cluster;
mod faults;
mod get_then_delete;
#[allow(dead_code, unreachable_pub, reason = "a module of another crate")]
#[path = "../../../../tests/src/proxy.rs"]
mod proxy;
mod revocations;
#[allow(dead_code, unreachable_pub, reason = "a module of another crate")]
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

/// Returns a client with a deadline that no test reaches.
fn with_long_deadline(url: &str) -> Redis {
    let deadline = Duration::from_secs(20);
    Redis::builder(url)
        .deadline(deadline)
        .build()
        .expect("a URL")
}

/// Returns a client with the default deadline, for tests of faults.
fn with_default_deadline(url: &str) -> Redis {
    Redis::open(url).expect("a URL")
}

/// A test run with another server than Redis has to use that server.
#[test]
fn the_configured_server_runs() {
    let server = RedisServer::start();
    let is_valkey = server
        .command(&["INFO", "server"])
        .contains("server_name:valkey");
    let program = RedisServer::program();
    assert_eq!(is_valkey, program.to_string_lossy().contains("valkey"));
}
