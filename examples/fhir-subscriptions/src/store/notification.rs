use std::sync::Arc;

use super::{EncounterVersion, SubscriptionSettings};

/// A change of an encounter that matches a subscription.
#[derive(Debug)]
pub(crate) struct Event {
    /// The number of the event in its subscription. The first event has the number 1.
    pub(crate) number: u64,

    /// The encounter after the change.
    pub(crate) focus: EncounterVersion,

    /// The method of the request that made the change: `POST` or `PUT`.
    pub(crate) method: &'static str,
}

/// A notification about one subscription.
#[derive(Clone, Debug)]
pub(crate) struct Notification {
    pub(crate) subscription: Arc<SubscriptionSettings>,

    /// The number of events since the subscription was created.
    pub(crate) count: u64,

    /// Whether the subscription is switched off.
    pub(crate) is_off: bool,

    pub(crate) kind: NotificationKind,
}

/// The reason for a notification.
#[derive(Clone, Debug)]
pub(crate) enum NotificationKind {
    /// The client bound the subscription to its socket.
    Handshake,

    /// There was no other notification for a while, or the subscription was switched on or off.
    Heartbeat,

    /// There is a new event.
    Event(Arc<Event>),

    /// The client requested past events.
    Events(Vec<Arc<Event>>),

    /// The client requested the status of the subscription.
    Status,
}
