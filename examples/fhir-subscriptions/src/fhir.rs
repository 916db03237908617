//! The wire format of FHIR: media type, timestamps and bundles.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use fhir_subscriptions_resources::{from_value, serialize};
use http::{HeaderValue, header};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::store::{Content, EncounterVersion, Event, Notification, NotificationKind};

/// The media type of resources.
pub(crate) const FHIR_JSON: &str = "application/fhir+json";

/// A response that contains a resource.
#[derive(Debug)]
pub(crate) struct FhirJson(pub(crate) Value);

impl IntoResponse for FhirJson {
    fn into_response(self) -> Response {
        let content_type = HeaderValue::from_static("application/fhir+json; charset=utf-8");
        ([(header::CONTENT_TYPE, content_type)], to_json(&self.0)).into_response()
    }
}

/// Serializes a resource, after checking that it is valid R5.
pub(crate) fn to_json(resource: &Value) -> String {
    serialize(&from_value(resource))
}

/// Formats a time as a FHIR `instant`, with milliseconds.
pub(crate) fn instant(time: OffsetDateTime) -> String {
    // Formatting fails only for years after 9999.
    time.truncate_to_millisecond()
        .format(&Rfc3339)
        .unwrap_or_default()
}

/// Returns the `Bundle` of a search result.
pub(crate) fn searchset(base: &str, link: &str, resources: Vec<Value>) -> Value {
    let entries: Vec<_> = resources
        .into_iter()
        .map(|resource| {
            let [kind, id] = ["resourceType", "id"].map(|key| resource[key].as_str().unwrap_or(""));
            json!({
                "fullUrl": format!("{base}/{kind}/{id}"),
                "resource": resource,
                "search": { "mode": "match" },
            })
        })
        .collect();
    let mut bundle = json!({
        "resourceType": "Bundle",
        "type": "searchset",
        "timestamp": instant(OffsetDateTime::now_utc()),
        "total": entries.len(),
        "link": [{ "relation": "self", "url": format!("{base}/{link}") }],
    });
    // FHIR does not allow empty arrays.
    if !entries.is_empty() {
        bundle["entry"] = json!(entries);
    }
    bundle
}

impl Notification {
    /// Returns the `Bundle` with the content that the subscription asks for.
    pub(crate) fn bundle(&self, base: &str) -> Value {
        self.bundle_with(base, self.subscription.content)
    }

    /// Returns the `Bundle` with the given content.
    pub(crate) fn bundle_with(&self, base: &str, content: Content) -> Value {
        let id = Uuid::new_v4();
        let mut entries = vec![json!({
            "fullUrl": format!("urn:uuid:{id}"),
            "resource": self.status(base, &id.to_string(), content),
        })];
        for event in self.events() {
            let Some(entry) = entry(base, event, content) else {
                continue;
            };
            // Entries with the same URL must contain different versions of the resource.
            let is_duplicate = |other: &Value| {
                other["fullUrl"] == entry["fullUrl"] && content != Content::FullResource
            };
            if !entries.iter().any(is_duplicate) {
                entries.push(entry);
            }
        }
        json!({
            "resourceType": "Bundle",
            "id": Uuid::new_v4(),
            "type": "subscription-notification",
            "timestamp": instant(OffsetDateTime::now_utc()),
            "entry": entries,
        })
    }

    /// Returns the `SubscriptionStatus`.
    pub(crate) fn status(&self, base: &str, id: &str, content: Content) -> Value {
        let kind = match self.kind {
            NotificationKind::Handshake => "handshake",
            NotificationKind::Heartbeat => "heartbeat",
            NotificationKind::Event(_) => "event-notification",
            NotificationKind::Events(_) => "query-event",
            NotificationKind::Status => "query-status",
        };
        let subscription = &self.subscription;
        let mut status = json!({
            "resourceType": "SubscriptionStatus",
            "id": id,
            "status": if self.is_off { "off" } else { "active" },
            "type": kind,
            "eventsSinceSubscriptionStart": self.count.to_string(),
            "subscription": { "reference": format!("{base}/Subscription/{}", subscription.id) },
            "topic": subscription.topic.url,
        });
        let events: Vec<_> = self
            .events()
            .iter()
            .map(|event| {
                let mut item = json!({
                    "eventNumber": event.number.to_string(),
                    "timestamp": instant(event.focus.updated_at),
                });
                if content != Content::Empty {
                    item["focus"] = json!({ "reference": url(base, &event.focus) });
                }
                item
            })
            .collect();
        if !events.is_empty() {
            status["notificationEvent"] = json!(events);
        }
        status
    }

    fn events(&self) -> &[Arc<Event>] {
        match &self.kind {
            NotificationKind::Event(event) => std::slice::from_ref(event),
            NotificationKind::Events(events) => events,
            NotificationKind::Handshake
            | NotificationKind::Heartbeat
            | NotificationKind::Status => &[],
        }
    }
}

/// Returns the bundle entry for the encounter of an event.
fn entry(base: &str, event: &Event, content: Content) -> Option<Value> {
    let (request_url, status) = match event.method {
        "POST" => ("Encounter".to_owned(), "201"),
        _ => (event.focus.reference(), "200"),
    };
    let mut entry = json!({
        "fullUrl": url(base, &event.focus),
        "request": { "method": event.method, "url": request_url },
        "response": { "status": status },
    });
    match content {
        Content::Empty => return None,
        Content::IdOnly => {}
        Content::FullResource => entry["resource"] = (*event.focus.resource).clone(),
    }
    Some(entry)
}

fn url(base: &str, focus: &EncounterVersion) -> String {
    format!("{base}/{}", focus.reference())
}
