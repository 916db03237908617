use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use example_support::static_file as file;
use rust_embed::RustEmbed;

use crate::app::App;

/// The page. It is told no secret: whoever opens it types the token in.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(async || file::<Web>("index.html", POLICY)))
        .route(
            "/static/{path}",
            get(async |Path(path): Path<String>| file::<Web>(&path, POLICY)),
        )
}

/// It talks to its own server alone, by whichever of its names it was opened.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self' ws://127.0.0.1:* ws://localhost:*; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// What the page is made of, as part of the binary.
#[derive(RustEmbed)]
#[folder = "web/"]
struct Web;
