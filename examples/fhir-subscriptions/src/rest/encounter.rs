use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use fhir_subscriptions_resources::Resource;
use http::StatusCode;

use super::body::{Sent, json, versioned};
use crate::app::App;
use crate::outcome::Outcome;
use crate::store::{Draft, Version};

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Sent(resource): Sent,
) -> Result<Response, Outcome> {
    let version = app.store.create(draft(&resource)?);
    let version = version.map_err(|_| Outcome::full("encounter"))?;
    Ok(answer(StatusCode::CREATED, &app, &version))
}

pub(super) async fn read(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, Outcome> {
    let version = number(&id).and_then(|id| app.store.encounter(id));
    let version = version.ok_or_else(|| Outcome::not_found("encounter"))?;
    Ok(answer(StatusCode::OK, &app, &version))
}

pub(super) async fn update(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Sent(resource): Sent,
) -> Result<Response, Outcome> {
    let draft = draft(&resource)?;
    if draft.resource["id"] != *id {
        return Err(Outcome::invalid("The id is another than the address says."));
    }
    let version = number(&id).and_then(|id| app.store.update(id, draft));
    // The server gives the names, so an update creates nothing.
    let version = version.ok_or_else(|| Outcome::not_found("encounter"))?;
    Ok(answer(StatusCode::OK, &app, &version))
}

fn draft(resource: &Resource) -> Result<Draft, Outcome> {
    let Resource::Encounter(encounter) = resource else {
        return Err(Outcome::invalid("Send an Encounter."));
    };
    let patient = encounter.subject.as_ref();
    Ok(Draft {
        status: encounter.status,
        patient: patient.and_then(|patient| patient.reference.clone()),
        resource: json(resource),
    })
}

/// The number in a name. `01` is not the name of the first.
fn number(id: &str) -> Option<u64> {
    let number: u64 = id.parse().ok()?;
    (number.to_string() == id).then_some(number)
}

fn answer(status: StatusCode, app: &App, version: &Version) -> Response {
    versioned(status, &app.base(), (*version.resource).clone())
}
