use crate::close::CloseFrame;
use std::fmt;
use std::pin::Pin;

/// A socket that can be taken out of the hands of its handler.
pub(super) trait Evict: fmt::Debug + Send + Sync {
    /// Takes the socket out, at once. The future sends the frame, waits for the client to answer
    /// and lets the socket go; dropped, it lets it go without.
    fn evict(&self, frame: CloseFrame) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// Looks whether its client is there, and pings it.
    fn look(&self) -> Pulse;

    /// Goes on sending the ping. Whether there is nothing left to do.
    fn flush(&self) -> bool;
}

/// What a look at a socket finds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pulse {
    /// The client lives, or has until the next look to show it.
    Fine,

    /// The same, and the ping is not all on its way.
    Stuck,

    /// Nothing was heard since the last ping.
    Silent,

    /// The client has gone, and nobody has noticed.
    Gone,
}

/// A socket that does as it is told, for tests.
#[cfg(test)]
#[derive(Debug)]
pub(super) struct Idle;

#[cfg(test)]
impl Evict for Idle {
    fn evict(&self, _: CloseFrame) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }

    fn look(&self) -> Pulse {
        Pulse::Fine
    }

    fn flush(&self) -> bool {
        true
    }
}
