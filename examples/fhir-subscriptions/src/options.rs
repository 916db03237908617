use std::num::NonZeroU32;
use std::time::Duration;

use clap::Parser;
use example_support::User;

/// FHIR R5 subscriptions over WebSocket, and FHIRcast.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// The port to listen on, on 127.0.0.1; 0 for any that is free.
    #[arg(long, default_value_t = 9100)]
    pub(crate) port: u16,

    /// Somebody who may come in: `name=token`, or `name=token:scope,scope`. Repeatable.
    #[arg(
        long = "user",
        value_name = "NAME=TOKEN[:SCOPE,SCOPE]",
        required = true
    )]
    pub(crate) users: Vec<User>,

    /// How long a binding token is good for, and the longest lease of FHIRcast.
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    pub(crate) token_lifetime: NonZeroU32,

    /// How many notifications may wait for a client that reads slowly, before its socket is closed.
    #[arg(long, value_name = "COUNT", default_value = "256")]
    pub(crate) queue: NonZeroU32,
}

impl Options {
    pub(crate) fn token_lifetime(&self) -> Duration {
        Duration::from_secs(self.token_lifetime.get().into())
    }
}
