//! Servers, clients and comparisons that the tables share.

mod client;
mod frames;
mod handlers;
mod log;
mod matrix;
mod message_auth;
mod network;
mod outcome;
mod server;
mod table;
mod verifiers;

pub(crate) mod ecosystem;

use std::time::Duration;

pub(crate) use self::client::{
    HttpVersion, bearer_entry, handshake_status, raw_handshake, renew_request, with_lines,
};
pub(crate) use self::frames::{frame, next_frame};
pub(crate) use self::handlers::{LONG_RUNNING, handlers};
pub(crate) use self::log::CapturedLog;
pub(crate) use self::matrix::{Matrix, Verifier, every_carrier};
pub(crate) use self::message_auth::MessageAuthServer;
pub(crate) use self::network::{Socket, connect};
pub(crate) use self::outcome::Outcome;
pub(crate) use self::server::{TestServer, describe_close, settle, wait_for_close};
pub(crate) use self::table::Table;
pub(crate) use self::verifiers::{Tokens, deferred};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
