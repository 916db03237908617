//! Tests that send requests and messages to a running server.

mod client;
mod fhircast;
mod rest;
mod sockets;
