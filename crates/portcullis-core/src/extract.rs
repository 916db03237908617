use std::convert::Infallible;

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use crate::{Identity, MissingAuthLayer};

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
        parts
            .extensions
            .get()
            .cloned()
            .ok_or_else(MissingAuthLayer::of::<C>)
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

impl IntoResponse for MissingAuthLayer {
    fn into_response(self) -> Response {
        tracing::error!("{self}");
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}
