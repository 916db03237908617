use std::error::Error;

use axum::routing::{any, get};
use axum::{Json, Router};
use portcullis::carrier::{
    AuthorizationCarrier, CookieCarrier, QueryCarrier, SubprotocolCarrier, SubprotocolEncoding,
};
use portcullis::{Identity, Profile};
use serde_json::{Value, json};

use crate::auth::Auth;
use crate::echo;

/// Returns the sockets that read the credential from the handshake, and the API that pages of the
/// allowed origins may call.
pub(crate) fn routes(auth: &Auth) -> Result<Router, Box<dyn Error>> {
    let mut sockets = Router::new();
    for (name, profile) in profiles() {
        let socket = any(echo::socket).layer(auth.token_layer(profile)?);
        sockets = sockets.route(&format!("/ws/{name}"), socket);
    }
    let ticket_socket = any(echo::socket).layer(auth.ticket_layer(ticket_profile())?);
    let api = Router::new()
        .route("/api/me", get(me))
        .route_layer(auth.token_layer(all_carriers())?)
        .layer(auth.cors_layer()?);
    Ok(sockets.route("/ws/ticket", ticket_socket).merge(api))
}

/// Returns the name of each route below `/ws`, and its profile.
fn profiles() -> [(&'static str, Profile); 8] {
    let header = Profile::new("header").carrier(AuthorizationCarrier::bearer());
    let basic = Profile::new("basic").carrier(AuthorizationCarrier::basic());
    let query = Profile::new("query").carrier(QueryCarrier::named("token"));
    let cookie = Profile::new("cookie").carrier(CookieCarrier::named("token"));
    [
        ("header", header),
        ("basic", basic),
        ("jupyter", Profile::jupyter()),
        ("kubernetes", Profile::kubernetes()),
        ("phoenix", Profile::phoenix()),
        ("query", query),
        ("cookie", cookie),
        ("any", all_carriers()),
    ]
}

/// Returns a profile that reads the credential from every carrier.
///
/// A request with two different credentials is refused, and so is an invalid one next to a valid
/// cookie.
pub(crate) fn all_carriers() -> Profile {
    let jupyter = SubprotocolCarrier::prefixed(
        "v1.token.websocket.jupyter.org.",
        SubprotocolEncoding::Percent,
    );
    let kubernetes = SubprotocolCarrier::prefixed(
        "base64url.bearer.authorization.k8s.io.",
        SubprotocolEncoding::Base64Url,
    );
    let phoenix =
        SubprotocolCarrier::prefixed("base64url.bearer.phx.", SubprotocolEncoding::Base64Unpadded);
    Profile::new("any")
        .carrier(AuthorizationCarrier::jupyter().and_basic())
        .carrier(jupyter.marker("v1.token.websocket.jupyter.org"))
        .carrier(kubernetes)
        .carrier(phoenix.marker("phoenix"))
        .carrier(QueryCarrier::named("token"))
        .carrier(CookieCarrier::named("token"))
}

/// Returns the profile for tickets. A ticket is valid only once, so it may be part of the URL.
fn ticket_profile() -> Profile {
    let subprotocol = SubprotocolCarrier::prefixed("v1.ticket.", SubprotocolEncoding::Percent);
    Profile::new("ticket")
        .carrier(QueryCarrier::named("ticket"))
        .carrier(subprotocol.marker("v1.ticket").allow_alone())
}

async fn me(identity: Identity) -> Json<Value> {
    let scopes: Vec<_> = identity.scopes().iter().collect();
    Json(json!({ "subject": identity.subject(), "scopes": scopes }))
}
