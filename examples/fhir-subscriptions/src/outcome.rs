//! Errors as FHIR represents them.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use crate::fhir::FhirJson;

/// An error response that contains an `OperationOutcome`.
#[derive(Debug)]
pub(crate) struct OperationOutcome {
    status: StatusCode,
    /// One of FHIR's issue types.
    code: &'static str,
    text: String,
}

impl OperationOutcome {
    pub(crate) fn new(status: StatusCode, code: &'static str, text: impl Into<String>) -> Self {
        Self {
            status,
            code,
            text: text.into(),
        }
    }

    /// Creates the error for a request that is not valid.
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", text)
    }

    /// Creates the error for valid FHIR that this server does not support.
    pub(crate) fn unsupported(text: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "not-supported", text)
    }

    /// Creates the error for a resource that does not exist.
    pub(crate) fn not_found(kind: &str) -> Self {
        let text = format!("The {kind} does not exist.");
        Self::new(StatusCode::NOT_FOUND, "not-found", text)
    }

    /// Creates the error for a limit on the number of resources.
    pub(crate) fn limit_reached(kind: &str) -> Self {
        let text = format!("The server cannot store another {kind}.");
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "no-store", text)
    }

    /// Returns the `OperationOutcome` as JSON.
    pub(crate) fn resource(&self) -> Value {
        json!({
            "resourceType": "OperationOutcome",
            "issue": [{ "severity": "error", "code": self.code, "diagnostics": self.text }],
        })
    }
}

impl IntoResponse for OperationOutcome {
    fn into_response(self) -> Response {
        (self.status, FhirJson(self.resource())).into_response()
    }
}
