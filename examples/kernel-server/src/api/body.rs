use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::ApiError;

/// Extracts a JSON body of any content type, because JupyterLab sends `text/plain`.
///
/// An empty body counts as `null`.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|error| ApiError::bad_request(error.body_text()))?;
        let json = match body.trim_ascii() {
            [] => b"null",
            json => json,
        };
        serde_json::from_slice(json)
            .map(Self)
            .map_err(|error| ApiError::bad_request(format!("Invalid JSON in body: {error}")))
    }
}

/// Parses the id in a path. An invalid id gives the same 404 as an unknown one.
pub(super) fn parse_id(text: &str, what: &str) -> Result<Uuid, ApiError> {
    text.parse()
        .map_err(|_| ApiError::not_found(format!("{what} does not exist: {text}")))
}
