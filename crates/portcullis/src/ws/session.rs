use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::request::Parts;

use crate::session::Session;
use crate::session::SessionRejection;

/// The session of an admitted upgrade, for a handler that opens the socket with another crate.
///
/// [`GuardedUpgrade`](crate::GuardedUpgrade) takes its session by itself.
impl<S> FromRequestParts<S> for Session
where
    S: Send + Sync,
{
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionRejection> {
        Self::open(&mut parts.extensions)
    }
}

impl IntoResponse for SessionRejection {
    fn into_response(self) -> Response {
        match self {
            Self::Identity(missing) => missing.into_response(),
            Self::Refused(refusal) => super::refused(&refusal),
        }
    }
}
