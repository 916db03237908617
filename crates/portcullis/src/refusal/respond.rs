use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::response::Response;
use serde::Serialize;

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
    #[derive(Serialize)]
    struct Body<'a> {
        r#type: &'static str,
        title: &'static str,
        status: u16,
        detail: &'a str,
        kind: &'static str,
    }

    // A client must not learn that a credential was valid once.
    let kind = match refusal.kind() {
        RefusalKind::ExpiredCredential => RefusalKind::InvalidCredential,
        kind => kind,
    };
    let body = Body {
        r#type: "about:blank",
        title: refusal.status().canonical_reason().unwrap_or("Refused"),
        status: refusal.status().as_u16(),
        detail: refusal.detail(),
        kind: kind.as_str(),
    };
    // Strings and numbers can always be serialized.
    serde_json::to_vec(&body).unwrap_or_default().into()
}
