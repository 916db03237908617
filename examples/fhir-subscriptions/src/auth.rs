//! Who may come in. Everything about authentication is in here; `binding` makes some of the tokens.

use std::error::Error;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use example_support::User;
use http::Response;
use http::request::Parts;
use portcullis::carrier::Authorization;
use portcullis::dialect::Fhir;
use portcullis::{AuthLayer, Profile, Refusal, StaticToken, StaticTokens};

use crate::app::App;
use crate::outcome::Outcome;

/// What is open to whom.
pub(crate) struct Doors {
    /// Everybody.
    pub(crate) open: Router<Arc<App>>,
    /// Whoever has a user's token.
    pub(crate) users: Router<Arc<App>>,
    /// Whoever binds with a binding token.
    pub(crate) bound: Router<Arc<App>>,
}

/// Puts the guard in front of the doors.
pub(crate) fn guard(
    doors: Doors,
    app: &App,
    users: &[User],
) -> Result<Router<Arc<App>>, Box<dyn Error>> {
    let tokens = users.iter().map(|user| {
        Ok(StaticToken::new(user.name.as_str(), user.token.as_str())?
            .scopes(user.scopes.iter().map(String::as_str)))
    });
    let tokens: Vec<_> = tokens.collect::<Result<_, Box<dyn Error>>>()?;
    let bearer = Profile::new("fhir").carrier(Authorization::bearer());
    let users = AuthLayer::new(StaticTokens::new(tokens)?)
        .profile(bearer)
        .hosts(HOSTS)
        .respond(refuse);
    // A binding token comes in a message and nowhere else, so the handshake has no carrier.
    let bound = AuthLayer::new(app.tokens.clone())
        .profile(Profile::new("fhir-websocket"))
        .hosts(HOSTS)
        .sessions(&app.sessions)
        .dialect(Fhir::new())
        .respond(refuse);
    Ok(doors
        .users
        .route_layer(users)
        .merge(doors.bound.route_layer(bound))
        .merge(doors.open))
}

/// A page of another name that resolves to us is not ours.
const HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Says no in the words of FHIR.
fn refuse(refusal: &Refusal, _: &Parts) -> Response<Body> {
    let code = match refusal.status().as_u16() {
        401 => "login",
        403 => "forbidden",
        503 => "transient",
        _ => "security",
    };
    Outcome::new(refusal.status(), code, refusal.explain()).into_response()
}
