//! Lists the kernels that can be started, and serves their logos.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use example_support::content_type;
use serde_json::{Map, Value, json};

use super::ApiError;
use crate::app::App;
use crate::kernel::KernelSpec;

pub(super) async fn list(State(app): State<Arc<App>>) -> Json<Value> {
    let specs = app.kernels.specs().await;
    let default = specs.first().map(|spec| spec.name.clone());
    let specs: Map<_, _> = specs
        .iter()
        .map(|spec| (spec.name.clone(), model(spec)))
        .collect();
    Json(json!({"default": default, "kernelspecs": specs}))
}

pub(super) async fn find(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    find_spec(&app, &name).await.map(|spec| Json(model(&spec)))
}

/// Serves a logo or script of a kernelspec. Other files in its folder are not served.
pub(super) async fn resource(
    State(app): State<Arc<App>>,
    Path((name, file)): Path<(String, String)>,
) -> Result<impl IntoResponse, ApiError> {
    let spec = find_spec(&app, &name).await?;
    let path = spec
        .resources()
        .into_values()
        .find(|path| path.file_name().is_some_and(|name| name == &*file))
        .ok_or_else(|| ApiError::not_found("No such file"))?;
    let bytes = tokio::fs::read(path)
        .await
        .map_err(|_| ApiError::not_found("No such file"))?;
    Ok(([(header::CONTENT_TYPE, content_type(&file))], bytes))
}

async fn find_spec(app: &App, name: &str) -> Result<KernelSpec, ApiError> {
    let specs = app.kernels.specs().await;
    specs
        .into_iter()
        .find(|spec| spec.name == name)
        .ok_or_else(|| ApiError::not_found(format!("Kernel spec {name} not found")))
}

fn model(spec: &KernelSpec) -> Value {
    let resources: Map<_, _> = spec
        .resources()
        .into_iter()
        .filter_map(|(key, path)| {
            let file = path.file_name()?.to_str()?;
            Some((key, json!(format!("/kernelspecs/{}/{file}", spec.name))))
        })
        .collect();
    json!({"name": spec.name, "spec": spec.json, "resources": resources})
}
