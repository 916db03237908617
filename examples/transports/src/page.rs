use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};
use example_support::static_file;
use rust_embed::RustEmbed;
use serde_json::json;

use crate::options::Options;

/// Serves the page and its configuration, which contains no secret: the user enters the token.
pub(crate) fn routes(options: &Options, port: u16, cross_port: u16) -> Router {
    let users = options.users.iter().map(|user| user.name.as_str());
    let config = json!({
        "origin": format!("http://127.0.0.1:{port}"),
        "cross_origin": format!("http://127.0.0.1:{cross_port}"),
        "localhost_origin": format!("http://localhost:{port}"),
        "allowed_origins": options.allowed_origins,
        "users": users.collect::<Vec<_>>(),
        "token_lifetime": options.token_lifetime,
    });
    Router::new()
        .route("/config.json", get(async move || Json(config)))
        .route(
            "/",
            get(async || static_file::<Web>("index.html", PAGE_POLICY)),
        )
        .route(
            "/cookie.html",
            get(async || static_file::<Web>("cookie.html", FRAME_POLICY)),
        )
        .route(
            "/static/{path}",
            get(async |Path(path): Path<String>| static_file::<Web>(&path, FRAME_POLICY)),
        )
}

/// The page opens sockets to all three origins, and embeds the cookie page of each.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; \
     connect-src 'self' http://127.0.0.1:* http://localhost:* ws://127.0.0.1:* ws://localhost:*; \
     frame-src 'self' http://127.0.0.1:* http://localhost:*; base-uri 'none'; form-action 'none'";

const FRAME_POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; \
     frame-ancestors 'self' http://127.0.0.1:* http://localhost:*";

/// The files of the page.
#[derive(RustEmbed)]
#[folder = "web/"]
struct Web;
