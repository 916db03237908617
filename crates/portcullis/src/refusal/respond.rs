use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::response::Response;

use super::{Refusal, RefusalKind};

/// Writes the response of a refusal.
///
/// Implemented for closures. The request that they see has been freed of its credentials.
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
/// [`Problem`] writes every body that can be made of bytes: `axum::body::Body`, and of
/// `http-body-util` `Full<Bytes>`, but not `Empty<Bytes>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not write refusals whose body is `{B}`",
    label = "does not write `{B}`",
    note = "a responder is a `Fn(&Refusal, &Parts) -> Response<{B}> + Clone`; the one that is there unless another is set writes every body that is `From<Bytes>`, such as `axum::body::Body` and `Full<Bytes>` of `http-body-util`"
)]
pub trait Respond<B>: Clone {
    /// The response. Its status should be that of the refusal, or a redirection to a log-in page.
    /// To a `HEAD` it should have no body: around a service that is not a router of axum, nobody
    /// else takes it away.
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

/// Answers with `application/problem+json` (RFC 9457).
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
        let status = refusal.status();
        let body = match request.method {
            // Over HTTP/2 nobody below us leaves it out, and the client fails.
            Method::HEAD => Bytes::new(),
            _ => Bytes::from(problem(refusal)),
        };
        let mut response = Response::new(B::from(body));
        *response.status_mut() = status;
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }
}

pub(crate) fn problem(refusal: &Refusal) -> String {
    let status = refusal.status();
    let title = status.canonical_reason().unwrap_or("Refused");
    // Every text below is ours and has nothing that JSON escapes.
    format!(
        r#"{{"type":"about:blank","title":"{title}","status":{},"detail":"{}","kind":"{}"}}"#,
        status.as_u16(),
        refusal.detail().replace(['"', '\\'], "'"),
        public_name(refusal.kind()),
    )
}

/// Whether a credential was good once is nobody's business but the log's.
fn public_name(kind: RefusalKind) -> &'static str {
    match kind {
        RefusalKind::ExpiredCredential => RefusalKind::InvalidCredential.as_str(),
        kind => kind.as_str(),
    }
}
