use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);

/// Sends a request over a new connection and reads the whole response. It follows no redirect and
/// stores no cookie.
///
/// # Panics
///
/// Panics if no response arrives.
pub async fn fetch(mut request: Request<String>) -> Response<String> {
    let authority = request
        .uri()
        .authority()
        .expect("a whole address")
        .to_string();
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    if !request.headers().contains_key(header::HOST) {
        let host = authority.parse().expect("an authority is a header value");
        request.headers_mut().insert(header::HOST, host);
    }
    *request.uri_mut() = path.parse().expect("it was part of an address");
    let exchange = async {
        let stream = TcpStream::connect(&authority)
            .await
            .expect("the server listens");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        let connection = tokio::spawn(connection);
        let request = request.map(|body| Full::new(Bytes::from(body)));
        let response = sender.send_request(request).await.expect("a response");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("the whole body").to_bytes();
        connection.abort();
        Response::from_parts(head, String::from_utf8_lossy(&body).into_owned())
    };
    timeout(LIMIT, exchange)
        .await
        .expect("the server answers in time")
}

/// Builds a request to `url`, with `token` in the `Authorization` header.
pub fn request(method: &str, url: &str, token: Option<&str>, body: &str) -> Request<String> {
    let mut request = Request::builder().method(method).uri(url);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("token {token}"));
    }
    request.body(body.to_owned()).expect("a request")
}

/// Sends `GET url` without a credential.
pub async fn get(url: &str) -> Response<String> {
    fetch(request("GET", url, None, "")).await
}

/// A TCP connection that sends exactly the given bytes.
#[derive(Debug)]
pub struct RawConnection {
    stream: TcpStream,
    /// Bytes that no call has returned yet.
    received: Vec<u8>,
}

impl RawConnection {
    /// Connects to an address and port.
    ///
    /// # Panics
    ///
    /// Panics if no server listens there.
    pub async fn open(authority: &str) -> Self {
        let address: SocketAddr = authority.parse().expect("an address and a port");
        let stream = TcpStream::connect(address)
            .await
            .expect("the server listens");
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// Sends `bytes`. A closed connection is not an error, because the test reads the response later.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Returns all bytes until the peer closes the connection.
    ///
    /// # Panics
    ///
    /// Panics if it stays open.
    pub async fn rest(mut self) -> Vec<u8> {
        let read = timeout(LIMIT, async { while self.read().await {} }).await;
        assert!(
            read.is_ok(),
            "still open after {:?}",
            String::from_utf8_lossy(&self.received)
        );
        self.received
    }

    /// Returns all bytes up to and including `end`.
    ///
    /// # Panics
    ///
    /// Panics if `end` does not arrive.
    pub async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            let found = self
                .received
                .windows(end.len())
                .position(|window| window == end);
            if let Some(at) = found {
                return self.received.drain(..at + end.len()).collect();
            }
            let more = timeout(LIMIT, self.read()).await;
            assert!(
                matches!(more, Ok(true)),
                "no {:?} in {:?}",
                String::from_utf8_lossy(end),
                String::from_utf8_lossy(&self.received)
            );
        }
    }

    /// Returns whether more bytes arrived. A reset ends the connection as a close does.
    async fn read(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.received).await, Ok(count) if count > 0)
    }
}
