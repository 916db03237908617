//! Responses to requests that the authentication layer refuses.

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Response, header};
use portcullis::refusal::Refusal;
use serde_json::json;

pub(crate) type Responder = fn(&Refusal, &Parts) -> Response<Body>;

/// The response to a browser that opens the page with an invalid token.
const PAGE: &str = "<!doctype html><meta charset=utf-8>\
    <meta name=viewport content='width=device-width'>\
    <title>Access denied</title><h1>Access denied</h1>\
    <p>This link is not valid. Open the link that the server printed when it started, or \
    <a href='/'>continue without a token</a>.";

/// Answers with an HTML page at `/`, and with Jupyter's JSON everywhere else.
pub(crate) fn respond(refusal: &Refusal, request: &Parts) -> Response<Body> {
    let (content_type, body) = if request.uri.path() == "/" {
        ("text/html; charset=utf-8", PAGE.to_owned())
    } else {
        let body = json!({ "message": refusal.detail(), "reason": refusal.kind().as_str() });
        ("application/json", body.to_string())
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = refusal.status();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
