#[cfg(feature = "tickets")]
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderValue;
#[cfg(feature = "tickets")]
use http::StatusCode;
#[cfg(feature = "tickets")]
use http::header::ORIGIN;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use portcullis_core::Identity;
#[cfg(feature = "tickets")]
use portcullis_core::{StoreError, TicketStore};
use serde::Deserialize;
use serde_json::{Value, json};

use super::refuse;
use crate::admission::Presented;
#[cfg(feature = "tickets")]
use crate::peer::peer_of;
use crate::refusal::{Refusal, RefusalKind};
use crate::session::{RenewError, SessionId, Sessions};
#[cfg(feature = "tickets")]
use crate::ticket::tickets::Tickets;
#[cfg(feature = "tickets")]
use crate::ticket::{Binding, MintError};

/// Creates a handler that renews an open session with a new credential, out of band.
///
/// Use it for a `POST` route behind the [`AuthLayer`](crate::AuthLayer) whose verifier accepts the
/// new credential, in any carrier. The body is `{"session":"<id>"}`, the response
/// `{"expires_in":<seconds>}`. Only the subject of a session can renew it: a credential of another
/// subject closes it.
///
/// ```
/// use axum::{Router, routing::post};
/// use portcullis::{AuthLayer, Sessions, StaticTokens, ws::renewal_handler};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let sessions = Sessions::default();
/// let auth = AuthLayer::new(StaticTokens::new([("alice", "s3cret")])?).sessions(&sessions);
/// let app: Router = Router::new().route("/renew", post(renewal_handler(&sessions))).route_layer(auth);
/// # Ok::<_, portcullis::verify::StaticTokenError>(())
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// | status | cause |
/// |---|---|
/// | 400 | the body is not `{"session":"<id>"}` |
/// | 401 | the new credential was revoked |
/// | 403 | the new credential has another subject, and the session is closed; or another audience |
/// | 404 | no session with this id is open on this machine |
/// | 409 | the new credential does not expire later than the present one |
pub fn renewal_handler<S>(sessions: &Sessions) -> impl Handler<(ByRequest,), S>
where
    S: Send + Sync + 'static,
{
    let sessions = sessions.clone();
    Endpoint(move |request: Request| {
        let sessions = sessions.clone();
        async move { renew(&sessions, request).await }
    })
}

/// Creates a handler that mints a ticket for the identity of the request; see [`Tickets`].
///
/// Use it for a `POST` route behind an [`AuthLayer`](crate::AuthLayer). The body is empty, or
/// `{"path":"/ws"}` for a ticket that is valid for one path of the tickets. The response is
/// `{"ticket":"…","expires_in":<seconds>}`. As for every `POST`, a cookie needs an allowed `Origin`.
///
/// # Errors
///
/// | status | cause |
/// |---|---|
/// | 400 | the body is something else, or names a path that the tickets are not for |
/// | 401 | the credential has expired since admission |
/// | 429 | the store is full |
/// | 500 | the type of the claims is not registered; see [`Tickets::with_claims`] |
/// | 503 | the store is unavailable |
#[cfg(feature = "tickets")]
pub fn mint_handler<T, S>(tickets: &Arc<Tickets<T>>) -> impl Handler<(ByRequest,), S>
where
    T: TicketStore,
    S: Send + Sync + 'static,
{
    let tickets = Arc::clone(tickets);
    Endpoint(move |request: Request| {
        let tickets = Arc::clone(&tickets);
        async move { mint(&tickets, request).await }
    })
}

/// A handler that takes the whole request.
#[derive(Clone)]
struct Endpoint<F>(F);

/// The marker type of these handlers for axum's `Handler` trait.
#[derive(Debug)]
#[non_exhaustive]
pub struct ByRequest;

