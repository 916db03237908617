use std::borrow::Cow;

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::response::Response;

use super::{Refusal, RefusalKind};

/// Builds the response to a refused request.
///
/// Closures implement it. The request that they receive contains no credential.
///
/// ```
/// use axum::body::Body;
/// use axum::http::{Response, header, request::Parts};
/// use portcullis::{refusal::Refusal, AuthLayer, StaticTokens};
///
/// let tokens = StaticTokens::new([("alice", "s3cret")])?;
/// let auth = AuthLayer::new(tokens).respond(|refusal: &Refusal, request: &Parts| {
///     let page = request.headers.get(header::ACCEPT).is_some_and(|a| a == "text/html");
///     let text = if page { "Log in first." } else { refusal.detail() };
///     let mut response = Response::new(Body::from(text.to_owned()));
///     *response.status_mut() = refusal.status();
///     response
/// });
/// # Ok::<_, portcullis::verify::StaticTokenError>(())
/// ```
///
/// The default, [`Problem`], builds every body that implements `From<Bytes>`: `axum::body::Body`
/// and `Full<Bytes>` of `http-body-util`, but not `Empty<Bytes>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not build responses with the body `{B}`",
    label = "does not build `{B}`",
    note = "a responder is a `Fn(&Refusal, &Parts) -> Response<{B}> + Clone`; the default, `Problem`, builds every body that is `From<Bytes>`, such as `axum::body::Body` and `Full<Bytes>` of `http-body-util`"
)]
pub trait Respond<B>: Clone {
    /// Builds the response. Its status should be that of the refusal, or a redirect to a login
    /// page. The response to a `HEAD` request should have no body: axum's router removes it, other
    /// services do not.
    fn respond(&self, refusal: &Refusal, request: &Parts) -> Response<B>;
}

impl<F, B> Respond<B> for F
where
    F: Fn(&Refusal, &Parts) -> Response<B> + Clone,
{
    fn respond(&self, refusal: &Refusal, request: &Parts) -> Response<B> {
        self(refusal, request)
    }
}

/// Responds with `application/problem+json` (RFC 9457).
///
/// ```json
/// {"type":"about:blank","title":"Unauthorized","status":401,
///  "detail":"The credential is not accepted.","kind":"invalid-credential"}
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Problem;

impl<B: From<Bytes>> Respond<B> for Problem {
    fn respond(&self, refusal: &Refusal, request: &Parts) -> Response<B> {
        let body = match request.method {
            // Over HTTP/2 no part below removes the body, and the client would fail.
            Method::HEAD => Bytes::new(),
            _ => problem(refusal),
        };
        let mut response = Response::new(B::from(body));
        *response.status_mut() = refusal.status();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }
}

fn problem(refusal: &Refusal) -> Bytes {
    let status = refusal.status();
    // A client must not learn that a credential was valid once.
    let kind = match refusal.kind() {
        RefusalKind::ExpiredCredential => RefusalKind::InvalidCredential,
        kind => kind,
    };
    // No other text contains characters that JSON escapes.
    let detail = match refusal.detail().contains(['"', '\\']) {
        true => Cow::from(refusal.detail().replace('\\', r"\\").replace('"', r#"\""#)),
        false => Cow::from(refusal.detail()),
    };
    let body = [
        r#"{"type":"about:blank","title":""#,
        status.canonical_reason().unwrap_or("Refused"),
        r#"","status":"#,
        status.as_str(),
        r#","detail":""#,
        &detail,
        r#"","kind":""#,
        kind.as_str(),
        r#""}"#,
    ];
    body.concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_is_json() {
        let refusal = Refusal::new(RefusalKind::MalformedRequest);
        let refusal = refusal.with_detail(r#"the body has to be {"path":"C:\"}"#);
        assert_eq!(
            problem(&refusal),
            r#"{"type":"about:blank","title":"Bad Request","status":400,"detail":"the body has to be {\"path\":\"C:\\\"}","kind":"malformed-request"}"#
        );
    }

    #[test]
    fn expired_credential_looks_like_an_unknown_one() {
        let [expired, invalid] = [
            RefusalKind::ExpiredCredential,
            RefusalKind::InvalidCredential,
        ]
        .map(|kind| problem(&Refusal::new(kind)));
        assert_eq!(expired, invalid);
    }
}
