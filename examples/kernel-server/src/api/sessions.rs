//! Sessions: a kernel for each notebook.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::ApiError;
use super::body::{Body, id};
use crate::app::App;
use crate::kernel::{Kernel, KernelId};
use crate::sessions::Session;

pub(super) async fn list(State(app): State<Arc<App>>) -> Json<Vec<Value>> {
    let sessions = app.sessions.list(is_there(&app));
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

/// What a client says of a session: all of it to start one, any part to change one.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wish {
    path: Option<String>,
    name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    kernel: Option<WishedKernel>,
    /// The older form of `path` and `name`.
    notebook: Option<Notebook>,
}

#[derive(Debug, Default, Deserialize)]
struct WishedKernel {
    id: Option<String>,
    name: Option<String>,
}

impl WishedKernel {
    /// The id, if it is a kernel that runs already.
    fn running(&self) -> Option<&str> {
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
    Body(wish): Body<Option<Wish>>,
) -> Result<impl IntoResponse, ApiError> {
    let mut wish = wish.ok_or_else(|| ApiError::bad_request("No JSON data provided"))?;
    if let Some(notebook) = wish.notebook.take() {
        wish.path = wish.path.or(notebook.path);
        wish.name = wish.name.or(notebook.name);
        wish.kind.get_or_insert_with(|| "notebook".to_owned());
    }
    let path = wish.path.ok_or_else(|| missing("path"))?;
    let kind = wish.kind.ok_or_else(|| missing("type"))?;
    let existing = app.sessions.list(is_there(&app)).into_iter();
    let session = match existing.into_iter().find(|session| session.path == path) {
        Some(session) => session,
        None => {
            let kernel = wish.kernel.unwrap_or_default();
            let is_new = kernel.running().is_none();
            let kernel = wished_kernel(&app, kernel).await?;
            let wanted = Session {
                id: Uuid::new_v4(),
                path,
                name: wish.name.unwrap_or_default(),
                kind,
                kernel: kernel.id(),
            };
            let session = app.sessions.add(wanted, is_there(&app));
            if is_new && session.kernel != kernel.id() {
                // Somebody else started this session just now, with a kernel of its own.
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
    Body(wish): Body<Option<Wish>>,
) -> Result<Json<Value>, ApiError> {
    let before = find_session(&app, &path)?;
    let wish = wish.ok_or_else(|| ApiError::bad_request("No JSON data provided"))?;
    let kernel = match wish.kernel {
        Some(kernel) => wished_kernel(&app, kernel).await?.id(),
        None => before.kernel,
    };
    let session = app
        .sessions
        .change(before.id, |session| {
            if let Some(path) = wish.path {
                session.path = path;
            }
            if let Some(name) = wish.name {
                session.name = name;
            }
            if let Some(kind) = wish.kind {
                session.kind = kind;
            }
            session.kernel = kernel;
        })
        .ok_or_else(|| unknown(before.id))?;
    if kernel != before.kernel {
        // A session has one kernel. An error means that it is gone already.
        let _ = app.kernels.shutdown(before.kernel).await;
    }
    model(&app, &session).map(Json)
}

pub(super) async fn shutdown(
    State(app): State<Arc<App>>,
    path: Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = id(&path, "Session")?;
    let session = app.sessions.remove(id).ok_or_else(|| unknown(id))?;
    match app.kernels.shutdown(session.kernel).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(_) => Err(ApiError::gone("Kernel deleted before session")),
    }
}

/// The running kernel that is named by its id, or a new one.
async fn wished_kernel(app: &App, wish: WishedKernel) -> Result<Arc<Kernel>, ApiError> {
    match wish.running() {
        Some(wished) => Ok(app.kernels.find(id(wished, "Kernel")?)?),
        None => Ok(app.kernels.start(wish.name.as_deref()).await?),
    }
}

fn find_session(app: &App, path: &Path<String>) -> Result<Session, ApiError> {
    let id = id(path, "Session")?;
    app.sessions.find(id).ok_or_else(|| unknown(id))
}

fn model(app: &App, session: &Session) -> Result<Value, ApiError> {
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

fn is_there(app: &App) -> impl Fn(KernelId) -> bool {
    |id| app.kernels.find(id).is_ok()
}

fn unknown(id: Uuid) -> ApiError {
    ApiError::not_found(format!("Session not found: session_id={id}"))
}

fn missing(field: &str) -> ApiError {
    ApiError::bad_request(format!("Missing field in JSON data: {field}"))
}
