use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};
use example_support::static_file as file;
use rust_embed::RustEmbed;
use serde_json::json;

use crate::options::Options;

/// The page, and what it has to know. It is told no secret: whoever opens it types the token in.
pub(crate) fn routes(options: &Options, port: u16, cross_port: u16) -> Router {
    let users: Vec<_> = options
        .users
        .iter()
        .map(|user| user.name.as_str())
        .collect();
    let config = json!({
        "origin": format!("http://127.0.0.1:{port}"),
        "cross_origin": format!("http://127.0.0.1:{cross_port}"),
        "localhost_origin": format!("http://localhost:{port}"),
        "allowed_origins": options.allowed_origins,
        "users": users,
        "token_lifetime": options.token_lifetime,
    });
    Router::new()
        .route("/config.json", get(async move || Json(config)))
        .route("/", get(async || file::<Web>("index.html", PAGE)))
        .route(
            "/cookie.html",
            get(async || file::<Web>("cookie.html", FRAME)),
        )
        .route(
            "/static/{path}",
            get(async |Path(path): Path<String>| file::<Web>(&path, FRAME)),
        )
}

/// The page talks to the sockets of all three origins, and frames the cookie page of each.
const PAGE: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self' http://127.0.0.1:* http://localhost:* ws://127.0.0.1:* ws://localhost:*; \
     frame-src 'self' http://127.0.0.1:* http://localhost:*; base-uri 'none'; form-action 'none'";

const FRAME: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'self' http://127.0.0.1:* http://localhost:*";

/// What the page is made of, as part of the binary.
#[derive(RustEmbed)]
#[folder = "web/"]
struct Web;
