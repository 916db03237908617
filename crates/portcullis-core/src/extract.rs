use std::any::type_name;
use std::convert::Infallible;
use std::fmt;

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use crate::Identity;

/// The identity that `AuthLayer` admitted the request with.
///
/// `Option<Identity<C>>` is for routes that allow anonymous access.
impl<S, C> FromRequestParts<S> for Identity<C>
where
    S: Send + Sync,
    C: Send + Sync + 'static,
{
    type Rejection = MissingAuthLayer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingAuthLayer> {
        parts.extensions.get().cloned().ok_or(MissingAuthLayer {
            claims: type_name::<C>(),
        })
    }
}

impl<S, C> OptionalFromRequestParts<S> for Identity<C>
where
    S: Send + Sync,
    C: Send + Sync + 'static,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get().cloned())
    }
}

/// A handler asks for an [`Identity`], and no layer has put one there: the application is built
/// wrong.
///
/// Answers 500. The body and the log name the layer that is missing, and the claims that were
/// asked for, since `Identity<A>` is not found where the verifier's claims are `B`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MissingAuthLayer {
    claims: &'static str,
}

impl fmt::Display for MissingAuthLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "No `Identity<{}>` in the request: put an `AuthLayer` whose verifier has these claims \
             around the route, or ask for `Option<Identity<_>>` where it allows anonymous access",
            self.claims
        )
    }
}

impl std::error::Error for MissingAuthLayer {}

impl IntoResponse for MissingAuthLayer {
    fn into_response(self) -> Response {
        tracing::error!("{self}");
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}
