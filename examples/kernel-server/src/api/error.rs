use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use portcullis::session::RevokeError;
use portcullis::ws::GuardedUpgradeRejection;
use serde_json::json;

use crate::kernel::KernelError;

/// An error response in Jupyter's format: `{"message": …, "reason": …}`.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
    }

    pub(crate) fn gone(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, message)
    }

    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }
}

impl From<KernelError> for ApiError {
    fn from(error: KernelError) -> Self {
        let status = match &error {
            KernelError::Unknown(_) => StatusCode::NOT_FOUND,
            KernelError::NoSuchSpec(_) => StatusCode::NOT_IMPLEMENTED,
            KernelError::Dead => StatusCode::CONFLICT,
            KernelError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            KernelError::Closed => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

/// The revocation applies to this server, but the store could not be reached, so other servers may
/// not know of it.
impl From<RevokeError> for ApiError {
    fn from(error: RevokeError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<GuardedUpgradeRejection> for ApiError {
    fn from(rejection: GuardedUpgradeRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({"message": self.message, "reason": null});
        (self.status, Json(body)).into_response()
    }
}
