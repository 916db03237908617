use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use example_support::static_file;
use rust_embed::RustEmbed;

use crate::app::App;

/// Serves the page, which contains no secret: the user enters the token.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(async || static_file::<Web>("index.html", POLICY)))
        .route(
            "/static/{path}",
            get(async |Path(path): Path<String>| static_file::<Web>(&path, POLICY)),
        )
}

/// The page connects to this server only. The server announces its WebSocket by address, so the
/// policy allows both names of the host.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self' ws://127.0.0.1:* ws://localhost:*; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// The files of the page.
#[derive(RustEmbed)]
#[folder = "web/"]
struct Web;
