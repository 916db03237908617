//! The server as its clients see it.

mod client;
mod fhircast;
mod rest;
mod sockets;
