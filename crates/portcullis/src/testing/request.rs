use std::fmt::Debug;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL};

use super::{TestClient, TestResponse, TestSocket};

/// Builds a request; see [`TestClient::get`] and [`TestClient::websocket`].
#[must_use = "call `send` or `connect` to send the request"]
#[derive(Debug)]
pub struct TestRequest {
    client: TestClient,
    request: Request<Bytes>,
}

impl TestRequest {
    pub(super) fn new(client: TestClient, request: Request<Bytes>) -> Self {
        Self { client, request }
    }

    /// Adds `Authorization: Bearer` with this token.
    pub fn bearer(self, token: &str) -> Self {
        self.secret(AUTHORIZATION, &format!("Bearer {token}"))
    }

    /// Adds `Authorization: Basic` with this user name and password.
    pub fn basic(self, name: &str, password: &str) -> Self {
        let pair = STANDARD.encode(format!("{name}:{password}"));
        self.secret(AUTHORIZATION, &format!("Basic {pair}"))
    }

    /// Adds a `Sec-WebSocket-Protocol` line with all these entries.
    pub fn protocols<'a>(self, entries: impl IntoIterator<Item = &'a str>) -> Self {
        let line: Vec<_> = entries.into_iter().collect();
        self.secret(SEC_WEBSOCKET_PROTOCOL, &line.join(", "))
    }

    /// Adds `Origin`: the origin of the page, as a browser sends it.
    pub fn origin(self, origin: &str) -> Self {
        self.header(ORIGIN, origin)
    }

    /// Adds a header line. Existing lines with the same name stay.
    ///
    /// A value is text or bytes; bytes from 0x80 on are allowed.
    ///
    /// # Panics
    ///
    /// Panics if the name or the value is not valid.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        N::Error: Debug,
        V: TryInto<HeaderValue>,
        V::Error: Debug,
    {
        let name = name.try_into().expect("the name of a header is valid");
        let value = value.try_into().expect("the value of a header is valid");
        self.request.headers_mut().append(name, value);
        self
    }

    /// Removes a header that the client adds, such as `Host` or a header of the handshake.
    pub fn without(mut self, name: &str) -> Self {
        self.request.headers_mut().remove(name);
        self
    }

    /// Sets the body; empty by default.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        *self.request.body_mut() = body.into();
        self
    }

    #[cfg(feature = "http2")]
    pub(super) fn extension<T: Clone + Send + Sync + 'static>(mut self, extension: T) -> Self {
        self.request.extensions_mut().insert(extension);
        self
    }

    /// Returns the request, for changes that this type does not support. Send it with
    /// [`TestClient::send`] or [`TestClient::connect`].
    ///
    /// ```
    /// # use portcullis::AuthLayer;
    /// # use portcullis::testing::{Silent, TestClient};
    /// # use axum::{Router, routing::any};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let app = Router::new().route("/ws", any(|| async {})).layer(AuthLayer::new(Silent));
    /// # let client = TestClient::new(app);
    /// let mut request = client.websocket("/ws").into_request();
    /// *request.method_mut() = http::Method::DELETE;
    /// let refused = client.connect(request).await.unwrap_err();
    /// assert_eq!(refused.status(), 400);
    /// # }
    /// ```
    pub fn into_request(self) -> Request<Bytes> {
        self.request
    }

    /// Sends the request, and reads the complete response.
    ///
    /// # Panics
    ///
    /// Panics like [`TestClient::send`].
    pub async fn send(self) -> TestResponse {
        self.client.send(self.request).await
    }

    /// Sends the request, and opens the socket if the server accepts it.
    ///
    /// # Errors
    ///
    /// Returns the response if it does not open a socket. 101 opens one, or 200 over HTTP/2.
    ///
    /// # Panics
    ///
    /// Panics like [`TestClient::send`].
    pub async fn connect(self) -> Result<TestSocket, TestResponse> {
        self.client.connect(self.request).await
    }

    /// Adds a header with a value that `Debug` does not print.
    fn secret(self, name: HeaderName, value: &str) -> Self {
        let mut value = HeaderValue::from_str(value).expect("the value of a header is valid");
        value.set_sensitive(true);
        self.header(name, value)
    }
}
