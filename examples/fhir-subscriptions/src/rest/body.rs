use axum::body::Bytes;
use axum::extract::{FromRequest, Query, Request};
use axum::response::{IntoResponse, Response};
use fhir_subscriptions_resources::{Resource, parse, serialize};
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::Value;

use crate::fhir::{FHIR_JSON, FhirJson};
use crate::outcome::OperationOutcome;

/// Extracts a resource from the body of a request.
pub(super) struct ResourceBody(pub(super) Resource);

impl<S: Send + Sync> FromRequest<S> for ResourceBody {
    type Rejection = OperationOutcome;

    async fn from_request(request: Request, state: &S) -> Result<Self, OperationOutcome> {
        if !is_json(request.headers()) {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            let text = format!("The content type must be {FHIR_JSON}.");
            return Err(OperationOutcome::new(status, "not-supported", text));
        }
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|rejection| {
            OperationOutcome::new(rejection.status(), "too-long", rejection.body_text())
        })?;
        let resource =
            parse(&body).map_err(|error| OperationOutcome::invalid(error.to_string()))?;
        Ok(Self(resource))
    }
}

/// Extracts the parameters of an operation, from the query and from the `Parameters` resource in
/// the body of a `POST`.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        let matching = self.0.iter().filter(|(key, _)| key == name);
        matching.map(|(_, value)| value.clone()).collect()
    }

    /// Returns the value of a parameter that may occur at most once.
    pub(super) fn one(&self, name: &str) -> Result<Option<String>, OperationOutcome> {
        match &self.all(name)[..] {
            [] => Ok(None),
            [value] => Ok(Some(value.clone())),
            _ => {
                let text = format!("The parameter {name} occurs more than once.");
                Err(OperationOutcome::invalid(text))
            }
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Parameters {
    type Rejection = OperationOutcome;

    async fn from_request(request: Request, state: &S) -> Result<Self, OperationOutcome> {
        let query = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
        let Query(mut parameters) =
            query.map_err(|rejection| OperationOutcome::invalid(rejection.body_text()))?;
        let has_body = request.headers().contains_key(header::CONTENT_TYPE);
        if request.method() == Method::POST && has_body {
            let ResourceBody(resource) = ResourceBody::from_request(request, state).await?;
            let Resource::Parameters(_) = resource else {
                let text = "The body must be a Parameters resource.";
                return Err(OperationOutcome::invalid(text));
            };
            parameters.extend(parameter_values(&to_value(&resource)));
        }
        Ok(Self(parameters))
    }
}

/// Converts a parsed resource back to JSON, without the fields that R5 does not define.
pub(super) fn to_value(resource: &Resource) -> Value {
    serde_json::from_str(&serialize(resource)).unwrap_or_default()
}

/// Returns the names and values of a `Parameters` resource. Values of all types become strings.
fn parameter_values(parameters: &Value) -> Vec<(String, String)> {
    let all = parameters["parameter"].as_array().into_iter().flatten();
    all.filter_map(|parameter| {
        let name = parameter["name"].as_str()?;
        let fields = parameter.as_object()?;
        let (_, value) = fields.iter().find(|(key, _)| key.starts_with("value"))?;
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Some((name.to_owned(), value))
    })
    .collect()
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let essence = content_type.split(';').next().unwrap_or("").trim();
    [FHIR_JSON, "application/json"]
        .iter()
        .any(|accepted| essence.eq_ignore_ascii_case(accepted))
}

/// Returns a response with a resource, its version and its location.
pub(super) fn versioned(status: StatusCode, base: &str, resource: Value) -> Response {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let version = text(&resource["meta"]["versionId"]);
    let (kind, id) = (text(&resource["resourceType"]), text(&resource["id"]));
    let headers = [
        (header::ETAG, format!("W/\"{version}\"")),
        (
            header::LOCATION,
            format!("{base}/{kind}/{id}/_history/{version}"),
        ),
    ];
    (status, headers, FhirJson(resource)).into_response()
}
