//! The REST API for notebook sessions.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::ApiError;
use super::body::{Body, parse_id};
use crate::app::App;
use crate::kernel::{Kernel, KernelId};
use crate::notebook_sessions::NotebookSession;

pub(super) async fn list(State(app): State<Arc<App>>) -> Json<Vec<Value>> {
    let sessions = app.notebook_sessions.list(kernel_exists(&app));
    let models = sessions
        .iter()
        .filter_map(|session| model(&app, session).ok());
    Json(models.collect())
}

pub(super) async fn find(
    State(app): State<Arc<App>>,
    path: Path<String>,
) -> Result<Json<Value>, ApiError> {
    model(&app, &find_session(&app, &path)?).map(Json)
}

/// The body of a request to start or change a session.
#[derive(Debug, Default, Deserialize)]
pub(super) struct SessionRequest {
    path: Option<String>,
    name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    kernel: Option<KernelRequest>,
    /// The deprecated form of `path` and `name`.
    notebook: Option<Notebook>,
}

#[derive(Debug, Default, Deserialize)]
struct KernelRequest {
    id: Option<String>,
    name: Option<String>,
}

impl KernelRequest {
    /// Returns the id of an existing kernel, if the client has set one.
    fn existing_id(&self) -> Option<&str> {
        self.id.as_deref().filter(|id| !id.is_empty())
    }
}

#[derive(Debug, Deserialize)]
struct Notebook {
    path: Option<String>,
    name: Option<String>,
}

pub(super) async fn start(
    State(app): State<Arc<App>>,
    Body(request): Body<Option<SessionRequest>>,
) -> Result<impl IntoResponse, ApiError> {
    let mut request = request.ok_or_else(|| ApiError::bad_request("No JSON data provided"))?;
    if let Some(notebook) = request.notebook.take() {
        request.path = request.path.or(notebook.path);
        request.name = request.name.or(notebook.name);
        request.kind.get_or_insert_with(|| "notebook".to_owned());
    }
    let path = request.path.ok_or_else(|| missing("path"))?;
    let kind = request.kind.ok_or_else(|| missing("type"))?;
    let existing = app.notebook_sessions.list(kernel_exists(&app));
    let session = match existing.into_iter().find(|session| session.path == path) {
        Some(session) => session,
        None => {
            let kernel = request.kernel.unwrap_or_default();
            let is_new = kernel.existing_id().is_none();
            let kernel = find_or_start_kernel(&app, kernel).await?;
            let session = NotebookSession {
                id: Uuid::new_v4(),
                path,
                name: request.name.unwrap_or_default(),
                kind,
                kernel: kernel.id(),
            };
            let session = app.notebook_sessions.add(session, kernel_exists(&app));
            if is_new && session.kernel != kernel.id() {
                // A concurrent request has started the session, with another kernel.
                let _ = app.kernels.shutdown(kernel.id()).await;
            }
            session
        }
    };
    let location = format!("/api/sessions/{}", session.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(model(&app, &session)?),
    ))
}

pub(super) async fn change(
    State(app): State<Arc<App>>,
    path: Path<String>,
    Body(request): Body<Option<SessionRequest>>,
) -> Result<Json<Value>, ApiError> {
    let before = find_session(&app, &path)?;
    let request = request.ok_or_else(|| ApiError::bad_request("No JSON data provided"))?;
    let kernel = match request.kernel {
        Some(kernel) => find_or_start_kernel(&app, kernel).await?.id(),
        None => before.kernel,
    };
    let session = app
        .notebook_sessions
        .change(before.id, |session| {
            if let Some(path) = request.path {
                session.path = path;
            }
            if let Some(name) = request.name {
                session.name = name;
            }
            if let Some(kind) = request.kind {
                session.kind = kind;
            }
            session.kernel = kernel;
        })
        .ok_or_else(|| unknown(before.id))?;
    if kernel != before.kernel {
        // A session has one kernel. An error means that the old one has already ended.
        let _ = app.kernels.shutdown(before.kernel).await;
    }
    model(&app, &session).map(Json)
}

pub(super) async fn shutdown(
    State(app): State<Arc<App>>,
    path: Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = parse_id(&path, "Session")?;
    let session = app
        .notebook_sessions
        .remove(id)
        .ok_or_else(|| unknown(id))?;
    match app.kernels.shutdown(session.kernel).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(_) => Err(ApiError::gone("Kernel deleted before session")),
    }
}

async fn find_or_start_kernel(app: &App, request: KernelRequest) -> Result<Arc<Kernel>, ApiError> {
    match request.existing_id() {
        Some(id) => Ok(app.kernels.find(parse_id(id, "Kernel")?)?),
        None => Ok(app.kernels.start(request.name.as_deref()).await?),
    }
}

fn find_session(app: &App, path: &Path<String>) -> Result<NotebookSession, ApiError> {
    let id = parse_id(path, "Session")?;
    app.notebook_sessions.find(id).ok_or_else(|| unknown(id))
}

fn model(app: &App, session: &NotebookSession) -> Result<Value, ApiError> {
    let kernel = app.kernels.find(session.kernel)?;
    Ok(json!({
        "id": session.id,
        "path": session.path,
        "name": session.name,
        "type": session.kind,
        "kernel": kernel.model(),
        "notebook": {"path": session.path, "name": session.name},
    }))
}

fn kernel_exists(app: &App) -> impl Fn(KernelId) -> bool {
    |id| app.kernels.find(id).is_ok()
}

fn unknown(id: Uuid) -> ApiError {
    ApiError::not_found(format!("Session not found: session_id={id}"))
}

fn missing(field: &str) -> ApiError {
    ApiError::bad_request(format!("Missing field in JSON data: {field}"))
}
