use std::error::Error;
use std::net::SocketAddr;
use std::time::SystemTime;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderValue, StatusCode, header};
use portcullis::session::SessionInfo;
use portcullis::{RequireScopeLayer, Revocation, Sessions};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::auth::{Auth, api_way};
use crate::problem::problem;

/// What an administrator may do: see who is connected, and take credentials back.
pub(crate) fn routes(auth: &Auth) -> Result<Router, Box<dyn Error>> {
    Ok(Router::new()
        .route("/sessions", get(list))
        .route("/revoke", post(revoke))
        .with_state(auth.sessions().clone())
        .route_layer(RequireScopeLayer::all(["admin"]))
        .route_layer(auth.by_token(api_way())?))
}

async fn list(State(sessions): State<Sessions>) -> Response {
    let mut sessions = sessions.list();
    sessions.sort_by_key(|session| (session.since, session.id));
    let now = SystemTime::now();
    let shown: Vec<_> = sessions.iter().map(|it| Shown::of(it, now)).collect();
    let mut response = Json(shown).into_response();
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

#[derive(Serialize)]
struct Shown<'a> {
    id: String,
    subject: &'a str,
    carrier: Option<&'static str>,
    since: Option<String>,
    expires_in: u64,
    peer: Option<SocketAddr>,
}

impl<'a> Shown<'a> {
    fn of(session: &'a SessionInfo, now: SystemTime) -> Self {
        let SessionInfo { identity, .. } = session;
        let since = OffsetDateTime::from(session.since).truncate_to_millisecond();
        let left = session.deadline.duration_since(now).unwrap_or_default();
        Self {
            id: session.id.to_string(),
            subject: identity.subject(),
            carrier: identity.proof().map(|proof| proof.carrier.as_str()),
            since: since.format(&Rfc3339).ok(),
            expires_in: left.as_secs(),
            peer: session.peer,
        }
    }
}

async fn revoke(State(sessions): State<Sessions>, body: Bytes) -> Response {
    let Some(revocation) = revocation(&body) else {
        let detail = r#"the body has to be {"subject":"…"}, {"session":"…"} or {"all":true}"#;
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
struct Wanted {
    subject: Option<String>,
    session: Option<String>,
    #[serde(default)]
    all: bool,
}

/// What is to be revoked. Who names two things at once may mean either.
fn revocation(body: &[u8]) -> Option<Revocation> {
    let Wanted {
        subject,
        session,
        all,
    } = serde_json::from_slice(body).ok()?;
    match (subject, session, all) {
        (Some(subject), None, false) => Some(Revocation::subject(subject)),
        (None, Some(session), false) => Some(Revocation::session(session)),
        (None, None, true) => Some(Revocation::everything()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use portcullis::Revoked;

    use super::*;

    #[test]
    fn one_thing_is_revoked() {
        let rows = [
            (r#"{"subject":"alice"}"#, Revoked::Subject("alice".into())),
            (r#"{"session":"abc"}"#, Revoked::Session("abc".into())),
            (r#"{"all":true}"#, Revoked::Everything),
        ];
        for (body, revoked) in rows {
            let revocation = revocation(body.as_bytes()).unwrap();
            assert_eq!(*revocation.revoked(), revoked, "{body}");
        }
        for wrong in [
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
            assert!(revocation(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}
