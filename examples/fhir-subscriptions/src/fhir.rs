//! What FHIR looks like on the wire: its media type, its times, its bundles.

use axum::response::{IntoResponse, Response};
use fhir_subscriptions_resources::{make, write};
use http::{HeaderValue, header};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::store::{Content, Event, Kind, Notice, Version};

/// The media type of resources.
pub(crate) const FHIR_JSON: &str = "application/fhir+json";

/// A resource as the answer to a request.
#[derive(Debug)]
pub(crate) struct Fhir(pub(crate) Value);

impl IntoResponse for Fhir {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("application/fhir+json; charset=utf-8");
        ([(header::CONTENT_TYPE, kind)], text(&self.0)).into_response()
    }
}

/// A resource as text. It has been read as one of R5 before.
pub(crate) fn text(resource: &Value) -> String {
    write(&make(resource))
}

/// A point in time, as exactly as all clients can read it.
pub(crate) fn instant(at: OffsetDateTime) -> String {
    // It fails for years of five digits.
    at.truncate_to_millisecond()
        .format(&Rfc3339)
        .unwrap_or_default()
}

/// A search's result.
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
    // FHIR knows no empty list.
    if !entries.is_empty() {
        bundle["entry"] = json!(entries);
    }
    bundle
}

impl Notice {
    /// The `Bundle` that tells it.
    pub(crate) fn bundle(&self, base: &str) -> Value {
        self.bundle_with(base, self.subscription.content)
    }

    /// The same, with as much in it as the client asks for.
    pub(crate) fn bundle_with(&self, base: &str, content: Content) -> Value {
        let id = uuid::Uuid::new_v4();
        let mut entries = vec![json!({
            "fullUrl": format!("urn:uuid:{id}"),
            "resource": self.status(base, &id.to_string(), content),
        })];
        for event in self.events() {
            let Some(entry) = entry(base, event, content) else {
                continue;
            };
            // Two entries with one address would have to be two versions of a resource.
            let is_there = |other: &Value| {
                other["fullUrl"] == entry["fullUrl"] && content != Content::FullResource
            };
            if !entries.iter().any(is_there) {
                entries.push(entry);
            }
        }
        json!({
            "resourceType": "Bundle",
            "id": uuid::Uuid::new_v4(),
            "type": "subscription-notification",
            "timestamp": instant(OffsetDateTime::now_utc()),
            "entry": entries,
        })
    }

    /// The `SubscriptionStatus` alone.
    pub(crate) fn status(&self, base: &str, id: &str, content: Content) -> Value {
        let kind = match self.kind {
            Kind::Handshake => "handshake",
            Kind::Heartbeat => "heartbeat",
            Kind::Event(_) => "event-notification",
            Kind::Events(_) => "query-event",
            Kind::Status => "query-status",
        };
        let terms = &self.subscription;
        let mut status = json!({
            "resourceType": "SubscriptionStatus",
            "id": id,
            "status": if self.is_off { "off" } else { "active" },
            "type": kind,
            "eventsSinceSubscriptionStart": self.count.to_string(),
            "subscription": { "reference": format!("{base}/Subscription/{}", terms.id) },
            "topic": terms.topic.url,
        });
        let events: Vec<_> = self
            .events()
            .iter()
            .map(|event| {
                let mut told = json!({
                    "eventNumber": event.number.to_string(),
                    "timestamp": instant(event.focus.at),
                });
                if content != Content::Empty {
                    told["focus"] = json!({ "reference": address(base, &event.focus) });
                }
                told
            })
            .collect();
        if !events.is_empty() {
            status["notificationEvent"] = json!(events);
        }
        status
    }

    fn events(&self) -> &[std::sync::Arc<Event>] {
        match &self.kind {
            Kind::Event(event) => std::slice::from_ref(event),
            Kind::Events(events) => events,
            Kind::Handshake | Kind::Heartbeat | Kind::Status => &[],
        }
    }
}

/// What a notification says of the resource an event is about.
fn entry(base: &str, event: &Event, content: Content) -> Option<Value> {
    let (url, status) = match event.method {
        "POST" => ("Encounter".to_owned(), "201"),
        _ => (event.focus.reference(), "200"),
    };
    let mut entry = json!({
        "fullUrl": address(base, &event.focus),
        "request": { "method": event.method, "url": url },
        "response": { "status": status },
    });
    match content {
        Content::Empty => return None,
        Content::IdOnly => {}
        Content::FullResource => entry["resource"] = (*event.focus.resource).clone(),
    }
    Some(entry)
}

fn address(base: &str, focus: &Version) -> String {
    format!("{base}/{}", focus.reference())
}
