//! What one can subscribe to.

use fhir_subscriptions_resources::codes::EncounterStatus;
use serde_json::{Value, json};

/// A state of encounters whose beginning is worth a notification.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) id: &'static str,
    pub(crate) url: &'static str,
    title: &'static str,
    status: EncounterStatus,
    code: &'static str,
}

pub(crate) static TOPICS: [Topic; 2] = [
    Topic {
        id: "encounter-start",
        url: "http://example.org/SubscriptionTopic/encounter-start",
        title: "An encounter begins",
        status: EncounterStatus::InProgress,
        code: "in-progress",
    },
    Topic {
        id: "encounter-end",
        url: "http://example.org/SubscriptionTopic/encounter-end",
        title: "An encounter ends",
        status: EncounterStatus::Completed,
        code: "completed",
    },
];

/// The one thing that a subscription may filter by.
pub(crate) const FILTER: &str = "patient";

impl Topic {
    pub(crate) fn find(url: &str) -> Option<&'static Self> {
        TOPICS.iter().find(|topic| topic.url == url)
    }

    /// Whether the change of an encounter is an event of this topic.
    pub(crate) fn is_met(
        &self,
        previous: Option<EncounterStatus>,
        current: EncounterStatus,
    ) -> bool {
        current == self.status && previous != Some(current)
    }

    /// The `SubscriptionTopic`.
    pub(crate) fn resource(&self) -> Value {
        json!({
            "resourceType": "SubscriptionTopic",
            "id": self.id,
            "url": self.url,
            "title": self.title,
            "status": "active",
            "resourceTrigger": [{
                "description": self.title,
                "resource": "Encounter",
                "supportedInteraction": ["create", "update"],
                "queryCriteria": {
                    "previous": format!("status:not={}", self.code),
                    "resultForCreate": "test-passes",
                    "current": format!("status={}", self.code),
                    "requireBoth": true,
                },
            }],
            "canFilterBy": [{ "resource": "Encounter", "filterParameter": FILTER }],
            "notificationShape": [{ "resource": "Encounter" }],
        })
    }
}

#[cfg(test)]
mod tests {
    use EncounterStatus::{Completed, InProgress, Planned};

    use super::*;

    #[test]
    fn only_the_beginning_of_a_state_is_an_event() {
        let [start, end] = &TOPICS;
        let rows = [
            (None, InProgress, true, false),
            (None, Planned, false, false),
            (Some(Planned), InProgress, true, false),
            (Some(InProgress), InProgress, false, false),
            (Some(InProgress), Completed, false, true),
            (Some(Completed), InProgress, true, false),
        ];
        for (previous, current, starts, ends) in rows {
            let row = format!("{previous:?} {current:?}");
            assert_eq!(start.is_met(previous, current), starts, "{row}");
            assert_eq!(end.is_met(previous, current), ends, "{row}");
        }
    }
}
