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

use super::body::{Parameters, ResourceBody, to_value, versioned};
use crate::app::App;
use crate::fhir::{FHIR_JSON, FhirJson, instant, searchset};
use crate::outcome::OperationOutcome;
use crate::store::{Content, SubscriptionSettings};
use crate::topics::{FILTER, Topic};

pub(super) async fn create(
    State(app): State<Arc<App>>,
    identity: Identity,
    ResourceBody(resource): ResourceBody,
) -> Result<Response, OperationOutcome> {
    let settings = settings(identity.subject(), subscription(&resource)?)?;
    let mut resource = to_value(&resource);
    resource["id"] = json!(settings.id);
    resource["meta"]["versionId"] = json!("1");
    resource["meta"]["lastUpdated"] = json!(instant(OffsetDateTime::now_utc()));
    // A WebSocket channel needs no setup, so the subscription is active at once.
    resource["status"] = json!("active");
    let created = app.store.subscribe(settings, resource.clone());
    created.map_err(|_| OperationOutcome::limit_reached("subscription"))?;
    Ok(versioned(StatusCode::CREATED, &app.base(), resource))
}

/// Returns a subscription of the user, or 404 for a subscription of another user.
pub(super) async fn read(
    State(app): State<Arc<App>>,
    identity: Identity,
    Path(id): Path<String>,
) -> Result<Response, OperationOutcome> {
    let resource = app.store.subscription(identity.subject(), &id);
    let resource = resource.ok_or_else(|| OperationOutcome::not_found("subscription"))?;
    Ok(versioned(StatusCode::OK, &app.base(), resource))
}

/// Switches a subscription off or on. No other change is supported.
pub(super) async fn update(
    State(app): State<Arc<App>>,
    identity: Identity,
    Path(id): Path<String>,
    ResourceBody(resource): ResourceBody,
) -> Result<Response, OperationOutcome> {
    let is_off = match &*subscription(&resource)?.status {
        "off" => true,
        "requested" | "active" => false,
        _ => {
            let text = "A client can set the status to off or requested.";
            return Err(OperationOutcome::invalid(text));
        }
    };
    let owner = identity.subject();
    let not_found = || OperationOutcome::not_found("subscription");
    let current = app.store.subscription(owner, &id).ok_or_else(not_found)?;
    if immutable_fields(to_value(&resource)) != immutable_fields(current) {
        let text = "Only the status of a subscription can be changed.";
        return Err(OperationOutcome::unsupported(text));
    }
    let updated = app.store.set_off(owner, &id, is_off, |resource| {
        let version = resource["meta"]["versionId"].as_str();
        let version: u64 = version.and_then(|it| it.parse().ok()).unwrap_or(0);
        resource["meta"]["versionId"] = json!((version + 1).to_string());
        resource["meta"]["lastUpdated"] = json!(instant(OffsetDateTime::now_utc()));
        resource["status"] = json!(if is_off { "off" } else { "active" });
    });
    let updated = updated.ok_or_else(not_found)?;
    Ok(versioned(StatusCode::OK, &app.base(), updated))
}

/// Removes the fields that an update may change.
fn immutable_fields(mut subscription: Value) -> Value {
    if let Some(fields) = subscription.as_object_mut() {
        fields.retain(|name, _| name != "meta" && name != "status");
    }
    subscription
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    identity: Identity,
    Path(id): Path<String>,
) -> Result<StatusCode, OperationOutcome> {
    match app.store.unsubscribe(identity.subject(), &id) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(OperationOutcome::not_found("subscription")),
    }
}

/// Returns the subscriptions of the user, filtered by id, status and topic.
pub(super) async fn search(
    State(app): State<Arc<App>>,
    identity: Identity,
    parameters: Parameters,
) -> Result<FhirJson, OperationOutcome> {
    let mut found = app.store.subscriptions(identity.subject());
    let mut link = String::from("Subscription");
    for (name, field) in [("_id", "id"), ("status", "status"), ("topic", "topic")] {
        if let Some(value) = parameters.one(name)? {
            found.retain(|resource| resource[field] == value);
            link.push(if link.contains('?') { '&' } else { '?' });
            link.push_str(&format!("{name}={value}"));
        }
    }
    Ok(FhirJson(searchset(&app.base(), &link, found)))
}

fn subscription(resource: &Resource) -> Result<&Subscription, OperationOutcome> {
    match resource {
        Resource::Subscription(subscription) => Ok(subscription),
        _ => Err(OperationOutcome::invalid(
            "The body must be a Subscription.",
        )),
    }
}

/// Reads the settings of a new subscription. A setting that this server does not support is an
/// error, and not ignored.
fn settings(
    owner: &str,
    subscription: &Subscription,
) -> Result<SubscriptionSettings, OperationOutcome> {
    let topic = Topic::find(&subscription.topic).ok_or_else(|| {
        let text = "The topic does not exist. Search SubscriptionTopic for the supported topics.";
        OperationOutcome::unsupported(text)
    })?;
    if !matches!(&*subscription.status, "requested" | "active") {
        let text = "The status of a new subscription must be requested.";
        return Err(OperationOutcome::invalid(text));
    }
    if subscription.channel_type.code.as_deref() != Some("websocket") {
        let text = "The channel type must be websocket.";
        return Err(OperationOutcome::unsupported(text));
    }
    let content_type = subscription.content_type.as_deref();
    if content_type.is_some_and(|content_type| content_type != FHIR_JSON) {
        let text = format!("The content type must be {FHIR_JSON}.");
        return Err(OperationOutcome::unsupported(text));
    }
    if subscription.end.is_some() {
        let text = "The field end is not supported. Delete the subscription instead.";
        return Err(OperationOutcome::unsupported(text));
    }
    let mut filters = subscription.filter_by.iter().flatten();
    let patient = filters.next().map(patient).transpose()?;
    if filters.next().is_some() {
        let text = "A subscription can have only one filter.";
        return Err(OperationOutcome::unsupported(text));
    }
    let content = match &subscription.content {
        None | Some(SubscriptionPayloadContent::IdOnly) => Content::IdOnly,
        Some(SubscriptionPayloadContent::Empty) => Content::Empty,
        Some(SubscriptionPayloadContent::FullResource) => Content::FullResource,
    };
    let heartbeat = subscription.heartbeat_period.filter(|period| *period > 0);
    Ok(SubscriptionSettings {
        id: uuid::Uuid::new_v4().to_string(),
        owner: owner.to_owned(),
        topic,
        patient,
        content,
        heartbeat: heartbeat.map(|period| Duration::from_secs(period.into())),
    })
}

/// Returns the patient to which a filter restricts a subscription.
fn patient(filter: &SubscriptionFilterBy) -> Result<String, OperationOutcome> {
    let kind = filter.resource_type.as_deref().unwrap_or("Encounter");
    let is_equality =
        matches!(filter.comparator, None | Some(SearchComparator::Eq)) && filter.modifier.is_none();
    if kind != "Encounter" || filter.filter_parameter != FILTER || !is_equality {
        let text = format!("The only supported filter is {FILTER}=… of Encounter.");
        return Err(OperationOutcome::unsupported(text));
    }
    Ok(filter.value.clone())
}
