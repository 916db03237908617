//! The REST side: `[base]` is `/fhir`.

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
use crate::outcome::Outcome;

/// What needs no token.
pub(crate) fn open() -> Router<Arc<App>> {
    Router::new().route("/metadata", get(metadata::read))
}

/// What needs one.
pub(crate) fn routes() -> Router<Arc<App>> {
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
        .merge(operations())
        .route("/Encounter", post(encounter::create))
        .route(
            "/Encounter/{id}",
            get(encounter::read).put(encounter::update),
        )
}

/// The operations of `Subscription`.
///
/// R5 says that `$get-ws-binding-token` affects the state, which makes it a `POST`. The backport to
/// R4 says that it does not, and its clients use `GET`.
fn operations() -> Router<Arc<App>> {
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

pub(crate) async fn nothing_here(uri: Uri) -> Outcome {
    Outcome::not_found(&format!("resource as {}", uri.path()))
}

pub(crate) async fn not_so(method: Method, uri: Uri) -> Outcome {
    let text = format!("{method} is nothing that {} does.", uri.path());
    Outcome::new(StatusCode::METHOD_NOT_ALLOWED, "not-supported", text)
}
