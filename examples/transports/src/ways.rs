use std::error::Error;
use std::sync::Arc;

use axum::routing::{any, get};
use axum::{Json, Router};
use http::{HeaderValue, Method, header};
use portcullis::carrier::{Authorization, Cookie, Query, Subprotocol, SubprotocolEncoding};
use portcullis::{AuthLayer, Identity, Profile, StaticToken, StaticTokens};
use serde_json::{Value, json};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::hello;
use crate::options::Options;

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

/// All of them at once. Two different tokens are refused, and so is a bad one beside a good cookie.
fn any_way() -> Profile {
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

/// The sockets, and an API that pages of an allowed origin may use across origins.
pub(crate) fn routes(options: &Options) -> Result<Router, Box<dyn Error>> {
    let tokens = options.users.iter().map(|user| {
        Ok(StaticToken::new(user.name.as_str(), user.token.as_str())?
            .scopes(user.scopes.iter().map(String::as_str)))
    });
    let tokens: Vec<_> = tokens.collect::<Result<_, Box<dyn Error>>>()?;
    let tokens = Arc::new(StaticTokens::new(tokens)?);
    let auth = |profile| {
        AuthLayer::new(Arc::clone(&tokens))
            .profile(profile)
            .hosts(["localhost", "127.0.0.1", "[::1]"])
            .origins(options.allowed_origins.iter().map(String::as_str))
    };

    let mut sockets = Router::new();
    for (name, profile) in ways() {
        let socket = any(hello::socket).layer(auth(profile)?);
        sockets = sockets.route(&format!("/ws/{name}"), socket);
    }
    // CORS is outside of admission: a preflight bears no credential.
    let api = Router::new()
        .route("/api/me", get(me))
        .route_layer(auth(any_way())?)
        .layer(cors(&options.allowed_origins)?);
    Ok(sockets.merge(api))
}

async fn me(identity: Identity) -> Json<Value> {
    let scopes: Vec<_> = identity.scopes().iter().collect();
    Json(json!({ "subject": identity.subject(), "scopes": scopes }))
}

fn cors(allowed_origins: &[String]) -> Result<CorsLayer, Box<dyn Error>> {
    let origins: Vec<HeaderValue> = allowed_origins
        .iter()
        .map(|origin| origin.parse())
        .collect::<Result<_, _>>()?;
    Ok(CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET])
        .allow_headers([header::AUTHORIZATION])
        .allow_credentials(true))
}
