//! A FHIRcast hub. Each subscriber has its own secret WebSocket URL.
//!
//! `POST /fhircast` with the token of a user creates a subscription with a lease, and returns its
//! URL. A client that connects to this URL is the subscriber until the lease ends or the client
//! unsubscribes.
//!
//! Portcullis tickets do not fit here: a ticket is valid once and for seconds, but this URL
//! identifies the subscription during the whole lease and for any number of sockets. So the hub
//! authenticates its sockets itself, and their route has no auth layer.

mod hub;
mod request;
mod socket;

use std::sync::Arc;

use axum::extract::{FromRequest as _, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Form, Json, Router};
use http::{StatusCode, header};
use portcullis::Identity;
use serde_json::{Value, json};

pub(crate) use self::hub::Hub;

use self::request::{HubEvent, Mode, SubscriptionRequest};
use crate::app::App;

/// The events that the hub supports.
const EVENTS: [&str; 5] = [
    "Patient-open",
    "Patient-close",
    "Encounter-open",
    "Encounter-close",
    "SyncError",
];

/// Returns the routes without authentication.
pub(crate) fn public_routes() -> Router<Arc<App>> {
    let path = "/fhircast/.well-known/fhircast-configuration";
    Router::new().route(path, get(configuration))
}

/// Returns the routes for authenticated users.
pub(crate) fn user_routes() -> Router<Arc<App>> {
    Router::new().route("/fhircast", post(handle_request))
}

/// Returns the routes of the sockets. Their path contains a secret.
pub(crate) fn socket_routes() -> Router<Arc<App>> {
    Router::new().route("/fhircast/{endpoint}", any(socket::open))
}

async fn configuration() -> Json<Value> {
    Json(json!({
        "eventsSupported": EVENTS,
        "getCurrentSupport": false,
        "websocketSupport": true,
        "fhircastVersion": "STU3",
    }))
}

/// An error response of the hub.
#[derive(Debug)]
struct HubError(StatusCode, String);

impl HubError {
    fn bad_request(text: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, text.into())
    }

    fn unknown_endpoint() -> Self {
        Self::bad_request("hub.channel.endpoint does not exist.")
    }

    fn limit_reached() -> Self {
        Self(
            StatusCode::SERVICE_UNAVAILABLE,
            "The hub cannot accept another subscriber.".into(),
        )
    }
}

impl IntoResponse for HubError {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

/// Handles a form, which subscribes or unsubscribes, or JSON, which publishes an event.
async fn handle_request(
    State(app): State<Arc<App>>,
    identity: Identity,
    request: Request,
) -> Result<Response, HubError> {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    match content_type.split(';').next().unwrap_or("").trim() {
        "application/x-www-form-urlencoded" => subscribe(&app, &identity, request).await,
        "application/json" | "application/fhir+json" => publish(&app, &identity, request).await,
        _ => Err(HubError(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The body must be a form or JSON.".into(),
        )),
    }
}

async fn subscribe(app: &App, identity: &Identity, request: Request) -> Result<Response, HubError> {
    let form = Form::<SubscriptionRequest>::from_request(request, &()).await;
    let Form(request) =
        form.map_err(|rejection| HubError(rejection.status(), rejection.body_text()))?;
    request.validate()?;
    // The last segment of the URL identifies the endpoint.
    let known = request.endpoint.as_deref();
    let known = known.map(|url| url.rsplit('/').next().unwrap_or(url));
    let subject = identity.subject();
    let endpoint = match (request.mode, known) {
        (Mode::Subscribe, known) => {
            for event in request.events() {
                require_scope(identity, event, "read")?;
            }
            app.hub.subscribe(subject, &request, known)?
        }
        (Mode::Unsubscribe, Some(known)) => {
            if !app.hub.unsubscribe(subject, &request.topic, known) {
                return Err(HubError::unknown_endpoint());
            }
            known.to_owned()
        }
        (Mode::Unsubscribe, None) => {
            return Err(HubError::bad_request("hub.channel.endpoint is missing."));
        }
    };
    let url = format!("ws://{}/fhircast/{endpoint}", app.authority);
    let body = Json(json!({ "hub.channel.endpoint": url }));
    Ok((StatusCode::ACCEPTED, body).into_response())
}

async fn publish(app: &App, identity: &Identity, request: Request) -> Result<Response, HubError> {
    let message = Json::<Value>::from_request(request, &()).await;
    let Json(message) =
        message.map_err(|rejection| HubError(rejection.status(), rejection.body_text()))?;
    let event = HubEvent::parse(message)?;
    require_scope(identity, &event.name, "write")?;
    app.hub.publish(identity.subject(), event);
    Ok(StatusCode::ACCEPTED.into_response())
}

/// Checks that the user has a FHIRcast scope for an event, such as `fhircast/Patient-open.read` or
/// `fhircast/*.read`.
fn require_scope(identity: &Identity, event: &str, access: &str) -> Result<(), HubError> {
    let event = EVENTS
        .iter()
        .find(|supported| supported.eq_ignore_ascii_case(event))
        .ok_or_else(|| HubError::bad_request(format!("The event {event:?} is not supported.")))?;
    let scopes = [
        format!("fhircast/{event}.{access}"),
        format!("fhircast/*.{access}"),
        "fhircast/*.*".to_owned(),
    ];
    match scopes.iter().any(|scope| identity.scopes().contains(scope)) {
        true => Ok(()),
        false => Err(HubError(
            StatusCode::FORBIDDEN,
            format!("The scope {} is required.", scopes[0]),
        )),
    }
}
