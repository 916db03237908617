//! Tests of the servers in `examples/` with real clients, a browser and raw bytes.
//!
//! Every server logs at TRACE level. When a test drops a server, the test fails if the output contains
//! a secret.
//!
//! Only `compose` needs no server and no peer: it tests layers in this process.

mod administration;
mod browser;
mod clients;
mod compose;
mod dialects;
mod faults;
mod fhir;
mod guarded;
mod kernel_sessions;
mod kernels;
mod link;
mod notebook;
mod pair;
mod secrets;
mod sessions;
mod shutdown;
mod tickets;
mod transports;
mod upgrades;
