//! Real clients, a real browser and raw bytes against the servers of `examples/`.
//!
//! Every server prints all it can (`RUST_LOG=trace`), and when a test drops it, a secret in what it
//! printed fails that test.

mod browser;
mod clients;
mod kernels;
mod link;
mod notebook;
mod secrets;
mod shutdown;
mod transports;
mod upgrades;
