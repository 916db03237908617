use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

/// Returns an error response in the format of RFC 9457, with additional members.
pub(crate) fn problem(status: StatusCode, detail: &str, members: &[(&str, Value)]) -> Response {
    let mut body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
    });
    for (name, value) in members {
        body[*name] = value.clone();
    }
    let mut response = (status, Json(body)).into_response();
    let content_type = HeaderValue::from_static("application/problem+json");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}
