use std::sync::Arc;

use axum::extract::{Path, State};
use http::StatusCode;
use portcullis::Identity;
use serde_json::{Value, json};

use super::body::Input;
use crate::app::App;
use crate::fhir::{Fhir, instant, searchset};
use crate::outcome::Outcome;
use crate::store::{Content, Notice};

/// `Subscription/$get-ws-binding-token`: for the ids that are given, or for all that the caller has.
pub(super) async fn binding_token(
    State(app): State<Arc<App>>,
    identity: Identity,
    input: Input,
) -> Result<Fhir, Outcome> {
    mint(&app, &identity, wanted(&app, &identity, &input))
}

/// `Subscription/[id]/$get-ws-binding-token`. Ids among the parameters are ignored, as R5 says.
pub(super) async fn binding_token_of(
    State(app): State<Arc<App>>,
    identity: Identity,
    Path(id): Path<String>,
) -> Result<Fhir, Outcome> {
    mint(&app, &identity, vec![id])
}

fn mint(app: &App, identity: &Identity, mut ids: Vec<String>) -> Result<Fhir, Outcome> {
    ids.sort_unstable();
    ids.dedup();
    let subject = identity.subject();
    if ids
        .iter()
        .any(|id| app.store.subscription(subject, id).is_none())
    {
        return Err(Outcome::not_found("subscription"));
    }
    if ids.is_empty() {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let text = "There is no subscription that a token could be for.";
        return Err(Outcome::new(status, "business-rule", text));
    }
    let minted = app.tokens.mint(subject, ids);
    let (token, grant) = minted.map_err(|_| Outcome::full("token"))?;
    let mut parameters = vec![
        json!({ "name": "token", "valueString": token }),
        json!({ "name": "expiration", "valueDateTime": instant(grant.expires_at.into()) }),
    ];
    let subscriptions = grant.subscriptions.iter();
    parameters.extend(subscriptions.map(|id| json!({ "name": "subscription", "valueString": id })));
    parameters.push(json!({ "name": "websocket-url", "valueUrl": app.websocket_url() }));
    Ok(Fhir(
        json!({ "resourceType": "Parameters", "parameter": parameters }),
    ))
}

/// `Subscription/$status`: of the ids that are given, or of all that the caller has.
pub(super) async fn status(
    State(app): State<Arc<App>>,
    identity: Identity,
    input: Input,
) -> Result<Fhir, Outcome> {
    let ids = wanted(&app, &identity, &input);
    statuses(&app, &identity, &ids, "Subscription/$status")
}

/// `Subscription/[id]/$status`.
pub(super) async fn status_of(
    State(app): State<Arc<App>>,
    identity: Identity,
    Path(id): Path<String>,
) -> Result<Fhir, Outcome> {
    let link = format!("Subscription/{id}/$status");
    statuses(&app, &identity, &[id], &link)
}

fn statuses(app: &App, identity: &Identity, ids: &[String], link: &str) -> Result<Fhir, Outcome> {
    let base = app.base();
    let statuses: Option<Vec<Value>> = ids
        .iter()
        .map(|id| {
            let notice = app.store.status(identity.subject(), id)?;
            let name = uuid::Uuid::new_v4().to_string();
            Some(notice.status(&base, &name, notice.subscription.content))
        })
        .collect();
    let statuses = statuses.ok_or_else(|| Outcome::not_found("subscription"))?;
    Ok(Fhir(searchset(&base, link, statuses)))
}

/// `Subscription/[id]/$events`: what a client has missed.
pub(super) async fn events(
    State(app): State<Arc<App>>,
    identity: Identity,
    Path(id): Path<String>,
    input: Input,
) -> Result<Fhir, Outcome> {
    let number = |name: &str| -> Result<Option<u64>, Outcome> {
        let given = input.one(name)?.map(|value| value.parse());
        let number = given.transpose();
        number.map_err(|_| Outcome::invalid(format!("{name} is no number of an event.")))
    };
    let since = number("eventsSinceNumber")?.unwrap_or(1);
    let until = number("eventsUntilNumber")?.unwrap_or(u64::MAX);
    let content = match input.one("content")?.as_deref() {
        None => None,
        Some("empty") => Some(Content::Empty),
        Some("id-only") => Some(Content::IdOnly),
        Some("full-resource") => Some(Content::FullResource),
        Some(_) => return Err(Outcome::invalid("content is none that R5 knows.")),
    };
    let found = app.store.events(identity.subject(), &id, since, until);
    let found = found.ok_or_else(|| Outcome::not_found("subscription"))?;
    // Part of the answer would look like all of it.
    let notice: Notice = found.map_err(|forgotten| {
        let text = format!("The oldest event that is kept is {}.", forgotten.oldest);
        Outcome::new(StatusCode::GONE, "expired", text)
    })?;
    let content = content.unwrap_or(notice.subscription.content);
    Ok(Fhir(notice.bundle_with(&app.base(), content)))
}

/// The ids that are given, or those of all that the caller has.
fn wanted(app: &App, identity: &Identity, input: &Input) -> Vec<String> {
    let given = input.all("id");
    if !given.is_empty() {
        return given;
    }
    let own = app.store.subscriptions(identity.subject());
    let ids = own.iter().filter_map(|resource| resource["id"].as_str());
    ids.map(str::to_owned).collect()
}
