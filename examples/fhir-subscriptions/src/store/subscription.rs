use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fhir_subscriptions_resources::codes::EncounterStatus;
use serde_json::Value;

use super::{EncounterVersion, Event, EventsExpired, Notification, NotificationKind};
use crate::topics::Topic;

/// The number of events that a subscription keeps for `$events`.
const MAX_EVENTS: usize = 5_000;

/// The settings of a subscription, which do not change after its creation.
#[derive(Debug)]
pub(crate) struct SubscriptionSettings {
    pub(crate) id: String,
    pub(crate) owner: String,
    pub(crate) topic: &'static Topic,
    /// If set, only encounters of this patient match.
    pub(crate) patient: Option<String>,
    pub(crate) content: Content,
    /// The longest time between two notifications.
    pub(crate) heartbeat: Option<Duration>,
}

impl SubscriptionSettings {
    /// Returns whether a change of an encounter is an event of this subscription.
    pub(crate) fn matches(
        &self,
        previous: Option<EncounterStatus>,
        current: &EncounterVersion,
    ) -> bool {
        self.topic.matches(previous, current.status)
            && (self.patient.is_none() || self.patient == current.patient)
    }
}

/// The amount of information in a notification.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Content {
    /// Only the number of the event.
    Empty,
    /// The id of the encounter.
    IdOnly,
    /// The whole encounter.
    FullResource,
}

/// A subscription and its events.
#[derive(Debug)]
pub(super) struct SubscriptionState {
    pub(super) settings: Arc<SubscriptionSettings>,
    pub(super) resource: Value,
    pub(super) is_off: bool,
    count: u64,
    /// The latest events, oldest first.
    events: VecDeque<Arc<Event>>,
}

impl SubscriptionState {
    pub(super) fn new(settings: SubscriptionSettings, resource: Value) -> Self {
        Self {
            settings: Arc::new(settings),
            resource,
            is_off: false,
            count: 0,
            events: VecDeque::new(),
        }
    }

    pub(super) fn is_owned_by(&self, owner: &str) -> bool {
        self.settings.owner == owner
    }

    /// Assigns the next number to an event, stores the event, and returns its notification.
    pub(super) fn record(&mut self, focus: EncounterVersion, method: &'static str) -> Notification {
        self.count += 1;
        let event = Arc::new(Event {
            number: self.count,
            focus,
            method,
        });
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(Arc::clone(&event));
        self.notification(NotificationKind::Event(event))
    }

    pub(super) fn notification(&self, kind: NotificationKind) -> Notification {
        Notification {
            subscription: Arc::clone(&self.settings),
            count: self.count,
            is_off: self.is_off,
            kind,
        }
    }

    /// Returns the events from `since` to `until`, both included. Fails if any of them has been
    /// discarded, because a client would not notice that the list is incomplete.
    pub(super) fn events(&self, since: u64, until: u64) -> Result<Notification, EventsExpired> {
        let oldest = self.count + 1 - self.events.len() as u64;
        let range = since.max(1)..=until.min(self.count);
        if !range.is_empty() && *range.start() < oldest {
            return Err(EventsExpired { oldest });
        }
        let events = self.events.iter();
        let events = events.filter(|event| range.contains(&event.number));
        Ok(self.notification(NotificationKind::Events(events.cloned().collect())))
    }
}
