use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header;
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
    });
    Router::new()
        .route("/config.json", get(async move || Json(config)))
        .route(
            "/",
            get(async || html(include_str!("../web/index.html"), PAGE)),
        )
        .route(
            "/cookie.html",
            get(async || html(include_str!("../web/cookie.html"), FRAME)),
        )
        .route(
            "/static/app.js",
            get(async || script(include_str!("../web/app.js"))),
        )
        .route(
            "/static/cookie.js",
            get(async || script(include_str!("../web/cookie.js"))),
        )
        .route(
            "/static/style.css",
            get(async || style(include_str!("../web/style.css"))),
        )
}

/// The page talks to the sockets of all three origins, and frames the cookie page of each.
const PAGE: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' \
     http://127.0.0.1:* http://localhost:* ws://127.0.0.1:* ws://localhost:*; \
     frame-src 'self' http://127.0.0.1:* http://localhost:*; base-uri 'none'; form-action 'none'";

const FRAME: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'self' http://127.0.0.1:* http://localhost:*";

fn html(page: &'static str, policy: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, page).into_response()
}

fn script(text: &'static str) -> Response {
    (
        [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")],
        text,
    )
        .into_response()
}

fn style(text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], text).into_response()
}
