//! What the end-to-end tests stand on: servers, real clients and a browser, each a process of its
//! own that dies with the test that started it.
//!
//! `tests/run` builds the binaries and installs the peers. Nothing here installs anything, and
//! nothing is skipped: a peer that is missing is a failed test.

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
