use std::time::Duration;

use clap::{Parser, ValueEnum};
use example_support::User;
use portcullis::session::LagPolicy;

/// Every way a credential can reach a WebSocket.
// No `Debug`: the address of Redis may hold a password.
#[derive(Parser)]
pub(crate) struct Options {
    /// The port to listen on, on 127.0.0.1; 0 for any that is free.
    #[arg(long, default_value_t = 9000)]
    pub(crate) port: u16,

    /// The port of the second origin; 0 for any that is free.
    #[arg(long, default_value_t = 0)]
    pub(crate) cross_port: u16,

    /// Somebody who may come in: `name=token`, or `name=token:scope,scope`. Repeatable.
    #[arg(
        long = "user",
        value_name = "NAME=TOKEN[:SCOPE,SCOPE]",
        required = true
    )]
    pub(crate) users: Vec<User>,

    /// An origin whose pages may use the cookie, too. Repeatable.
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    pub(crate) allowed_origins: Vec<String>,

    /// End every login this long after its admission. For as long as a session may last, unless
    /// set.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) token_lifetime: Option<u64>,

    /// Ping every socket this often, and close those whose client does not answer. Not unless set.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) ping_every: Option<u64>,

    /// Share tickets and revocations with other servers through this Redis.
    #[arg(long, value_name = "URL")]
    pub(crate) redis: Option<String>,

    /// How long revocations of other servers may stay unheard while Redis is away, before
    /// `--when-revocations-lag` decides.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    revocation_lag: u64,

    /// What becomes of sockets then.
    #[arg(long, value_enum, value_name = "POLICY", default_value_t = WhenLate::Stay)]
    when_revocations_lag: WhenLate,
}

impl Options {
    /// For how long Redis may be away, and what happens then.
    pub(crate) fn revocation_lag(&self) -> (Duration, LagPolicy) {
        let policy = match self.when_revocations_lag {
            WhenLate::Stay => LagPolicy::Stay,
            WhenLate::Close => LagPolicy::Close,
        };
        (Duration::from_secs(self.revocation_lag), policy)
    }
}

/// What becomes of sockets when revocations are late.
#[derive(Clone, Copy, ValueEnum)]
enum WhenLate {
    /// They stay, and new ones are let in.
    Stay,

    /// They are closed, and nobody is let in before Redis is back.
    Close,
}
