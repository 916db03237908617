//! What went wrong, as FHIR says it.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use crate::fhir::Fhir;

/// A refusal with its `OperationOutcome`.
#[derive(Debug)]
pub(crate) struct Outcome {
    status: StatusCode,
    /// One of FHIR's issue types.
    code: &'static str,
    text: String,
}

impl Outcome {
    pub(crate) fn new(status: StatusCode, code: &'static str, text: impl Into<String>) -> Self {
        Self {
            status,
            code,
            text: text.into(),
        }
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", text)
    }

    /// It is FHIR, and more than we do.
    pub(crate) fn unsupported(text: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "not-supported", text)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            format!("There is no such {what}."),
        )
    }

    pub(crate) fn full(what: &str) -> Self {
        Self::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "no-store",
            format!("There is no room for one more {what}."),
        )
    }

    /// The `OperationOutcome` alone.
    pub(crate) fn resource(&self) -> Value {
        json!({
            "resourceType": "OperationOutcome",
            "issue": [{ "severity": "error", "code": self.code, "diagnostics": self.text }],
        })
    }
}

impl IntoResponse for Outcome {
    fn into_response(self) -> Response {
        (self.status, Fhir(self.resource())).into_response()
    }
}
