use std::error::Error;

use axum::routing::{any, get};
use axum::{Json, Router};
use portcullis::carrier::{Authorization, Cookie, Query, Subprotocol, SubprotocolEncoding};
use portcullis::{Identity, Profile};
use serde_json::{Value, json};

use crate::auth::Auth;
use crate::hello;

/// The sockets that a handshake opens, and an API that pages of an allowed origin may use across
/// origins.
pub(crate) fn routes(auth: &Auth) -> Result<Router, Box<dyn Error>> {
    let mut sockets = Router::new();
    for (name, profile) in ways() {
        let socket = any(hello::socket).layer(auth.by_token(profile)?);
        sockets = sockets.route(&format!("/ws/{name}"), socket);
    }
    let by_ticket = any(hello::socket).layer(auth.by_ticket(ticket_way())?);
    let api = Router::new()
        .route("/api/me", get(me))
        .route_layer(auth.by_token(any_way())?)
        .layer(auth.cors()?);
    Ok(sockets.route("/ws/ticket", by_ticket).merge(api))
}

/// All of them at once. Two different tokens are refused, and so is a bad one beside a good cookie.
pub(crate) fn any_way() -> Profile {
    let kubernetes = "base64url.bearer.authorization.k8s.io.";
    let phoenix = "base64url.bearer.phx.";
    Profile::new("any")
        .carrier(Authorization::jupyter().and_basic())
        .carrier(
            Subprotocol::prefixed(
                "v1.token.websocket.jupyter.org.",
                SubprotocolEncoding::Percent,
            )
            .marker("v1.token.websocket.jupyter.org"),
        )
        .carrier(Subprotocol::prefixed(
            kubernetes,
            SubprotocolEncoding::Base64Url,
        ))
        .carrier(
            Subprotocol::prefixed(phoenix, SubprotocolEncoding::Base64Unpadded).marker("phoenix"),
        )
        .carrier(Query::named("token"))
        .carrier(Cookie::named("token"))
}

/// A socket for every way in: the route's name, and what it reads.
fn ways() -> [(&'static str, Profile); 8] {
    [
        (
            "header",
            Profile::new("header").carrier(Authorization::bearer()),
        ),
        (
            "basic",
            Profile::new("basic").carrier(Authorization::basic()),
        ),
        ("jupyter", Profile::jupyter()),
        ("kubernetes", Profile::kubernetes()),
        ("phoenix", Profile::phoenix()),
        (
            "query",
            Profile::new("query").carrier(Query::named("token")),
        ),
        (
            "cookie",
            Profile::new("cookie").carrier(Cookie::named("token")),
        ),
        ("any", any_way()),
    ]
}

/// What may be seen in an address, since it is good for one time.
fn ticket_way() -> Profile {
    Profile::new("ticket")
        .carrier(Query::named("ticket"))
        .carrier(
            Subprotocol::prefixed("v1.ticket.", SubprotocolEncoding::Percent)
                .marker("v1.ticket")
                .allow_alone(),
        )
}

async fn me(identity: Identity) -> Json<Value> {
    let scopes: Vec<_> = identity.scopes().iter().collect();
    Json(json!({ "subject": identity.subject(), "scopes": scopes }))
}
