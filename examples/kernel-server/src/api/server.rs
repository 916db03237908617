//! The version and status of the server, and the identity of the caller.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use portcullis::Identity;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiError;
use crate::app::App;
use crate::wire::timestamp;

pub(super) async fn version() -> Json<Value> {
    Json(json!({"version": env!("CARGO_PKG_VERSION")}))
}

pub(super) async fn status(State(app): State<Arc<App>>) -> Json<Value> {
    let kernels = app.kernels.list();
    let active = kernels.iter().map(|kernel| kernel.last_activity()).max();
    Json(json!({
        "started": timestamp(app.started),
        "last_activity": timestamp(active.unwrap_or(app.started)),
        "kernels": kernels.len(),
        "connections": kernels.iter().map(|kernel| kernel.connections()).sum::<usize>(),
    }))
}

#[derive(Debug, Deserialize)]
pub(super) struct MeQuery {
    /// The actions to check for each resource, as JSON.
    permissions: Option<String>,
}

pub(super) async fn me(
    identity: Identity,
    Query(query): Query<MeQuery>,
) -> Result<Json<Value>, ApiError> {
    let permissions = permissions(query.permissions.as_deref())?;
    let name = identity.subject();
    Ok(Json(json!({
        "identity": {
            "username": name,
            "name": name,
            "display_name": name,
            "initials": name.chars().next().map(|letter| letter.to_uppercase().to_string()),
            "avatar_url": null,
            "color": null,
        },
        "permissions": permissions,
        "authenticated": authenticated(&identity),
    })))
}

/// Returns the requested permissions. Every authenticated user has all of them.
fn permissions(requested: Option<&str>) -> Result<BTreeMap<String, Vec<String>>, ApiError> {
    match requested {
        None | Some("") => Ok(BTreeMap::new()),
        Some(json) => serde_json::from_str(json).map_err(|_| {
            ApiError::bad_request(
                "permissions should be a JSON dict of {\"resource\":[\"action\",]}",
            )
        }),
    }
}

/// Describes how the request was authenticated.
fn authenticated(identity: &Identity) -> Option<Value> {
    let proof = identity.proof()?;
    Some(json!({
        "carrier": proof.carrier.as_str(),
        "scheme": proof.scheme.as_str(),
        "scopes": identity.scopes().iter().collect::<Vec<_>>(),
        "expires_at": identity.expires_at().map(timestamp),
    }))
}
