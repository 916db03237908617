use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use fhir_subscriptions_resources::Resource;
use http::StatusCode;

use super::body::{ResourceBody, to_value, versioned};
use crate::app::App;
use crate::outcome::OperationOutcome;
use crate::store::{EncounterInput, EncounterVersion};

pub(super) async fn create(
    State(app): State<Arc<App>>,
    ResourceBody(resource): ResourceBody,
) -> Result<Response, OperationOutcome> {
    let encounter = app.store.create(input(&resource)?);
    let encounter = encounter.map_err(|_| OperationOutcome::limit_reached("encounter"))?;
    Ok(response(StatusCode::CREATED, &app, &encounter))
}

pub(super) async fn read(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, OperationOutcome> {
    let encounter = parse_id(&id).and_then(|id| app.store.encounter(id));
    let encounter = encounter.ok_or_else(|| OperationOutcome::not_found("encounter"))?;
    Ok(response(StatusCode::OK, &app, &encounter))
}

/// Updates an encounter. The server assigns all ids, so an update never creates an encounter.
pub(super) async fn update(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    ResourceBody(resource): ResourceBody,
) -> Result<Response, OperationOutcome> {
    let input = input(&resource)?;
    if input.resource["id"] != *id {
        let text = "The id of the resource differs from the id in the URL.";
        return Err(OperationOutcome::invalid(text));
    }
    let encounter = parse_id(&id).and_then(|id| app.store.update(id, input));
    let encounter = encounter.ok_or_else(|| OperationOutcome::not_found("encounter"))?;
    Ok(response(StatusCode::OK, &app, &encounter))
}

fn input(resource: &Resource) -> Result<EncounterInput, OperationOutcome> {
    let Resource::Encounter(encounter) = resource else {
        return Err(OperationOutcome::invalid("The body must be an Encounter."));
    };
    let patient = encounter.subject.as_ref();
    Ok(EncounterInput {
        status: encounter.status,
        patient: patient.and_then(|patient| patient.reference.clone()),
        resource: to_value(resource),
    })
}

/// Parses an id. Only the canonical form of a number is valid: `1`, but not `01`.
fn parse_id(id: &str) -> Option<u64> {
    let number: u64 = id.parse().ok()?;
    (number.to_string() == id).then_some(number)
}

fn response(status: StatusCode, app: &App, encounter: &EncounterVersion) -> Response {
    versioned(status, &app.base(), (*encounter.resource).clone())
}
