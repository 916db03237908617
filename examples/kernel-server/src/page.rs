//! The notebook page.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect};
use axum::routing::{get, post};
use example_support::static_file;
use portcullis::seal::SealedCookie;
use rust_embed::RustEmbed;

/// Allows only the page's own files, and no framing of the page.
///
/// HTML output of kernels is shown in sandboxed frames: `srcdoc`, which inherits this policy, or
/// `blob:`.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src 'self' data: blob:; frame-src 'self' blob:; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'";

/// The headers of every response, including those that contain files of a kernelspec.
pub(crate) fn security_headers() -> [(HeaderName, HeaderValue); 4] {
    [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // Responses depend on the user, so no cache may keep them.
        (header::CACHE_CONTROL, "no-store"),
    ]
    .map(|(name, value)| (name, HeaderValue::from_static(value)))
}

pub(crate) fn index() -> Router {
    let serve = get(|| async { static_file::<Web>("index.html", CONTENT_SECURITY_POLICY) });
    Router::new().route("/", serve)
}

/// The scripts, styles and icons of the page. They contain no user data.
pub(crate) fn files() -> Router {
    let serve = get(|Path(path): Path<String>| async move {
        static_file::<Web>(&path, CONTENT_SECURITY_POLICY)
    });
    Router::new().route("/static/{*path}", serve)
}

/// The target of the logout button. Removes the cookie and returns to the page.
pub(crate) fn logout(cookie: SealedCookie) -> Router {
    async fn remove(State(cookie): State<SealedCookie>) -> impl IntoResponse {
        (AppendHeaders(cookie.removal()), Redirect::to("/"))
    }
    Router::new()
        .route("/logout", post(remove))
        .with_state(cookie)
}

/// The files of the page, compiled into the binary.
#[derive(RustEmbed)]
#[folder = "web/"]
struct Web;
