use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use portcullis_core::Identity;
use serde::Deserialize;
use serde_json::{Value, json};

use super::refuse;
use crate::admission::Presented;
use crate::refusal::{Refusal, RefusalKind};
use crate::session::{RenewError, SessionId, Sessions};

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
/// The layer around the route answers a failed request like every [refusal](crate::refusal), with
/// its responder and the statuses of its profile. By default:
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

/// A handler that takes the whole request.
#[derive(Clone)]
pub(super) struct Endpoint<F>(pub(super) F);

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

pub(super) fn malformed(expected: &'static str) -> Refusal {
    Refusal::new(RefusalKind::MalformedRequest).with_detail(expected)
}

/// Reads a body of at most 1 KiB.
pub(super) async fn small_body(body: Body) -> Option<Bytes> {
    axum::body::to_bytes(body, 1024).await.ok()
}

pub(super) fn answer(body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
