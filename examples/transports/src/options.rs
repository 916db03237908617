use std::time::Duration;

use clap::{Parser, ValueEnum};
use example_support::User;
use portcullis::session::LagPolicy;

/// A WebSocket server with one route for each way to send a credential.
// No `Debug`: the URL of Redis may contain a password.
#[derive(Parser)]
pub(crate) struct Options {
    /// The port to listen on, on 127.0.0.1; 0 selects a free port.
    #[arg(long, default_value_t = 9000)]
    pub(crate) port: u16,

    /// The port of the second origin; 0 selects a free port.
    #[arg(long, default_value_t = 0)]
    pub(crate) cross_port: u16,

    /// A user and their token, optionally with scopes. Repeatable.
    #[arg(
        long = "user",
        value_name = "NAME=TOKEN[:SCOPE,SCOPE]",
        required = true
    )]
    pub(crate) users: Vec<User>,

    /// Allow pages of this origin to use the cookie. Repeatable.
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    pub(crate) allowed_origins: Vec<String>,

    /// Expire each login this long after it was verified. Without this option, a login lasts as
    /// long as a session may.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) token_lifetime: Option<u64>,

    /// Ping every socket at this interval, and close the sockets of clients that do not answer.
    /// Without this option, no pings are sent.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) ping_every: Option<u64>,

    /// Share tickets and revocations with other servers through this Redis.
    #[arg(long, value_name = "URL")]
    pub(crate) redis: Option<String>,

    /// How long Redis may be unavailable before `--when-revocations-lag` applies.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    revocation_lag: u64,

    /// What happens to sockets when Redis is unavailable for longer than `--revocation-lag`.
    #[arg(long, value_enum, value_name = "POLICY", default_value_t = LagAction::Stay)]
    when_revocations_lag: LagAction,
}

impl Options {
    /// Returns how long Redis may be unavailable, and what happens after that.
    pub(crate) fn revocation_lag(&self) -> (Duration, LagPolicy) {
        let policy = match self.when_revocations_lag {
            LagAction::Stay => LagPolicy::Stay,
            LagAction::Close => LagPolicy::Close,
        };
        (Duration::from_secs(self.revocation_lag), policy)
    }
}

/// The values of `--when-revocations-lag`.
#[derive(Clone, Copy, ValueEnum)]
enum LagAction {
    /// Keep the sockets open, and admit new ones.
    Stay,

    /// Close all sockets, and refuse new ones until Redis is available again.
    Close,
}
