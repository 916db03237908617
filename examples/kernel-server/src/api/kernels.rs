//! Starts, lists, interrupts, restarts and shuts down kernels, and opens their WebSockets.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use portcullis::ws::GuardedUpgradeRejection;
use portcullis::{GuardedUpgrade, Identity, Session};
use serde::Deserialize;
use uuid::Uuid;

use super::ApiError;
use super::body::{Body, parse_id};
use crate::app::App;
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
pub(super) struct StartRequest {
    name: Option<String>,
}

pub(super) async fn start(
    State(app): State<Arc<App>>,
    Body(request): Body<Option<StartRequest>>,
) -> Result<impl IntoResponse, ApiError> {
    let name = request.unwrap_or_default().name;
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
    app.kernels.shutdown(parse_id(&path, "Kernel")?).await?;
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
pub(super) struct ChannelsQuery {
    session_id: Option<String>,
}

/// Opens the WebSocket of a kernel.
///
/// It replaces an older socket with the same `session_id`. The layer has admitted the request, so a
/// refused client cannot replace a socket.
pub(super) async fn channels(
    State(app): State<Arc<App>>,
    path: Path<String>,
    Query(query): Query<ChannelsQuery>,
    identity: Identity,
    upgrade: Result<GuardedUpgrade, GuardedUpgradeRejection>,
) -> Result<Response, ApiError> {
    let kernel = find_kernel(&app, &path)?;
    let upgrade = upgrade?;
    let key = ClientKey {
        subject: identity.subject().into(),
        session: match query.session_id.filter(|session| !session.is_empty()) {
            Some(session) => session.into(),
            None => Uuid::new_v4().to_string().into(),
        },
    };
    let upgrade = upgrade
        .protocols([KERNEL_PROTOCOL])
        .max_message_size(channels::MAX_MESSAGE_SIZE);
    let session = upgrade.session().map(Session::id);
    let registration = session.map(|id| app.connections.register(id, kernel.id(), key.clone()));
    Ok(upgrade.on_upgrade(async move |socket| {
        channels::serve(socket, kernel, key).await;
        drop(registration);
    }))
}

fn find_kernel(app: &App, path: &Path<String>) -> Result<Arc<Kernel>, ApiError> {
    Ok(app.kernels.find(parse_id(path, "Kernel")?)?)
}
