use axum::body::Bytes;
use axum::extract::{FromRequest, Query, Request};
use axum::response::{IntoResponse, Response};
use fhir_subscriptions_resources::{Resource, read, write};
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::Value;

use crate::fhir::Fhir;
use crate::outcome::Outcome;

/// The resource that a client sent.
pub(super) struct Sent(pub(super) Resource);

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = Outcome;

    async fn from_request(request: Request, state: &S) -> Result<Self, Outcome> {
        if !is_json(request.headers()) {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            let text = "Send application/fhir+json.";
            return Err(Outcome::new(status, "not-supported", text));
        }
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|rejection| {
            Outcome::new(rejection.status(), "too-long", rejection.body_text())
        })?;
        let resource = read(&body).map_err(|error| Outcome::invalid(error.to_string()))?;
        Ok(Self(resource))
    }
}

/// The parameters of an operation: of the query, and of the `Parameters` of a `POST`.
pub(super) struct Input(Vec<(String, String)>);

impl Input {
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        let named = self.0.iter().filter(|(given, _)| given == name);
        named.map(|(_, value)| value.clone()).collect()
    }

    /// A parameter that may be given once.
    pub(super) fn one(&self, name: &str) -> Result<Option<String>, Outcome> {
        match &self.all(name)[..] {
            [] => Ok(None),
            [value] => Ok(Some(value.clone())),
            _ => Err(Outcome::invalid(format!("{name} is there more than once."))),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Input {
    type Rejection = Outcome;

    async fn from_request(request: Request, state: &S) -> Result<Self, Outcome> {
        let query = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
        let Query(mut parameters) =
            query.map_err(|rejection| Outcome::invalid(rejection.body_text()))?;
        let has_body = request.headers().contains_key(header::CONTENT_TYPE);
        if request.method() == Method::POST && has_body {
            let Sent(resource) = Sent::from_request(request, state).await?;
            let Resource::Parameters(_) = resource else {
                return Err(Outcome::invalid("Send the resource Parameters."));
            };
            parameters.extend(values(&json(&resource)));
        }
        Ok(Self(parameters))
    }
}

/// A resource that was read, as plain JSON: without what R5 does not know.
pub(super) fn json(resource: &Resource) -> Value {
    serde_json::from_str(&write(resource)).unwrap_or_default()
}

/// Names and values of a `Parameters`, whatever type a value has.
fn values(parameters: &Value) -> Vec<(String, String)> {
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
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let essence = kind.split(';').next().unwrap_or("").trim();
    ["application/fhir+json", "application/json"]
        .iter()
        .any(|ours| essence.eq_ignore_ascii_case(ours))
}

/// A resource with its version and where it is.
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
    (status, headers, Fhir(resource)).into_response()
}
