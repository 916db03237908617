//! Jupyter's REST API.

mod body;
mod error;
mod events;
mod kernels;
mod kernelspecs;
mod server;
mod sessions;

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get, post};

pub(crate) use self::body::Body;
pub(crate) use self::error::ApiError;
use crate::app::App;

/// The version, with which clients detect a Jupyter server. It needs no credential.
pub(crate) fn version() -> Router {
    let version = get(server::version);
    Router::new()
        .route("/api", version.clone())
        .route("/api/", version)
}

pub(crate) fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/api/status", get(server::status))
        .route("/api/me", get(server::me))
        .route("/api/kernelspecs", get(kernelspecs::list))
        .route("/api/kernelspecs/{name}", get(kernelspecs::find))
        .route("/kernelspecs/{name}/{file}", get(kernelspecs::resource))
        .route("/api/kernels", get(kernels::list).post(kernels::start))
        .route(
            "/api/kernels/{id}",
            get(kernels::find).delete(kernels::shutdown),
        )
        .route("/api/kernels/{id}/interrupt", post(kernels::interrupt))
        .route("/api/kernels/{id}/restart", post(kernels::restart))
        // Over HTTP/2 a WebSocket is opened by CONNECT.
        .route("/api/kernels/{id}/channels", any(kernels::channels))
        .route("/api/sessions", get(sessions::list).post(sessions::start))
        .route(
            "/api/sessions/{id}",
            get(sessions::find)
                .patch(sessions::change)
                .delete(sessions::shutdown),
        )
        .route("/api/events/subscribe", any(events::subscribe))
        .route(
            "/api/{*path}",
            any(|| async { ApiError::not_found("Not Found") }),
        )
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() })
        .with_state(app)
}
