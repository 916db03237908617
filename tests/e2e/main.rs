//! Real clients, a real browser and raw bytes against the servers of `examples/`.
//!
//! Every server prints all it can (`RUST_LOG=trace`), and when a test drops it, a secret in what it
//! printed fails that test.
//!
//! `compose` alone needs no server and no peer: it is about layers in one process.

mod browser;
mod clients;
mod compose;
mod dialects;
mod examples;
mod faults;
mod fhir;
mod guarded;
mod kernels;
mod link;
mod live;
mod notebook;
mod pair;
mod people;
mod secrets;
mod sessions;
mod shutdown;
mod tickets;
mod transports;
mod upgrades;
