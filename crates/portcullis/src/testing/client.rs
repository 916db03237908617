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
use tokio::io::DuplexStream;
use tower_service::Service;

use super::{TestRequest, TestResponse, TestSocket, connection};

/// Sends requests to an application through an in-memory pipe. See the [module docs](super).
///
/// The client uses HTTP/1.1, or HTTP/2 after `http2` (feature `http2`). Each request has its own
/// connection.
#[derive(Clone)]
pub struct TestClient {
    serve: Arc<dyn Fn(DuplexStream) + Send + Sync>,
    authority: Authority,
    version: Version,
}

impl TestClient {
    /// Creates a client of `app`: axum's `Router`, or any other tower service over [`http`].
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

    /// Uses HTTP/2, where a WebSocket is an extended `CONNECT` (RFC 8441).
    #[cfg(feature = "http2")]
    #[must_use]
    pub fn http2(mut self) -> Self {
        self.version = Version::HTTP_2;
        self
    }

    /// Sets the host, with or without port, of all requests; `localhost` by default.
    ///
    /// # Panics
    ///
    /// Panics if `authority` is not valid (RFC 3986 §3.2).
    #[must_use]
    pub fn authority(mut self, authority: &str) -> Self {
        self.authority = authority
            .parse()
            .unwrap_or_else(|error| panic!("`{authority}` is not a valid authority: {error}"));
        self
    }

    /// Returns the version of HTTP that the client uses.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Starts a `GET` request for this path.
    pub fn get(&self, path: &str) -> TestRequest {
        self.request(Method::GET, path)
    }

    /// Starts a `POST` request to this path.
    pub fn post(&self, path: &str) -> TestRequest {
        self.request(Method::POST, path)
    }

    /// Starts a request with this method and path.
    ///
    /// # Panics
    ///
    /// Panics if the path is not valid.
    pub fn request(&self, method: Method, path: &str) -> TestRequest {
        let uri = path
            .parse()
            .unwrap_or_else(|error| panic!("`{path}` is not a valid path: {error}"));
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

    /// Starts a WebSocket handshake at this path.
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
        #[cfg(feature = "http2")]
        if self.version == Version::HTTP_2 {
            return self
                .request(Method::CONNECT, path)
                .header(SEC_WEBSOCKET_VERSION, version)
                .extension(hyper::ext::Protocol::from_static("websocket"));
        }
        self.get(path)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_KEY, SAMPLE_KEY)
            .header(SEC_WEBSOCKET_VERSION, version)
    }

    /// Sends `request` without changes.
    ///
    /// Use it for invalid requests. Start from [`TestRequest::into_request`]: over HTTP/1.1 a
    /// request needs a `Host` header, over HTTP/2 its address needs an authority.
    ///
    /// # Panics
    ///
    /// Panics if there is no response, because the application panicked or hyper's client rejects
    /// the request.
    pub async fn send(&self, request: Request<Bytes>) -> TestResponse {
        TestResponse::read(self.respond(request).await).await
    }

    /// Sends `request` without changes, and opens the socket if the server accepts it.
    ///
    /// # Errors
    ///
    /// Returns the response if it does not open a socket.
    ///
    /// # Panics
    ///
    /// Panics like [`send`](Self::send).
    pub async fn connect(&self, request: Request<Bytes>) -> Result<TestSocket, TestResponse> {
        let is_connect = request.method() == Method::CONNECT;
        TestSocket::open(self.respond(request).await, is_connect).await
    }

    /// Opens a raw connection, for bytes that an HTTP client does not send.
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

    async fn respond(&self, request: Request<Bytes>) -> Response<Incoming> {
        let response = match self.version {
            #[cfg(feature = "http2")]
            Version::HTTP_2 => connection::http2(self.pipe(), request).await,
            _ => connection::http1(self.pipe(), request).await,
        };
        response.unwrap_or_else(|error| panic!("the application did not respond: {error:?}"))
    }

    fn with_authority(&self, uri: Uri) -> Uri {
        let mut parts = uri.into_parts();
        parts.scheme.get_or_insert(Scheme::HTTP);
        parts
            .authority
            .get_or_insert_with(|| self.authority.clone());
        Uri::from_parts(parts).expect("scheme, authority and path are a valid URI")
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

/// The nonce of RFC 6455 §1.3. A random one would protect against caches, which a pipe does not
/// have.
const SAMPLE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The capacity of the pipe, in bytes.
const PIPE: usize = 64 * 1024;
