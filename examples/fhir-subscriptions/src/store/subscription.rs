use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fhir_subscriptions_resources::codes::EncounterStatus;
use serde_json::Value;

use super::{Event, Forgotten, Kind, Notice, Version};
use crate::topics::Topic;

/// How many events are kept for `$events`.
const MAX_EVENTS: usize = 5_000;

/// What was agreed on when somebody subscribed.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) id: String,
    pub(crate) owner: String,
    pub(crate) topic: &'static Topic,
    /// Only encounters of this patient.
    pub(crate) patient: Option<String>,
    pub(crate) content: Content,
    /// Say something at least that often.
    pub(crate) heartbeat: Option<Duration>,
}

impl Terms {
    /// Whether the change of an encounter is an event of this subscription.
    pub(crate) fn are_met(&self, previous: Option<EncounterStatus>, current: &Version) -> bool {
        self.topic.is_met(previous, current.status)
            && (self.patient.is_none() || self.patient == current.patient)
    }
}

/// How much a notification tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Content {
    /// That something happened.
    Empty,
    /// And to what.
    IdOnly,
    /// And what it is now.
    FullResource,
}

/// A subscription and what has happened in it.
#[derive(Debug)]
pub(super) struct Subscribed {
    pub(super) terms: Arc<Terms>,
    pub(super) resource: Value,
    pub(super) is_off: bool,
    count: u64,
    /// The last of the events, the oldest first.
    events: VecDeque<Arc<Event>>,
}

impl Subscribed {
    pub(super) fn new(terms: Terms, resource: Value) -> Self {
        Self {
            terms: Arc::new(terms),
            resource,
            is_off: false,
            count: 0,
            events: VecDeque::new(),
        }
    }

    pub(super) fn is_of(&self, owner: &str) -> bool {
        self.terms.owner == owner
    }

    /// Gives the event its number, and keeps it.
    pub(super) fn record(&mut self, focus: Version, method: &'static str) -> Notice {
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
        self.notice(Kind::Event(event))
    }

    pub(super) fn notice(&self, kind: Kind) -> Notice {
        Notice {
            subscription: Arc::clone(&self.terms),
            count: self.count,
            is_off: self.is_off,
            kind,
        }
    }

    /// The events from `since` to `until`, both included. Rather none than some of them.
    pub(super) fn events(&self, since: u64, until: u64) -> Result<Notice, Forgotten> {
        let oldest = self.count + 1 - self.events.len() as u64;
        let wanted = since.max(1)..=until.min(self.count);
        if !wanted.is_empty() && *wanted.start() < oldest {
            return Err(Forgotten { oldest });
        }
        let events = self
            .events
            .iter()
            .filter(|event| wanted.contains(&event.number));
        Ok(self.notice(Kind::Events(events.cloned().collect())))
    }
}
