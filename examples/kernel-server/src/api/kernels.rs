//! Kernels: started, asked, ended; and their sockets.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use portcullis::{Identity, Session};
use serde::Deserialize;
use uuid::Uuid;

use super::body::{Body, id};
use super::{ApiError, events};
use crate::app::App;
use crate::auth::ws;
use crate::channels;
use crate::kernel::{ClientKey, Kernel, KernelModel};
use crate::wire::KERNEL_PROTOCOL;

pub(super) async fn list(State(app): State<Arc<App>>) -> Json<Vec<KernelModel>> {
    Json(
        app.kernels
            .list()
            .iter()
            .map(|kernel| kernel.model())
            .collect(),
    )
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Start {
    name: Option<String>,
}

pub(super) async fn start(
    State(app): State<Arc<App>>,
    Body(start): Body<Option<Start>>,
) -> Result<impl IntoResponse, ApiError> {
    let name = start.unwrap_or_default().name;
    let kernel = app.kernels.start(name.as_deref()).await?;
    let location = format!("/api/kernels/{}", kernel.id());
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(kernel.model()),
    ))
}

pub(super) async fn find(
    State(app): State<Arc<App>>,
    path: Path<String>,
) -> Result<Json<KernelModel>, ApiError> {
    Ok(Json(find_kernel(&app, &path)?.model()))
}

pub(super) async fn shutdown(
    State(app): State<Arc<App>>,
    path: Path<String>,
) -> Result<StatusCode, ApiError> {
    app.kernels.shutdown(id(&path, "Kernel")?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn interrupt(
    State(app): State<Arc<App>>,
    path: Path<String>,
) -> Result<StatusCode, ApiError> {
    find_kernel(&app, &path)?.interrupt().await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn restart(
    State(app): State<Arc<App>>,
    path: Path<String>,
) -> Result<Json<KernelModel>, ApiError> {
    let kernel = find_kernel(&app, &path)?;
    kernel.restart().await?;
    Ok(Json(kernel.model()))
}

#[derive(Debug, Deserialize)]
pub(super) struct Socket {
    session_id: Option<String>,
}

/// The socket of a kernel. Whoever gets here was admitted: only now an older socket of the same
/// session may be touched.
pub(super) async fn channels(
    State(app): State<Arc<App>>,
    path: Path<String>,
    Query(socket): Query<Socket>,
    identity: Identity,
    upgrade: Result<ws::WebSocketUpgrade, ws::Rejection>,
) -> Result<Response, ApiError> {
    let kernel = find_kernel(&app, &path)?;
    let upgrade = upgrade.map_err(|rejection| events::no_websocket(&rejection))?;
    let key = ClientKey {
        subject: identity.subject().into(),
        session: match socket.session_id.filter(|session| !session.is_empty()) {
            Some(session) => session.into(),
            None => Uuid::new_v4().to_string().into(),
        },
    };
    let upgrade = upgrade
        .protocols([KERNEL_PROTOCOL])
        .max_message_size(channels::LARGEST_MESSAGE);
    let session = upgrade.session().map(Session::id);
    let seat = session.map(|id| app.live.seat(id, kernel.id(), key.clone()));
    Ok(upgrade.on_upgrade(async move |socket| {
        channels::serve(socket, kernel, key).await;
        drop(seat);
    }))
}

fn find_kernel(app: &App, path: &Path<String>) -> Result<Arc<Kernel>, ApiError> {
    Ok(app.kernels.find(id(path, "Kernel")?)?)
}
