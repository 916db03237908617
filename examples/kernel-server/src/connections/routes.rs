use std::time::SystemTime;

use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use portcullis::Identity;
use portcullis::session::{Revocation, SessionInfo};
use portcullis::ws::{mint_handler, renewal_handler};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Connections;
use crate::api::{ApiError, Body};
use crate::kernel::{ClientKey, KernelId};
use crate::share::ShareLinks;
use crate::wire::timestamp;

/// The routes with which users look up and renew their own sessions and mint tickets.
pub(crate) fn routes(connections: &Connections) -> Router {
    let renew = post(renewal_handler(&connections.sessions));
    let mint = post(mint_handler(&connections.tickets));
    Router::new()
        .route("/api/portcullis/session", get(own_session))
        .with_state(connections.clone())
        .route("/api/portcullis/renew", renew)
        .route("/api/portcullis/ticket", mint)
}

/// The routes with which administrators list and revoke all sessions.
pub(crate) fn admin_routes(connections: &Connections, share_links: &ShareLinks) -> Router {
    Router::new()
        .route("/api/portcullis/sessions", get(list))
        .with_state(connections.clone())
        .route("/api/portcullis/revoke", post(revoke))
        .with_state((connections.clone(), share_links.clone()))
}

#[derive(Debug, Deserialize)]
struct Socket {
    kernel: KernelId,
    session_id: Box<str>,
}

/// Returns the session of a socket that the caller has opened.
///
/// The socket is identified by the `session_id` that its client chose, so that one client of a
/// subject does not find the sessions of another.
async fn own_session(
    State(connections): State<Connections>,
    identity: Identity,
    Query(socket): Query<Socket>,
) -> Result<Json<Value>, ApiError> {
    let client = ClientKey {
        subject: identity.subject().into(),
        session: socket.session_id,
    };
    let session = connections
        .session_of(socket.kernel, &client)
        .ok_or_else(|| ApiError::not_found("No such socket is open"))?;
    let left = session.deadline.duration_since(SystemTime::now());
    Ok(Json(json!({
        "session": session.id.to_string(),
        "expires_in": left.unwrap_or_default().as_secs(),
    })))
}

/// Lists the open sessions of this server, but not those of other servers with the same Redis.
async fn list(State(connections): State<Connections>) -> Json<Value> {
    let mut sessions = connections.sessions.list();
    sessions.sort_by_key(|session| session.since);
    let sessions: Vec<_> = sessions
        .iter()
        .map(|session| describe(&connections, session))
        .collect();
    Json(json!({ "sessions": sessions }))
}

fn describe(connections: &Connections, session: &SessionInfo) -> Value {
    let proof = session.identity.proof();
    json!({
        "session": session.id.to_string(),
        "subject": session.identity.subject(),
        "carrier": proof.map(|proof| proof.carrier.as_str()),
        "since": timestamp(session.since),
        "until": timestamp(session.deadline),
        "peer": session.peer,
        "kernel": connections.kernel_of(session.id),
        // `null` for the server's own token: its sessions can be closed, but it cannot be revoked.
        "link": session.identity.token_id(),
    })
}

/// The body of a revocation. Exactly one field is set.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokeRequest {
    session: Option<Box<str>>,
    subject: Option<Box<str>>,
    #[serde(default)]
    all: bool,
}

impl RevokeRequest {
    fn revocation(self) -> Option<Revocation> {
        match (self.session, self.subject, self.all) {
            (Some(id), None, false) => Some(Revocation::session(id)),
            (None, Some(subject), false) => Some(Revocation::subject(None, subject)),
            (None, None, true) => Some(Revocation::everything()),
            _ => None,
        }
    }
}

async fn revoke(
    State((connections, share_links)): State<(Connections, ShareLinks)>,
    administrator: Identity,
    Body(request): Body<RevokeRequest>,
) -> Result<Json<Value>, ApiError> {
    let revocation = request.revocation().ok_or_else(|| {
        ApiError::bad_request(r#"set exactly one of "session", "subject" and "all": true"#)
    })?;
    let revocation = revocation.issued_before(SystemTime::now());
    tracing::info!(by = administrator.subject(), what = ?revocation.revoked(), "revoked");
    connections.audit.revoked(&administrator, &revocation);
    share_links.remove(&revocation);
    let closed = connections.sessions.revoke(revocation).await?;
    Ok(Json(json!({ "closed": closed })))
}
