use std::num::NonZeroU32;
use std::time::Duration;

use clap::Parser;
use example_support::User;

/// A server for FHIR R5 subscriptions over WebSocket, and for FHIRcast.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// The port to listen on, on 127.0.0.1; 0 selects a free port.
    #[arg(long, default_value_t = 9100)]
    pub(crate) port: u16,

    /// A user and their token, optionally with scopes. Repeatable.
    #[arg(
        long = "user",
        value_name = "NAME=TOKEN[:SCOPE,SCOPE]",
        required = true
    )]
    pub(crate) users: Vec<User>,

    /// The lifetime of a binding token, and the maximum lease of a FHIRcast subscription.
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    pub(crate) token_lifetime: NonZeroU32,

    /// The number of notifications that are queued for a client before its socket is closed.
    #[arg(long, value_name = "COUNT", default_value = "256")]
    pub(crate) queue: NonZeroU32,
}

impl Options {
    pub(crate) fn token_lifetime(&self) -> Duration {
        Duration::from_secs(self.token_lifetime.get().into())
    }
}
