use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, response};
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// A response, read to its end.
///
/// As the error of a [`connect`](super::TestRequest::connect) it tells why there is no socket.
#[derive(Clone, Debug)]
pub struct TestResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl TestResponse {
    pub(super) async fn read(response: Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .unwrap_or_else(|error| panic!("the response breaks off: {error:?}"));
        Self {
            body: body.to_bytes(),
            ..Self::without_body(parts)
        }
    }

    pub(super) fn without_body(parts: response::Parts) -> Self {
        Self {
            status: parts.status,
            headers: parts.headers,
            body: Bytes::new(),
        }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The first header of this name, if it is there and is visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body, which is text.
    ///
    /// # Panics
    ///
    /// If it is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }
}

impl fmt::Display for TestResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "answered with {}: {body}", self.status)
    }
}

impl std::error::Error for TestResponse {}
