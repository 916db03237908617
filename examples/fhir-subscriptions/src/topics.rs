//! The topics to which clients can subscribe.

use fhir_subscriptions_resources::codes::EncounterStatus;
use serde_json::{Value, json};

/// A topic about encounters that enter a certain status.
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

/// The only search parameter by which a subscription can filter events.
pub(crate) const FILTER: &str = "patient";

impl Topic {
    pub(crate) fn find(url: &str) -> Option<&'static Self> {
        TOPICS.iter().find(|topic| topic.url == url)
    }

    /// Returns whether a change of an encounter is an event of this topic.
    pub(crate) fn matches(
        &self,
        previous: Option<EncounterStatus>,
        current: EncounterStatus,
    ) -> bool {
        current == self.status && previous != Some(current)
    }

    /// Returns the `SubscriptionTopic`.
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
    fn an_encounter_that_enters_the_status_is_an_event() {
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
            assert_eq!(start.matches(previous, current), starts, "{row}");
            assert_eq!(end.matches(previous, current), ends, "{row}");
        }
    }
}
