//! Two kernel servers with one Redis, and clients for them.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Response, StatusCode};
use portcullis_e2e::{RedisServer, Server, fetch, new_secret};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

pub(crate) const REVOKED: u16 = 3003;

pub(crate) const EVENTS: &str = "api/events/subscribe";

/// The time limit of events without a documented time limit.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Two servers with one token and one Redis.
pub(crate) struct Pair {
    pub(crate) a: Server,
    pub(crate) b: Server,
    pub(crate) redis: RedisServer,
}

impl Pair {
    pub(crate) fn start() -> Self {
        Self::start_with([&[], &[]])
    }

    /// Starts both servers, each with more arguments.
    pub(crate) fn start_with(arguments: [&[&str]; 2]) -> Self {
        let redis = RedisServer::start();
        let token = new_secret();
        let [a, b] = arguments.map(|arguments| with_redis(&token, &redis, arguments));
        Self { a, b, redis }
    }

    /// Starts a third server.
    pub(crate) fn start_another(&self) -> Server {
        with_redis(self.a.token(), &self.redis, &[])
    }

    /// Mints a ticket at the first server.
    pub(crate) async fn ticket(&self, token: &str, path: &str) -> String {
        let body = json!({ "path": format!("/{path}") }).to_string();
        let answer = send(&self.a, token, "POST", "api/portcullis/ticket", &body).await;
        let answer = json_of(&answer);
        let ticket = answer["ticket"].as_str().expect("a ticket").to_owned();
        self.a.keep_secret(&ticket);
        self.b.keep_secret(&ticket);
        ticket
    }

    /// Opens a socket of the owner at the second server.
    pub(crate) async fn open_as_owner(&self) -> Socket {
        let url = format!("{EVENTS}?token={}", self.b.token());
        open(&self.b, &url).await.expect("the token is valid")
    }
}

fn with_redis(token: &str, redis: &RedisServer, arguments: &[&str]) -> Server {
    let mut server = Server::kernels().with_token(token);
    for argument in ["--redis", &redis.url()].iter().chain(arguments) {
        server = server.argument(argument);
    }
    server.start()
}

/// A user with a shared link.
pub(crate) struct Guest {
    pub(crate) id: String,
    pub(crate) token: String,
}

impl Guest {
    /// Shares a link as the owner of the server.
    pub(crate) async fn of(server: &Server) -> Self {
        let link = request(server, "POST", "api/share", "").await;
        let text = |name: &str| link[name].as_str().expect("a text").to_owned();
        let (id, url) = (text("id"), text("url"));
        let token = url.split_once("token=").expect("a link").1.to_owned();
        server.keep_secret(&token);
        Self { id, token }
    }
}

/// Sends a request as the owner, and returns the body of the response, which has to be a 200.
pub(crate) async fn request(server: &Server, method: &str, path: &str, body: &str) -> Value {
    json_of(&send(server, server.token(), method, path, body).await)
}

/// Sends a request with a token.
pub(crate) async fn send(
    server: &Server,
    token: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Response<String> {
    let url = format!("{}{path}", server.base());
    fetch(portcullis_e2e::request(method, &url, Some(token), body)).await
}

/// Returns the open sessions, the oldest first.
pub(crate) async fn sessions(server: &Server) -> Vec<Value> {
    let answer = request(server, "GET", "api/portcullis/sessions", "").await;
    answer["sessions"].as_array().expect("a list").clone()
}

fn json_of(response: &Response<String>) -> Value {
    assert_eq!(response.status(), StatusCode::OK, "{response:?}");
    serde_json::from_str(response.body()).expect("JSON")
}

/// Opens a socket, or returns the status of the refusal.
pub(crate) async fn open(server: &Server, path: &str) -> Result<Socket, StatusCode> {
    let url = format!("{}{path}", server.websocket_base());
    let connected = timeout(LIMIT, connect_async(url)).await;
    match connected.expect("a response in time") {
        Ok((socket, _)) => Ok(Socket::new(socket)),
        Err(Error::Http(response)) => {
            Err(StatusCode::from_u16(response.status().as_u16()).expect("a status"))
        }
        Err(error) => panic!("{error}"),
    }
}

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An open socket. A task reads it all the time, so that it answers pings even if the test is busy.
pub(crate) struct Socket {
    sink: SplitSink<Stream, Message>,
    messages: UnboundedReceiver<Result<Message, Error>>,
    reader: JoinHandle<()>,
}

impl Socket {
    fn new(stream: Stream) -> Self {
        let (sink, stream) = stream.split();
        let (sender, messages) = unbounded_channel();
        Self {
            sink,
            messages,
            reader: tokio::spawn(read(stream, sender)),
        }
    }

    /// Runs a cell and returns its output. The older format of Jupyter needs no subprotocol.
    pub(crate) async fn run(&mut self, code: &str) -> String {
        let request = json!({
            "header": {
                "msg_id": new_secret(), "msg_type": "execute_request", "username": "",
                "session": "live", "date": "2026-01-01T00:00:00Z", "version": "5.4",
            },
            "parent_header": {}, "metadata": {}, "channel": "shell", "buffers": [],
            "content": { "code": code, "silent": false },
        });
        let id = &request["header"]["msg_id"];
        self.send(Message::text(request.to_string())).await;
        let mut text = String::new();
        loop {
            let Message::Text(message) = self.next().await else {
                continue;
            };
            let message: Value = serde_json::from_str(&message).expect("JSON");
            if message["parent_header"]["msg_id"] != *id {
                continue;
            }
            let content = &message["content"];
            match message["header"]["msg_type"].as_str() {
                Some("stream") => text += content["text"].as_str().expect("a text"),
                Some("status") if content["execution_state"] == "idle" => return text,
                _ => {}
            }
        }
    }

    /// Skips everything until the server closes the socket, and returns the close code.
    pub(crate) async fn close_code(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.next().await {
                return frame.expect("it has a code").code.into();
            }
        }
    }

    /// Asserts that the server answers a ping.
    pub(crate) async fn assert_is_open(&mut self) {
        let ping = Message::Ping(new_secret().into());
        let pong = Message::Pong(ping.clone().into_data());
        self.send(ping).await;
        loop {
            match self.next().await {
                Message::Close(frame) => panic!("closed: {frame:?}"),
                message if message == pong => return,
                _ => {}
            }
        }
    }

    async fn send(&mut self, message: Message) {
        self.sink.send(message).await.expect("the socket is open");
    }

    async fn next(&mut self) -> Message {
        let message = timeout(LIMIT, self.messages.recv()).await;
        let message = message.expect("in time").expect("the socket is open");
        message.unwrap_or_else(|error| panic!("{error}"))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Reads a socket, which also answers pings and the close frame.
async fn read(mut stream: SplitStream<Stream>, sender: UnboundedSender<Result<Message, Error>>) {
    while let Some(message) = stream.next().await {
        if sender.send(message).is_err() {
            return;
        }
    }
}
