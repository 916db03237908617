use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::request::Parts;

use crate::session::{NotOpened, Session};

/// The session of an admitted upgrade, for a handler that opens the socket with another crate.
///
/// [`GuardedUpgrade`](crate::GuardedUpgrade) takes its session by itself.
impl<S, C> FromRequestParts<S> for Session<C>
where
    S: Send + Sync,
    C: Send + Sync + 'static,
{
    type Rejection = NotOpened;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NotOpened> {
        Self::open(&mut parts.extensions)
    }
}

impl IntoResponse for NotOpened {
    fn into_response(self) -> Response {
        match self {
            Self::MissingAuthLayer(missing) => missing.into_response(),
            Self::Refused(refusal) => super::refused(&refusal),
        }
    }
}
