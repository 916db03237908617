use std::sync::Arc;

use axum::extract::{Path, State};
use http::StatusCode;
use portcullis::Identity;
use serde_json::{Value, json};
use uuid::Uuid;

use super::body::Parameters;
use crate::app::App;
use crate::fhir::{FhirJson, instant, searchset};
use crate::outcome::OperationOutcome;
use crate::store::{Content, Notification};

/// Handles `Subscription/$get-ws-binding-token`: issues a token for the requested subscriptions, or
/// for all subscriptions of the user.
pub(super) async fn binding_token(
    State(app): State<Arc<App>>,
    identity: Identity,
    parameters: Parameters,
) -> Result<FhirJson, OperationOutcome> {
    let ids = requested_ids(&app, &identity, &parameters);
    issue_token(&app, &identity, ids)
}

/// Handles `Subscription/[id]/$get-ws-binding-token`: issues a token for this subscription.
///
/// R5 requires that the parameter `id` is ignored.
pub(super) async fn binding_token_of(
    State(app): State<Arc<App>>,
    identity: Identity,
    Path(id): Path<String>,
) -> Result<FhirJson, OperationOutcome> {
    issue_token(&app, &identity, vec![id])
}

fn issue_token(
    app: &App,
    identity: &Identity,
    mut ids: Vec<String>,
) -> Result<FhirJson, OperationOutcome> {
    ids.sort_unstable();
    ids.dedup();
    let subject = identity.subject();
    let exists = |id: &String| app.store.subscription(subject, id).is_some();
    if !ids.iter().all(exists) {
        return Err(OperationOutcome::not_found("subscription"));
    }
    if ids.is_empty() {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let text = "The user has no subscription.";
        return Err(OperationOutcome::new(status, "business-rule", text));
    }
    let issued = app.tokens.issue(subject, ids);
    let (token, binding) = issued.map_err(|_| OperationOutcome::limit_reached("token"))?;
    let mut parameters = vec![
        json!({ "name": "token", "valueString": token }),
        json!({ "name": "expiration", "valueDateTime": instant(binding.expires_at.into()) }),
    ];
    let subscriptions = binding.subscriptions.iter();
    parameters.extend(subscriptions.map(|id| json!({ "name": "subscription", "valueString": id })));
    parameters.push(json!({ "name": "websocket-url", "valueUrl": app.websocket_url() }));
    Ok(FhirJson(
        json!({ "resourceType": "Parameters", "parameter": parameters }),
    ))
}

/// Handles `Subscription/$status`: returns the status of the requested subscriptions, or of all
/// subscriptions of the user.
pub(super) async fn status(
    State(app): State<Arc<App>>,
    identity: Identity,
    parameters: Parameters,
) -> Result<FhirJson, OperationOutcome> {
    let ids = requested_ids(&app, &identity, &parameters);
    statuses(&app, &identity, &ids, "Subscription/$status")
}

/// Handles `Subscription/[id]/$status`.
pub(super) async fn status_of(
    State(app): State<Arc<App>>,
    identity: Identity,
    Path(id): Path<String>,
) -> Result<FhirJson, OperationOutcome> {
    let link = format!("Subscription/{id}/$status");
    statuses(&app, &identity, &[id], &link)
}

fn statuses(
    app: &App,
    identity: &Identity,
    ids: &[String],
    link: &str,
) -> Result<FhirJson, OperationOutcome> {
    let base = app.base();
    let statuses: Option<Vec<Value>> = ids
        .iter()
        .map(|id| {
            let notification = app.store.status(identity.subject(), id)?;
            let content = notification.subscription.content;
            Some(notification.status(&base, &Uuid::new_v4().to_string(), content))
        })
        .collect();
    let statuses = statuses.ok_or_else(|| OperationOutcome::not_found("subscription"))?;
    Ok(FhirJson(searchset(&base, link, statuses)))
}

/// Handles `Subscription/[id]/$events`: returns past events.
pub(super) async fn events(
    State(app): State<Arc<App>>,
    identity: Identity,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Result<FhirJson, OperationOutcome> {
    let number = |name: &str| -> Result<Option<u64>, OperationOutcome> {
        let value = parameters.one(name)?.map(|value| value.parse());
        value.transpose().map_err(|_| {
            OperationOutcome::invalid(format!("The parameter {name} must be an event number."))
        })
    };
    let since = number("eventsSinceNumber")?.unwrap_or(1);
    let until = number("eventsUntilNumber")?.unwrap_or(u64::MAX);
    let content = match parameters.one("content")?.as_deref() {
        None => None,
        Some("empty") => Some(Content::Empty),
        Some("id-only") => Some(Content::IdOnly),
        Some("full-resource") => Some(Content::FullResource),
        Some(_) => {
            let text = "The parameter content must be empty, id-only or full-resource.";
            return Err(OperationOutcome::invalid(text));
        }
    };
    let events = app.store.events(identity.subject(), &id, since, until);
    let events = events.ok_or_else(|| OperationOutcome::not_found("subscription"))?;
    let notification: Notification = events.map_err(|expired| {
        let text = format!("The oldest available event is {}.", expired.oldest);
        OperationOutcome::new(StatusCode::GONE, "expired", text)
    })?;
    let content = content.unwrap_or(notification.subscription.content);
    Ok(FhirJson(notification.bundle_with(&app.base(), content)))
}

/// Returns the values of the parameter `id`, or the ids of all subscriptions of the user.
fn requested_ids(app: &App, identity: &Identity, parameters: &Parameters) -> Vec<String> {
    let ids = parameters.all("id");
    if !ids.is_empty() {
        return ids;
    }
    let owned = app.store.subscriptions(identity.subject());
    let ids = owned.iter().filter_map(|resource| resource["id"].as_str());
    ids.map(str::to_owned).collect()
}
