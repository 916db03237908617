//! The auth layers of the server.

use std::error::Error;

use axum::body::Body;
use axum::response::IntoResponse;
use example_support::User;
use http::Response;
use http::request::Parts;
use portcullis::carrier::AuthorizationCarrier;
use portcullis::dialect::Fhir;
use portcullis::refusal::{Refusal, Respond};
use portcullis::{AuthLayer, Profile, StaticTokens};

use crate::app::App;
use crate::binding::BindingTokens;
use crate::outcome::OperationOutcome;

/// The server accepts requests to these hosts only, which protects it against DNS rebinding.
const HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Returns the layer of the REST API, which accepts the bearer tokens of the users.
pub(crate) fn user_layer(
    users: &[User],
) -> Result<AuthLayer<StaticTokens, impl Respond<Body> + use<>>, Box<dyn Error>> {
    let layer = AuthLayer::new(StaticTokens::new(users)?)
        .profile(Profile::new("fhir").carrier(AuthorizationCarrier::bearer()))
        .hosts(HOSTS)?
        .respond(respond);
    Ok(layer)
}

/// Returns the layer of the WebSocket, which accepts binding tokens.
///
/// A client sends its binding token in a message, so the profile has no carriers.
pub(crate) fn socket_layer(
    app: &App,
) -> Result<AuthLayer<BindingTokens, impl Respond<Body> + use<>>, Box<dyn Error>> {
    let layer = AuthLayer::new(app.tokens.clone())
        .profile(Profile::new("fhir-websocket"))
        .hosts(HOSTS)?
        .sessions(&app.sessions)
        .dialect(Fhir::new())
        .respond(respond);
    Ok(layer)
}

/// Answers a refused request with an `OperationOutcome`.
fn respond(refusal: &Refusal, _: &Parts) -> Response<Body> {
    let code = match refusal.status().as_u16() {
        401 => "login",
        403 => "forbidden",
        503 => "transient",
        _ => "security",
    };
    OperationOutcome::new(refusal.status(), code, refusal.detail()).into_response()
}
