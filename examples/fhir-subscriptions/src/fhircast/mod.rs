//! FHIRcast: the same end by another way. The address of a socket is its credential.
//!
//! `POST /fhircast` with a user's token makes an address that nobody can guess, with a lease. Whoever
//! connects there is the subscriber, until the lease ends or is given back. Portcullis' tickets are
//! not for this: a ticket is good once and for seconds, and this address names the subscription for
//! as long as its lease, over any number of sockets. So the hub itself is what admits its sockets,
//! and only they are outside of `auth`.

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

use self::request::{Happening, Mode, Subscribe};
use crate::app::App;

/// The events that the hub knows of.
const EVENTS: [&str; 5] = [
    "Patient-open",
    "Patient-close",
    "Encounter-open",
    "Encounter-close",
    "SyncError",
];

/// What needs no token.
pub(crate) fn open() -> Router<Arc<App>> {
    let path = "/fhircast/.well-known/fhircast-configuration";
    Router::new().route(path, get(configuration))
}

/// What needs one.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/fhircast", post(ask))
}

/// The sockets, which have their secret in the path.
pub(crate) fn sockets() -> Router<Arc<App>> {
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

/// Why a request is not done.
#[derive(Debug)]
struct No(StatusCode, String);

impl No {
    fn bad(text: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, text.into())
    }

    fn full() -> Self {
        Self(
            StatusCode::SERVICE_UNAVAILABLE,
            "There is no room for one more subscriber.".into(),
        )
    }
}

impl IntoResponse for No {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

/// A form subscribes or unsubscribes, JSON is something that happened.
async fn ask(
    State(app): State<Arc<App>>,
    identity: Identity,
    request: Request,
) -> Result<Response, No> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("");
    match kind.split(';').next().unwrap_or("").trim() {
        "application/x-www-form-urlencoded" => subscribe(&app, &identity, request).await,
        "application/json" | "application/fhir+json" => publish(&app, &identity, request).await,
        _ => Err(No(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Send a form or JSON.".into(),
        )),
    }
}

async fn subscribe(app: &App, identity: &Identity, request: Request) -> Result<Response, No> {
    let form = Form::<Subscribe>::from_request(request, &()).await;
    let Form(request) = form.map_err(|rejection| No(rejection.status(), rejection.body_text()))?;
    request.check()?;
    // The last part of an address is what makes it one of ours.
    let known = request.endpoint.as_deref();
    let known = known.map(|url| url.rsplit('/').next().unwrap_or(url));
    let subject = identity.subject();
    let endpoint = match (request.mode, known) {
        (Mode::Subscribe, known) => {
            for event in request.events() {
                allow(identity, event, "read")?;
            }
            app.hub.subscribe(subject, &request, known)?
        }
        (Mode::Unsubscribe, Some(known)) => {
            if !app.hub.unsubscribe(subject, &request.topic, known) {
                return Err(No::bad("There is no such hub.channel.endpoint."));
            }
            known.to_owned()
        }
        (Mode::Unsubscribe, None) => {
            return Err(No::bad("hub.channel.endpoint is missing."));
        }
    };
    let url = format!("ws://{}/fhircast/{endpoint}", app.authority);
    let answer = Json(json!({ "hub.channel.endpoint": url }));
    Ok((StatusCode::ACCEPTED, answer).into_response())
}

async fn publish(app: &App, identity: &Identity, request: Request) -> Result<Response, No> {
    let message = Json::<Value>::from_request(request, &()).await;
    let Json(message) = message.map_err(|error| No(error.status(), error.body_text()))?;
    let happening = Happening::new(message)?;
    allow(identity, &happening.event, "write")?;
    app.hub.publish(identity.subject(), happening);
    Ok(StatusCode::ACCEPTED.into_response())
}

/// Asks for FHIRcast's scope of an event: `fhircast/Patient-open.read`, or that of all of them.
fn allow(identity: &Identity, event: &str, to: &str) -> Result<(), No> {
    let known = EVENTS
        .iter()
        .find(|known| known.eq_ignore_ascii_case(event));
    let event = known.ok_or_else(|| No::bad(format!("The hub knows no event {event:?}.")))?;
    let scopes = [
        format!("fhircast/{event}.{to}"),
        format!("fhircast/*.{to}"),
        "fhircast/*.*".to_owned(),
    ];
    match scopes.iter().any(|scope| identity.scopes().contains(scope)) {
        true => Ok(()),
        false => Err(No(
            StatusCode::FORBIDDEN,
            format!("This needs the scope {}.", scopes[0]),
        )),
    }
}
