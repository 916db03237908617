//! The page: static files, part of the binary (a debug build reads them from `web/` each time).

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "web/"]
struct Web;

/// Nothing but our own files, and no page of somebody else around ours. What kernels show as HTML
/// goes into sandboxed frames (`srcdoc`, which inherits this policy, or `blob:`).
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src 'self' data: blob:; frame-src 'self' blob:; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'";

/// On every answer of the server, also on those that a kernel's files make.
pub(crate) fn security_headers() -> [(HeaderName, HeaderValue); 4] {
    [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // The answers depend on who asks; nobody in between keeps them.
        (header::CACHE_CONTROL, "no-store"),
    ]
    .map(|(name, value)| (name, HeaderValue::from_static(value)))
}

/// The page itself.
pub(crate) fn index() -> Router {
    Router::new().route("/", get(|| async { file("index.html") }))
}

/// What the page is made of. There is nothing in it that the repository does not show.
pub(crate) fn files() -> Router {
    let serve = get(|Path(path): Path<String>| async move { file(&path) });
    Router::new().route("/static/{*path}", serve)
}

fn file(path: &str) -> Response {
    match Web::get(path) {
        Some(file) => {
            let kind = [(header::CONTENT_TYPE, content_type(path))];
            (kind, file.data.into_owned()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The content type that goes with the end of a file's name.
pub(crate) fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json" | "webmanifest") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
