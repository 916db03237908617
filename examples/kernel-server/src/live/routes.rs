use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use portcullis::session::SessionInfo;
use portcullis::{Identity, Revocation, mint_handler, renewal_handler};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Live;
use crate::api::{ApiError, Body};
use crate::kernel::{ClientKey, KernelId};
use crate::share::ShareLinks;
use crate::wire::timestamp;

/// What everybody may do about his own sessions, beside what Jupyter has.
pub(crate) fn about(live: &Live) -> Router {
    Router::new()
        .route("/api/portcullis/session", get(own))
        .with_state(live.clone())
        .route(
            "/api/portcullis/renew",
            post(renewal_handler(&live.sessions)),
        )
        .route("/api/portcullis/ticket", post(mint_handler(&live.tickets)))
}

/// What an administrator may do about everybody's.
pub(crate) fn administration(live: &Live, links: &ShareLinks) -> Router {
    Router::new()
        .route("/api/portcullis/sessions", get(list))
        .with_state(live.clone())
        .route("/api/portcullis/revoke", post(revoke))
        .with_state((live.clone(), links.clone()))
}

#[derive(Debug, Deserialize)]
struct Socket {
    kernel: KernelId,
    session_id: Box<str>,
}

/// The session of a socket that the caller has opened: by the name that its client gave it, which
/// nobody else of the same subject knows.
async fn own(
    State(live): State<Live>,
    identity: Identity,
    Query(socket): Query<Socket>,
) -> Result<Json<Value>, ApiError> {
    let client = ClientKey {
        subject: identity.subject().into(),
        session: socket.session_id,
    };
    let id = live.session_of(socket.kernel, &client);
    let session = id.and_then(|id| live.sessions.find(id));
    let session = session.ok_or_else(|| ApiError::not_found("No such socket is open"))?;
    let left = session
        .deadline
        .duration_since(std::time::SystemTime::now());
    Ok(Json(json!({
        "session": session.id.to_string(),
        "expires_in": left.unwrap_or_default().as_secs(),
    })))
}

/// Who is connected with this server. Those of other servers are not in the list.
async fn list(State(live): State<Live>) -> Json<Value> {
    let mut sessions = live.sessions.list();
    sessions.sort_by_key(|session| session.since);
    let sessions: Vec<_> = sessions.iter().map(|one| describe(&live, one)).collect();
    Json(json!({ "sessions": sessions }))
}

fn describe(live: &Live, session: &SessionInfo) -> Value {
    let proof = session.identity.proof();
    json!({
        "session": session.id.to_string(),
        "subject": session.identity.subject(),
        "carrier": proof.map(|proof| proof.carrier.as_str()),
        "since": timestamp(session.since),
        "until": timestamp(session.deadline),
        "peer": session.peer,
        "kernel": live.kernel_of(session.id),
        // What the server's own token let in can be closed, and not be taken back.
        "link": session.identity.token_id(),
    })
}

/// What is to be taken back. It names one of them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Taken {
    session: Option<Box<str>>,
    subject: Option<Box<str>>,
    #[serde(default)]
    all: bool,
}

impl Taken {
    fn revocation(self) -> Option<Revocation> {
        match (self.session, self.subject, self.all) {
            (Some(id), None, false) => Some(Revocation::session(id)),
            (None, Some(subject), false) => Some(Revocation::subject(subject)),
            (None, None, true) => Some(Revocation::everything()),
            _ => None,
        }
    }
}

async fn revoke(
    State((live, links)): State<(Live, ShareLinks)>,
    administrator: Identity,
    Body(taken): Body<Taken>,
) -> Result<Json<Value>, ApiError> {
    let revocation = taken.revocation().ok_or_else(|| {
        ApiError::bad_request(r#"name one of "session", "subject" and "all": true"#)
    })?;
    let revocation = revocation.issued_before(std::time::SystemTime::now());
    tracing::info!(by = administrator.subject(), what = ?revocation.revoked(), "revoked");
    live.audit.revoked(&administrator, &revocation);
    links.forget(&revocation);
    let closed = live.sessions.revoke(revocation).await?;
    Ok(Json(json!({ "closed": closed })))
}
