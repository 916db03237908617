//! The transports server with several users, and a WebSocket client.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use http::{Request, Response, StatusCode};
use portcullis_e2e::{Server, fetch, new_secret};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

/// The time limit of events without a documented time limit.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The transports server with the users alice, bob, and root, which has the scope `admin`.
pub(crate) struct Guarded {
    pub(crate) server: Server,
    pub(crate) bob: String,
    pub(crate) root: String,
}

impl Guarded {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let (bob, root) = (new_secret(), new_secret());
        let mut server = Server::transports();
        for user in [format!("bob={bob}"), format!("root={root}:admin")] {
            server = server.argument("--user").argument(&user);
        }
        for argument in arguments {
            server = server.argument(argument);
        }
        let server = server.start();
        server.keep_secret(&bob);
        server.keep_secret(&root);
        Self { server, bob, root }
    }

    pub(crate) fn alice(&self) -> &str {
        self.server.token()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.base())
    }

    pub(crate) fn websocket_url(&self, path: &str) -> String {
        format!("{}{path}", self.server.websocket_base())
    }

    /// Opens a socket at `path` without a credential in the headers.
    pub(crate) async fn try_open(&self, path: &str) -> Result<Socket, StatusCode> {
        Socket::open(&self.websocket_url(path), &[]).await
    }

    /// Opens a socket at `path` with the token in the `Authorization` header.
    pub(crate) async fn try_open_as(&self, path: &str, token: &str) -> Result<Socket, StatusCode> {
        let bearer = format!("Bearer {token}");
        Socket::open(&self.websocket_url(path), &[("authorization", &bearer)]).await
    }

    /// Opens an admitted socket at `path`. Returns it with the first message, which shows the identity
    /// in the handler.
    pub(crate) async fn open_as(&self, path: &str, token: &str) -> (Socket, Value) {
        let socket = self.try_open_as(path, token).await;
        let mut socket = socket.unwrap_or_else(|status| panic!("{path}: {status}"));
        let hello = socket.receive_json().await;
        (socket, hello)
    }

    /// Opens a socket at `path` that has not authenticated yet.
    pub(crate) async fn pending(&self, path: &str) -> Socket {
        let socket = self.try_open(path).await;
        socket.unwrap_or_else(|status| panic!("{path}: {status}"))
    }

    /// Returns the bytes of a handshake at `path`.
    pub(crate) fn handshake(&self, path: &str, token: Option<&str>) -> Vec<u8> {
        let host = self.server.authority();
        let credential = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        let credential = credential.unwrap_or_default();
        format!(
            "GET /{path} HTTP/1.1\r\nHost: {host}\r\n{credential}Connection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .into_bytes()
    }

    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: &Value,
    ) -> Response<String> {
        let request = Request::builder()
            .method(method)
            .uri(self.url(path))
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string());
        fetch(request.expect("a request")).await
    }

    /// Mints a ticket with an access token.
    pub(crate) async fn ticket(&self, token: &str) -> String {
        let response = self.request("POST", "ticket", token, &json!({})).await;
        assert_eq!(response.status(), 200, "{}", response.body());
        let answer = json_of(&response);
        let ticket = answer["ticket"].as_str().expect("a ticket").to_owned();
        self.server.keep_secret(&ticket);
        assert!((1..=30).contains(&answer["expires_in"].as_u64().expect("seconds")));
        ticket
    }

    /// Revokes `what` as root, and returns the number of closed sockets.
    pub(crate) async fn revoke(&self, what: &Value) -> u64 {
        let response = self.request("POST", "revoke", &self.root, what).await;
        assert_eq!(response.status(), 200, "{}", response.body());
        json_of(&response)["closed"].as_u64().expect("a number")
    }
}

pub(crate) fn json_of(response: &Response<String>) -> Value {
    serde_json::from_str(response.body()).unwrap_or_else(|_| panic!("not JSON: {response:?}"))
}

/// Returns the frame of a text message of a client, masked with zeros.
pub(crate) fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u16::try_from(text.len()).expect("the messages of tests are shorter") {
        length @ ..126 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

/// A WebSocket client.
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The subprotocol that the server selected.
    pub(crate) protocol: Option<String>,
}

impl Socket {
    /// Opens a socket, or returns the status of the refusal.
    pub(crate) async fn open(url: &str, headers: &[(&str, &str)]) -> Result<Self, StatusCode> {
        let mut request = url.into_client_request().expect("an address");
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            let value = value.parse().expect("a value");
            request.headers_mut().insert(name, value);
        }
        // Sends each message at once, without a flush.
        let config = WebSocketConfig::default().write_buffer_size(0);
        let connect = connect_async_with_config(request, Some(config), true);
        match timeout(LIMIT, connect).await.expect("a response in time") {
            Ok((stream, response)) => {
                let protocol = response.headers().get("sec-websocket-protocol");
                let protocol = protocol.map(|value| value.to_str().expect("ASCII").to_owned());
                Ok(Self { stream, protocol })
            }
            Err(Error::Http(response)) => Err(response.status()),
            Err(error) => panic!("{url}: {error}"),
        }
    }

    /// Returns the underlying stream and sink.
    pub(crate) fn into_inner(self) -> WebSocketStream<MaybeTlsStream<TcpStream>> {
        self.stream
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    pub(crate) async fn send_json(&mut self, value: &Value) {
        self.send_text(&value.to_string()).await;
    }

    /// Sends a message. A closed socket is not an error, because the test reads the close frame later.
    pub(crate) async fn send(&mut self, message: Message) {
        let _ = timeout(LIMIT, self.stream.send(message)).await;
    }

    /// Receives the next message, which has to be text.
    pub(crate) async fn receive_text(&mut self) -> String {
        match self.next().await {
            Message::Text(text) => text.as_str().to_owned(),
            other => panic!("not a text message: {other:?}"),
        }
    }

    pub(crate) async fn receive_json(&mut self) -> Value {
        let text = self.receive_text().await;
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}"))
    }

    /// Receives the next message that is not a ping: the server can send a ping at any time.
    pub(crate) async fn next(&mut self) -> Message {
        let next = async {
            loop {
                let message = self.stream.next().await.expect("a message");
                match message.unwrap_or_else(|error| panic!("{error}")) {
                    Message::Ping(_) => {}
                    message => return message,
                }
            }
        };
        timeout(LIMIT, next).await.expect("a message in time")
    }

    /// Receives the next message, which has to be a close frame. Returns its code and its reason.
    pub(crate) async fn close_frame(&mut self) -> (u16, String) {
        match self.next().await {
            Message::Close(Some(frame)) => (frame.code.into(), frame.reason.as_str().to_owned()),
            other => panic!("not a close frame with a code: {other:?}"),
        }
    }

    /// Receives the next message, which has to be a close frame. Returns its code.
    pub(crate) async fn close_code(&mut self) -> u16 {
        self.close_frame().await.0
    }

    /// Closes the socket, and waits until the server has closed it, too.
    pub(crate) async fn close(mut self) {
        self.send(Message::Close(None)).await;
        let rest = async { while self.stream.next().await.is_some_and(|it| it.is_ok()) {} };
        timeout(LIMIT, rest).await.expect("it is closed in time");
    }

    /// Asserts that the handler echoes a message.
    pub(crate) async fn assert_echoes(&mut self) {
        let text = new_secret();
        self.send_text(&text).await;
        assert_eq!(self.receive_text().await, text);
    }
}
