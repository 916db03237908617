use std::fmt::Debug;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL};

use super::{TestClient, TestResponse, TestSocket};

/// A request in the making; see [`TestClient::get`] and [`TestClient::websocket`].
#[must_use = "nothing is sent before `send` or `connect`"]
#[derive(Debug)]
pub struct TestRequest {
    client: TestClient,
    request: Request<Bytes>,
}

impl TestRequest {
    pub(super) fn new(client: TestClient, request: Request<Bytes>) -> Self {
        Self { client, request }
    }

    /// `Authorization: Bearer` with this token.
    pub fn bearer(self, token: &str) -> Self {
        self.secret(AUTHORIZATION, &format!("Bearer {token}"))
    }

    /// `Authorization: Basic` with this name and password.
    pub fn basic(self, name: &str, password: &str) -> Self {
        let pair = STANDARD.encode(format!("{name}:{password}"));
        self.secret(AUTHORIZATION, &format!("Basic {pair}"))
    }

    /// `Sec-WebSocket-Protocol`: all these entries in one line.
    pub fn protocols<'a>(self, entries: impl IntoIterator<Item = &'a str>) -> Self {
        let line: Vec<_> = entries.into_iter().collect();
        self.secret(SEC_WEBSOCKET_PROTOCOL, &line.join(", "))
    }

    /// `Origin`: the page that a browser would send this for.
    pub fn origin(self, origin: &str) -> Self {
        self.header(ORIGIN, origin)
    }

    /// Adds a header line. One of the same name that was there before stays.
    ///
    /// Values are text or bytes; those from 0x80 on are legal.
    ///
    /// # Panics
    ///
    /// If no header can hold the name or the value.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        N::Error: Debug,
        V: TryInto<HeaderValue>,
        V::Error: Debug,
    {
        let name = name.try_into().expect("a header's name");
        let value = value.try_into().expect("a header's value");
        self.request.headers_mut().append(name, value);
        self
    }

    /// Leaves a header out that would be there, such as `Host` or a line of the handshake.
    pub fn without(mut self, name: &str) -> Self {
        self.request.headers_mut().remove(name);
        self
    }

    /// The body. Empty by default.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        *self.request.body_mut() = body.into();
        self
    }

    pub(super) fn extension<T: Clone + Send + Sync + 'static>(mut self, extension: T) -> Self {
        self.request.extensions_mut().insert(extension);
        self
    }

    /// The request as it would be sent, to be changed at will and then handed to
    /// [`TestClient::send`] or [`TestClient::connect`].
    ///
    /// ```
    /// # use portcullis::AuthLayer;
    /// # use portcullis::testing::{Silent, TestClient};
    /// # use axum::{Router, routing::any};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let app = Router::new().route("/ws", any(|| async {})).layer(AuthLayer::new(Silent));
    /// # let client = TestClient::new(app);
    /// let mut odd = client.websocket("/ws").into_request();
    /// *odd.method_mut() = http::Method::DELETE;
    /// let refused = client.connect(odd).await.unwrap_err();
    /// assert_eq!(refused.status(), 400);
    /// # }
    /// ```
    pub fn into_request(self) -> Request<Bytes> {
        self.request
    }

    /// Sends it, and reads the response to its end.
    ///
    /// # Panics
    ///
    /// As [`TestClient::send`].
    pub async fn send(self) -> TestResponse {
        self.client.send(self.request).await
    }

    /// Sends it, and opens the socket if it is accepted.
    ///
    /// # Errors
    ///
    /// The response, if it is not the one that opens a socket: 101, or 200 over HTTP/2.
    ///
    /// # Panics
    ///
    /// As [`TestClient::send`].
    pub async fn connect(self) -> Result<TestSocket, TestResponse> {
        self.client.connect(self.request).await
    }

    /// A header whose value `Debug` does not print.
    fn secret(self, name: HeaderName, value: &str) -> Self {
        let mut value = HeaderValue::from_str(value).expect("a header's value");
        value.set_sensitive(true);
        self.header(name, value)
    }
}
