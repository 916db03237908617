//! Tests against a server in the same process, over loopback connections.

mod client;
mod connections;
mod embedded;
mod processes;
mod rest;
mod sockets;
