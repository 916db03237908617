use std::error::Error;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CONNECTION, HOST, HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::uri::{Authority, Scheme, Uri};
use http::{Method, Request, Response, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::ext::Protocol;
use tokio::io::DuplexStream;
use tower_service::Service;

use super::{TestRequest, TestResponse, TestSocket, connection};

/// Sends requests to an application through a pipe in memory. See the [module docs](super).
///
/// It speaks HTTP/1.1, or HTTP/2 after [`http2`](Self::http2). Every request has a connection of
/// its own.
#[derive(Clone)]
pub struct TestClient {
    serve: Arc<dyn Fn(DuplexStream) + Send + Sync>,
    authority: Authority,
    version: Version,
}

impl TestClient {
    /// A client of `app`: axum's `Router`, or any other tower service over [`http`].
    pub fn new<S, B>(app: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        Self {
            serve: Arc::new(move |io| connection::serve(app.clone(), io)),
            authority: Authority::from_static("localhost"),
            version: Version::HTTP_11,
        }
    }

    /// Speaks HTTP/2, in which a WebSocket is an extended `CONNECT` (RFC 8441).
    #[must_use]
    pub fn http2(mut self) -> Self {
        self.version = Version::HTTP_2;
        self
    }

    /// The host, and maybe port, that requests are for. `localhost` by default.
    ///
    /// # Panics
    ///
    /// If it is none.
    #[must_use]
    pub fn authority(mut self, authority: &str) -> Self {
        self.authority = authority
            .parse()
            .unwrap_or_else(|error| panic!("`{authority}` is no authority: {error}"));
        self
    }

    /// The version of HTTP that it speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// A `GET` of this path.
    pub fn get(&self, path: &str) -> TestRequest {
        self.request(Method::GET, path)
    }

    /// A `POST` to this path.
    pub fn post(&self, path: &str) -> TestRequest {
        self.request(Method::POST, path)
    }

    /// A request of this method and path.
    ///
    /// # Panics
    ///
    /// If the path is none.
    pub fn request(&self, method: Method, path: &str) -> TestRequest {
        let uri = path
            .parse()
            .unwrap_or_else(|error| panic!("`{path}` is no path: {error}"));
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = method;
        *request.version_mut() = self.version;
        if self.version == Version::HTTP_2 {
            *request.uri_mut() = self.with_authority(uri);
        } else {
            *request.uri_mut() = uri;
            let host = HeaderValue::from_str(self.authority.as_str());
            request
                .headers_mut()
                .insert(HOST, host.expect("an authority is visible ASCII"));
        }
        TestRequest::new(self.clone(), request)
    }

    /// A handshake at this path.
    ///
    /// ```
    /// # use portcullis::{AuthLayer, Identity};
    /// # use portcullis::testing::{Accepting, TestClient};
    /// # use axum::{Router, extract::WebSocketUpgrade, routing::any};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let ws = async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(async |_| {});
    /// # let auth = AuthLayer::new(Accepting::token("t0k", Identity::new("alice")));
    /// # let client = TestClient::new(Router::new().route("/ws", any(ws)).route_layer(auth));
    /// let handshake = client.websocket("/ws").protocols(["v1.bearer", "v1.bearer.dDBr"]);
    /// let socket = handshake.connect().await.unwrap();
    /// assert_eq!(socket.protocol(), Some("v1.bearer"));
    /// # }
    /// ```
    pub fn websocket(&self, path: &str) -> TestRequest {
        let version = HeaderValue::from_static("13");
        if self.version == Version::HTTP_2 {
            self.request(Method::CONNECT, path)
                .header(SEC_WEBSOCKET_VERSION, version)
                .extension(Protocol::from_static("websocket"))
        } else {
            self.get(path)
                .header(CONNECTION, "Upgrade")
                .header(UPGRADE, "websocket")
                .header(SEC_WEBSOCKET_KEY, SAMPLE_KEY)
                .header(SEC_WEBSOCKET_VERSION, version)
        }
    }

    /// Sends `request` as it is.
    ///
    /// This is for what no well-behaved client sends. Over HTTP/1.1 the `Host` is a header, over
    /// HTTP/2 the address has to have an authority; [`TestRequest::into_request`] gives a request
    /// to start with.
    ///
    /// # Panics
    ///
    /// If there is no answer: the application panicked, or hyper's client rejects the request.
    pub async fn send(&self, request: Request<Bytes>) -> TestResponse {
        TestResponse::read(self.answer(request).await).await
    }

    /// Sends `request` as it is, and takes the connection over if it is accepted.
    ///
    /// # Errors
    ///
    /// The response, if it is not the one that opens a socket.
    ///
    /// # Panics
    ///
    /// As [`send`](Self::send).
    pub async fn connect(&self, request: Request<Bytes>) -> Result<TestSocket, TestResponse> {
        let is_connect = request.method() == Method::CONNECT;
        TestSocket::open(self.answer(request).await, is_connect).await
    }

    /// A connection of its own, for bytes that no client of HTTP sends.
    ///
    /// ```
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// # use portcullis::testing::TestClient;
    /// # use axum::{Router, routing::get};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    /// # let client = TestClient::new(Router::new().route("/", get(|| async {})));
    /// let mut pipe = client.pipe();
    /// pipe.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
    /// let mut response = String::new();
    /// pipe.read_to_string(&mut response).await?;
    /// assert!(response.starts_with("HTTP/1.1 200"));
    /// # Ok(()) }
    /// ```
    pub fn pipe(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        (self.serve)(theirs);
        ours
    }

    async fn answer(&self, request: Request<Bytes>) -> Response<Incoming> {
        let answer = match self.version {
            Version::HTTP_2 => connection::http2(self.pipe(), request).await,
            _ => connection::http1(self.pipe(), request).await,
        };
        answer.unwrap_or_else(|error| panic!("the application did not answer: {error:?}"))
    }

    fn with_authority(&self, uri: Uri) -> Uri {
        let mut parts = uri.into_parts();
        parts.scheme.get_or_insert(Scheme::HTTP);
        parts
            .authority
            .get_or_insert_with(|| self.authority.clone());
        Uri::from_parts(parts).expect("scheme, authority and path make an address")
    }
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClient")
            .field("authority", &self.authority)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// The nonce of RFC 6455 §1.3. It guards caches against confusion, and there is none in a pipe.
const SAMPLE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// What fits into the pipe before a writer has to wait, in bytes.
const PIPE: usize = 64 * 1024;
