//! The REST API, below `/fhir`.

mod body;
mod encounter;
mod metadata;
mod operations;
mod subscription;
mod topic;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use http::{Method, StatusCode, Uri};

use crate::app::App;
use crate::outcome::OperationOutcome;

/// Returns the routes without authentication.
pub(crate) fn public_routes() -> Router<Arc<App>> {
    Router::new().route("/metadata", get(metadata::read))
}

/// Returns the routes for authenticated users.
pub(crate) fn user_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/SubscriptionTopic", get(topic::search))
        .route("/SubscriptionTopic/{id}", get(topic::read))
        .route(
            "/Subscription",
            get(subscription::search).post(subscription::create),
        )
        .route(
            "/Subscription/{id}",
            get(subscription::read)
                .put(subscription::update)
                .delete(subscription::delete),
        )
        .merge(operation_routes())
        .route("/Encounter", post(encounter::create))
        .route(
            "/Encounter/{id}",
            get(encounter::read).put(encounter::update),
        )
}

/// Returns the routes of the operations of `Subscription`.
///
/// In R5, `$get-ws-binding-token` affects the state, which requires `POST`. In the backport to R4
/// it does not, and clients use `GET`.
fn operation_routes() -> Router<Arc<App>> {
    use operations::{binding_token, binding_token_of, events, status, status_of};
    Router::new()
        .route(
            "/Subscription/$get-ws-binding-token",
            get(binding_token).post(binding_token),
        )
        .route(
            "/Subscription/{id}/$get-ws-binding-token",
            get(binding_token_of).post(binding_token_of),
        )
        .route("/Subscription/$status", get(status).post(status))
        .route("/Subscription/{id}/$status", get(status_of).post(status_of))
        .route("/Subscription/{id}/$events", get(events).post(events))
}

pub(crate) async fn not_found(uri: Uri) -> OperationOutcome {
    OperationOutcome::not_found(&format!("path {}", uri.path()))
}

pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> OperationOutcome {
    let text = format!("{} does not support the method {method}.", uri.path());
    OperationOutcome::new(StatusCode::METHOD_NOT_ALLOWED, "not-supported", text)
}