impl<F, Fut, S> Handler<(ByRequest,), S> for Endpoint<F>
where
    F: FnOnce(Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response> + Send + 'static,
{
    type Future = Fut;

    fn call(self, request: Request, _: S) -> Fut {
        (self.0)(request)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RenewalRequest {
    session: String,
}

async fn renew(sessions: &Sessions, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let identity =
        match <Identity as FromRequestParts<()>>::from_request_parts(&mut parts, &()).await {
            Ok(identity) => identity,
            Err(missing) => return missing.into_response(),
        };
    let expected = r#"the body has to be {"session":"<id of the session>"}"#;
    let Some(body) = small_body(body).await else {
        return refuse(malformed(expected), parts, false);
    };
    let Ok(RenewalRequest { session }) = serde_json::from_slice(&body) else {
        return refuse(malformed(expected), parts, false);
    };
    let Ok(id) = session.parse::<SessionId>() else {
        return refuse(Refusal::new(RefusalKind::UnknownSession), parts, false);
    };
    let credential = Presented::proving(&parts.extensions, &identity);
    match sessions.renew_verified(id, identity, credential) {
        Ok(time) => answer(&json!({ "expires_in": time.as_secs() })),
        Err(error) => refuse(not_renewed(error), parts, false),
    }
}

fn not_renewed(error: RenewError) -> Refusal {
    let kind = match error {
        RenewError::Ended => RefusalKind::UnknownSession,
        RenewError::NotLater => RefusalKind::NotLater,
        RenewError::OtherAudience | RenewError::OtherSubject => RefusalKind::ForbiddenCredential,
        RenewError::Revoked => return Refusal::new(RefusalKind::InvalidCredential),
        RenewError::Unverified(error) => return Refusal::unverified(error),
    };
    Refusal::new(kind).with_detail(error.to_string())
}

#[cfg(feature = "tickets")]
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MintRequest {
    path: Option<String>,
}

#[cfg(feature = "tickets")]
async fn mint<T>(tickets: &Tickets<T>, request: Request) -> Response
where
    T: TicketStore,
{
    let (mut parts, body) = request.into_parts();
    let identity =
        match <Identity as FromRequestParts<()>>::from_request_parts(&mut parts, &()).await {
            Ok(identity) => identity,
            Err(missing) => return missing.into_response(),
        };
    let expected = r#"the body has to be empty, or {"path":"<the path of the socket>"}"#;
    let Some(body) = small_body(body).await else {
        return refuse(malformed(expected), parts, false);
    };
    let request = match body.is_empty() {
        true => Ok(MintRequest::default()),
        false => serde_json::from_slice(&body),
    };
    let Ok(MintRequest { path }) = request else {
        return refuse(malformed(expected), parts, false);
    };
    let origin = parts.headers.get(ORIGIN).and_then(|it| it.to_str().ok());
    let binding = Binding {
        path: path.map(Into::into),
        origin: origin.map(Into::into),
        peer: peer_of(&parts.extensions).map(|peer| peer.ip()),
    };
    match tickets.mint(&identity, binding).await {
        Ok(ticket) => {
            let minted = json!({
                "ticket": ticket.expose_secret(),
                "expires_in": ticket.expires_in().as_secs(),
            });
            answer(&minted)
        }
        Err(MintError::Claims(error)) => {
            tracing::error!(target: "portcullis", "cannot mint a ticket: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Err(error) => refuse(not_minted(&error), parts, false),
    }
}

#[cfg(feature = "tickets")]
fn not_minted(error: &MintError) -> Refusal {
    let kind = match error {
        MintError::Expired => return Refusal::new(RefusalKind::ExpiredCredential),
        MintError::OtherPath => RefusalKind::MalformedRequest,
        MintError::Store(StoreError::Full) => RefusalKind::TooManyTickets,
        _ => RefusalKind::StoreUnavailable,
    };
    Refusal::new(kind).with_detail(error.to_string())
}

fn malformed(expected: &'static str) -> Refusal {
    Refusal::new(RefusalKind::MalformedRequest).with_detail(expected)
}

/// Reads a body of at most 1 KiB.
async fn small_body(body: Body) -> Option<Bytes> {
    axum::body::to_bytes(body, 1024).await.ok()
}

fn answer(body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
