use std::error::Error;
use std::net::SocketAddr;
use std::time::SystemTime;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{StatusCode, header};
use portcullis::session::{Revocation, SessionInfo};
use portcullis::{RequireScopeLayer, Sessions};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::auth::{Auth, api_profile};
use crate::problem::problem;

/// Endpoints for administrators: list the open sessions, and revoke credentials.
pub(crate) fn routes(auth: &Auth) -> Result<Router, Box<dyn Error>> {
    Ok(Router::new()
        .route("/sessions", get(list))
        .route("/revoke", post(revoke))
        .with_state(auth.sessions().clone())
        .route_layer(RequireScopeLayer::all(["admin"]))
        .route_layer(auth.token_layer(api_profile())?))
}

async fn list(State(sessions): State<Sessions>) -> Response {
    let mut sessions = sessions.list();
    sessions.sort_by_key(|session| (session.since, session.id));
    let now = SystemTime::now();
    let summaries = sessions.iter().map(|session| Summary::new(session, now));
    let body = Json(summaries.collect::<Vec<_>>());
    ([(header::CACHE_CONTROL, "no-store")], body).into_response()
}

#[derive(Serialize)]
struct Summary<'a> {
    id: String,
    subject: &'a str,
    carrier: Option<&'static str>,
    since: Option<String>,
    expires_in: u64,
    peer: Option<SocketAddr>,
}

impl<'a> Summary<'a> {
    fn new(session: &'a SessionInfo, now: SystemTime) -> Self {
        let SessionInfo { identity, .. } = session;
        let since = OffsetDateTime::from(session.since).truncate_to_millisecond();
        let remaining = session.deadline.duration_since(now).unwrap_or_default();
        Self {
            id: session.id.to_string(),
            subject: identity.subject(),
            carrier: identity.proof().map(|proof| proof.carrier.as_str()),
            since: since.format(&Rfc3339).ok(),
            expires_in: remaining.as_secs(),
            peer: session.peer,
        }
    }
}

async fn revoke(State(sessions): State<Sessions>, body: Bytes) -> Response {
    let Some(revocation) = parse_revocation(&body) else {
        let detail = r#"expected {"subject":"…"}, {"session":"…"} or {"all":true}"#;
        return problem(StatusCode::BAD_REQUEST, detail, &[]);
    };
    match sessions.revoke(revocation).await {
        Ok(closed) => Json(json!({ "closed": closed })).into_response(),
        Err(error) => {
            let closed = [("closed", Value::from(error.closed))];
            problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string(), &closed)
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokeRequest {
    subject: Option<String>,
    session: Option<String>,
    #[serde(default)]
    all: bool,
}

/// Returns `None` unless the body names exactly one target.
fn parse_revocation(body: &[u8]) -> Option<Revocation> {
    let RevokeRequest {
        subject,
        session,
        all,
    } = serde_json::from_slice(body).ok()?;
    match (subject, session, all) {
        (Some(subject), None, false) => Some(Revocation::subject(None, subject)),
        (None, Some(session), false) => Some(Revocation::session(session)),
        (None, None, true) => Some(Revocation::everything()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use portcullis::session::Revoked;

    use super::*;

    #[test]
    fn a_request_names_exactly_one_target() {
        let alice = Revoked::Subject {
            issuer: None,
            subject: "alice".into(),
        };
        let rows = [
            (r#"{"subject":"alice"}"#, alice),
            (r#"{"session":"abc"}"#, Revoked::Session("abc".into())),
            (r#"{"all":true}"#, Revoked::Everything),
        ];
        for (body, revoked) in rows {
            let revocation = parse_revocation(body.as_bytes()).unwrap();
            assert_eq!(*revocation.revoked(), revoked, "{body}");
        }
        for body in [
            "",
            "{}",
            "null",
            r#"{"all":false}"#,
            r#"{"all":"true"}"#,
            r#"{"subject":7}"#,
            r#"{"subject":"alice","all":true}"#,
            r#"{"subject":"alice","session":"abc"}"#,
            r#"{"subject":"alice","scope":"admin"}"#,
        ] {
            assert!(parse_revocation(body.as_bytes()).is_none(), "{body}");
        }
    }
}
