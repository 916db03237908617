//! The page of the notebook.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, header};
use axum::routing::get;
use example_support::static_file as file;
use rust_embed::RustEmbed;

/// Nothing but our own files, and no page of somebody else around ours. What kernels show as HTML
/// goes into sandboxed frames (`srcdoc`, which inherits this policy, or `blob:`).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src 'self' data: blob:; frame-src 'self' blob:; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'";

/// On every answer of the server, also on those that a kernel's files make.
pub(crate) fn security_headers() -> [(HeaderName, HeaderValue); 4] {
    [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // The answers depend on who asks; nobody in between keeps them.
        (header::CACHE_CONTROL, "no-store"),
    ]
    .map(|(name, value)| (name, HeaderValue::from_static(value)))
}

/// The page itself.
pub(crate) fn index() -> Router {
    Router::new().route("/", get(|| async { file::<Web>("index.html", POLICY) }))
}

/// What the page is made of. There is nothing in it that the repository does not show.
pub(crate) fn files() -> Router {
    let serve = get(|Path(path): Path<String>| async move { file::<Web>(&path, POLICY) });
    Router::new().route("/static/{*path}", serve)
}

/// What the page is made of, as part of the binary.
#[derive(RustEmbed)]
#[folder = "web/"]
struct Web;
