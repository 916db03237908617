use std::sync::Arc;

use super::{Terms, Version};

/// Something that happened, as one subscription counts it.
#[derive(Debug)]
pub(crate) struct Event {
    /// The first is 1, and none is left out.
    pub(crate) number: u64,

    /// What it is about, as it was then.
    pub(crate) focus: Version,

    /// How it came to be: `POST` or `PUT`.
    pub(crate) method: &'static str,
}

/// What a client is told about a subscription.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    pub(crate) subscription: Arc<Terms>,

    /// How many events the subscription has had.
    pub(crate) count: u64,

    /// Whether it has no more of them for now.
    pub(crate) is_off: bool,

    pub(crate) kind: Kind,
}

/// Why it is told.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// It has just bound the subscription.
    Handshake,

    /// Nothing has happened for a while, or the subscription was set on or off.
    Heartbeat,

    /// Something has happened.
    Event(Arc<Event>),

    /// It asked for what has happened.
    Events(Vec<Arc<Event>>),

    /// It asked how the subscription is.
    Status,
}
