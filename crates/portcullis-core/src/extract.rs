use std::convert::Infallible;

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use crate::{Claims, ClaimsRejection, Identity, IdentityRejection};

/// Extracts the identity that `AuthLayer` admitted the request with.
///
/// `Option<Identity>` is for routes that allow anonymous requests.
impl<S: Send + Sync> FromRequestParts<S> for Identity {
    type Rejection = IdentityRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, IdentityRejection> {
        let identity = parts.extensions.get();
        identity.cloned().ok_or(IdentityRejection)
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Identity {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get().cloned())
    }
}

/// Extracts the claims of the identity that `AuthLayer` admitted the request with.
impl<S, T> FromRequestParts<S> for Claims<T>
where
    S: Send + Sync,
    T: Send + Sync + 'static,
{
    type Rejection = ClaimsRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ClaimsRejection> {
        let identity = parts.extensions.get::<Identity>();
        let identity = identity.ok_or(ClaimsRejection::Identity(IdentityRejection))?;
        Claims::of(identity).map_err(ClaimsRejection::Claims)
    }
}

impl<S, T> OptionalFromRequestParts<S> for Claims<T>
where
    S: Send + Sync,
    T: Send + Sync + 'static,
{
    type Rejection = ClaimsRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, ClaimsRejection> {
        match parts.extensions.get::<Identity>() {
            Some(identity) if identity.shared_claims().is_some() => {
                let claims = Claims::of(identity).map_err(ClaimsRejection::Claims)?;
                Ok(Some(claims))
            }
            _ => Ok(None),
        }
    }
}

impl IntoResponse for IdentityRejection {
    fn into_response(self) -> Response {
        tracing::error!(target: "portcullis", "{self}");
        internal_error()
    }
}

impl IntoResponse for ClaimsRejection {
    fn into_response(self) -> Response {
        tracing::error!(target: "portcullis", "{self}");
        internal_error()
    }
}

/// The details are in the log: a client must not learn how the application is built.
fn internal_error() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error").into_response()
}
