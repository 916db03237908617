//! The server, driven in process over real connections on loopback.

mod client;
mod embedded;
mod live;
mod processes;
mod rest;
mod sockets;
