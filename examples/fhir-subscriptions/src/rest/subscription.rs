use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use fhir_subscriptions_resources::codes::{SearchComparator, SubscriptionPayloadContent};
use fhir_subscriptions_resources::{Resource, Subscription, SubscriptionFilterBy};
use http::StatusCode;
use portcullis::Identity;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::body::{Input, Sent, json, versioned};
use crate::app::App;
use crate::fhir::{FHIR_JSON, Fhir, instant, searchset};
use crate::outcome::Outcome;
use crate::store::{Content, Terms};
use crate::topics::{FILTER, Topic};

pub(super) async fn create(
    State(app): State<Arc<App>>,
    identity: Identity,
    Sent(resource): Sent,
) -> Result<Response, Outcome> {
    let Resource::Subscription(subscription) = &resource else {
        return Err(Outcome::invalid("Send a Subscription."));
    };
    let terms = terms(identity.subject(), subscription)?;
    let mut resource = json(&resource);
    resource["id"] = json!(terms.id);
    resource["meta"]["versionId"] = json!("1");
    resource["meta"]["lastUpdated"] = json!(instant(OffsetDateTime::now_utc()));
    // There is nothing that could not be set up: whoever binds is served.
    resource["status"] = json!("active");
    let subscribed = app.store.subscribe(terms, resource.clone());
    subscribed.map_err(|_| Outcome::full("subscription"))?;
    Ok(versioned(StatusCode::CREATED, &app.base(), resource))
}

pub(super) async fn read(
    State(app): State<Arc<App>>,
    identity: Identity,
    Path(id): Path<String>,
) -> Result<Response, Outcome> {
    let found = app.store.subscription(identity.subject(), &id);
    // Somebody else's is not there.
    let resource = found.ok_or_else(|| Outcome::not_found("subscription"))?;
    Ok(versioned(StatusCode::OK, &app.base(), resource))
}

/// Sets a subscription off, or on again. Whoever wants anything else of it wants another one.
pub(super) async fn update(
    State(app): State<Arc<App>>,
    identity: Identity,
    Path(id): Path<String>,
    Sent(resource): Sent,
) -> Result<Response, Outcome> {
    let Resource::Subscription(subscription) = &resource else {
        return Err(Outcome::invalid("Send a Subscription."));
    };
    let is_off = match &*subscription.status {
        "off" => true,
        "requested" | "active" => false,
        _ => return Err(Outcome::invalid("A client sets it to off or requested.")),
    };
    let owner = identity.subject();
    let not_found = || Outcome::not_found("subscription");
    let present = app.store.subscription(owner, &id).ok_or_else(not_found)?;
    if agreed(json(&resource)) != agreed(present) {
        let text = "The status is all that can be changed.";
        return Err(Outcome::unsupported(text));
    }
    let changed = app.store.switch(owner, &id, is_off, |resource| {
        let version = resource["meta"]["versionId"].as_str();
        let version: u64 = version.and_then(|it| it.parse().ok()).unwrap_or(0);
        resource["meta"]["versionId"] = json!((version + 1).to_string());
        resource["meta"]["lastUpdated"] = json!(instant(OffsetDateTime::now_utc()));
        resource["status"] = json!(if is_off { "off" } else { "active" });
    });
    let changed = changed.ok_or_else(not_found)?;
    Ok(versioned(StatusCode::OK, &app.base(), changed))
}

/// What was agreed on when it was created.
fn agreed(mut subscription: Value) -> Value {
    if let Some(fields) = subscription.as_object_mut() {
        fields.retain(|name, _| name != "meta" && name != "status");
    }
    subscription
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    identity: Identity,
    Path(id): Path<String>,
) -> Result<StatusCode, Outcome> {
    match app.store.unsubscribe(identity.subject(), &id) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Outcome::not_found("subscription")),
    }
}

/// The caller's subscriptions: all of them, or those of an id, a status, a topic.
pub(super) async fn search(
    State(app): State<Arc<App>>,
    identity: Identity,
    input: Input,
) -> Result<Fhir, Outcome> {
    let mut found = app.store.subscriptions(identity.subject());
    let mut link = String::from("Subscription");
    for (name, field) in [("_id", "id"), ("status", "status"), ("topic", "topic")] {
        if let Some(value) = input.one(name)? {
            found.retain(|resource| resource[field] == value);
            link.push(if link.contains('?') { '&' } else { '?' });
            link.push_str(&format!("{name}={value}"));
        }
    }
    Ok(Fhir(searchset(&app.base(), &link, found)))
}

/// What somebody subscribes to. Whatever we would not do is refused, not ignored.
fn terms(owner: &str, subscription: &Subscription) -> Result<Terms, Outcome> {
    let topic = Topic::find(&subscription.topic).ok_or_else(|| {
        Outcome::unsupported("There is no such topic. SubscriptionTopic lists them.")
    })?;
    if !matches!(&*subscription.status, "requested" | "active") {
        return Err(Outcome::invalid("Ask for a status of requested."));
    }
    if subscription.channel_type.code.as_deref() != Some("websocket") {
        return Err(Outcome::unsupported("The one channel here is websocket."));
    }
    let wanted = subscription.content_type.as_deref();
    if wanted.is_some_and(|wanted| wanted != FHIR_JSON) {
        let text = format!("Notifications are in {FHIR_JSON}.");
        return Err(Outcome::unsupported(text));
    }
    if subscription.end.is_some() {
        let text = "A subscription ends when it is deleted.";
        return Err(Outcome::unsupported(text));
    }
    let mut filters = subscription.filter_by.iter().flatten();
    let patient = filters.next().map(patient).transpose()?;
    if filters.next().is_some() {
        return Err(Outcome::unsupported("One filter is all there can be."));
    }
    let content = match &subscription.content {
        None | Some(SubscriptionPayloadContent::IdOnly) => Content::IdOnly,
        Some(SubscriptionPayloadContent::Empty) => Content::Empty,
        Some(SubscriptionPayloadContent::FullResource) => Content::FullResource,
    };
    let heartbeat = subscription.heartbeat_period.filter(|period| *period > 0);
    Ok(Terms {
        id: uuid::Uuid::new_v4().to_string(),
        owner: owner.to_owned(),
        topic,
        patient,
        content,
        heartbeat: heartbeat.map(|period| Duration::from_secs(period.into())),
    })
}

/// The patient that a filter asks for.
fn patient(filter: &SubscriptionFilterBy) -> Result<String, Outcome> {
    let kind = filter.resource_type.as_deref().unwrap_or("Encounter");
    let plain =
        matches!(filter.comparator, None | Some(SearchComparator::Eq)) && filter.modifier.is_none();
    if kind != "Encounter" || filter.filter_parameter != FILTER || !plain {
        let text = format!("The one filter here is Encounter's {FILTER}=…");
        return Err(Outcome::unsupported(text));
    }
    Ok(filter.value.clone())
}
