//! Servers, real clients and a browser for the end-to-end tests. Each is a separate process that ends
//! with the test that started it.
//!
//! `tests/run` builds the binaries and installs the peers. No test is skipped: if a peer is missing,
//! the test fails.

mod book;
mod browser;
mod client;
mod fhir;
mod jupyter;
#[cfg(test)]
mod limits;
mod page;
mod peer;
mod process;
mod proxy;
mod redis;
mod secret;
mod server;
#[cfg(test)]
mod structure;

pub use browser::Browser;
pub use client::{RawConnection, fetch, get, request};
pub use fhir::{BindingToken, Fhir, faults};
pub use jupyter::JupyterServer;
pub use page::PageServer;
pub use peer::{bundle, node, python};
pub use process::Process;
pub use proxy::{Mode, Proxy};
pub use redis::{Port, RedisCluster, RedisServer};
pub use rustix::process::Signal;
pub use secret::{leaks, new_secret};
pub use server::{Server, ServerBuilder};
