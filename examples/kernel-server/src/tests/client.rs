//! A test server and its clients.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::ServiceExt;
use axum::extract::ws::Message as Frame;
use axum::http::{HeaderName, Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message as WsMessage};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::task::AbortOnDropHandle;

use crate::app::{self, App};
use crate::audit::AuditLog;
use crate::connections::Connections;
use crate::kernel::{Choice, KernelSpecs};
use crate::options::Options;
use crate::wire::{Channel, Format, KERNEL_PROTOCOL, Message};

/// The token of the owner.
const TOKEN: &str = "known-to-the-tests";

/// A server that stops when it is dropped.
pub(super) struct Server {
    pub(super) app: Arc<App>,
    address: String,
    client: Client<HttpConnector, Full<Bytes>>,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    /// Starts a server with only the embedded kernel.
    pub(super) async fn start() -> Self {
        Self::with(KernelSpecs::in_folders(Choice::Embedded, Vec::new())).await
    }

    /// Starts a server with only the embedded kernel and these options.
    pub(super) async fn start_with(options: &[&str]) -> Self {
        let specs = KernelSpecs::in_folders(Choice::Embedded, Vec::new());
        Self::with_options(specs, options).await
    }

    /// Starts a server with the embedded kernel and those in a data folder.
    pub(super) async fn start_with_kernels_in(folder: &Path) -> Self {
        let folders = vec![folder.to_owned()];
        Self::with(KernelSpecs::in_folders(Choice::Auto, folders)).await
    }

    async fn with(specs: KernelSpecs) -> Self {
        Self::with_options(specs, &[]).await
    }

    async fn with_options(specs: KernelSpecs, options: &[&str]) -> Self {
        let app = App::new(specs, Connections::new(None, AuditLog::default()).unwrap());
        let options = Options::parse_from([&["kernel-server"], options].concat());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = app::service(&app, &options, TOKEN, address).unwrap();
        type Request = axum::extract::Request;
        let service =
            ServiceExt::<Request>::into_make_service_with_connect_info::<SocketAddr>(service);
        let serve = async { axum::serve(listener, service).await.unwrap() };
        Self {
            app,
            address: address.to_string(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            _task: AbortOnDropHandle::new(tokio::spawn(serve)),
        }
    }

    /// Sends a request of the owner. Its body is JSON with the content type of text, as JupyterLab
    /// sends it.
    pub(super) async fn send(&self, method: Method, path: &str, body: &str) -> Response<Bytes> {
        self.send_as(TOKEN, method, path, body).await
    }

    /// Sends a request with this token.
    pub(super) async fn send_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: &str,
    ) -> Response<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header(header::CONTENT_TYPE, "text/plain;charset=UTF-8")
            .header(header::AUTHORIZATION, format!("token {token}"))
            .body(Full::from(body.to_owned()))
            .unwrap();
        let response = self.client.request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Response::from_parts(parts, body)
    }

    /// Sends a request of the owner and parses the response. An empty response is `null`.
    pub(super) async fn json(&self, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
        let response = self.send(method, path, body).await;
        let body = match response.body() {
            empty if empty.is_empty() => Value::Null,
            body => serde_json::from_slice(body).unwrap(),
        };
        (response.status(), body)
    }

    /// Starts a kernel and returns its path.
    pub(super) async fn start_kernel(&self, name: &str) -> String {
        let body = json!({ "name": name }).to_string();
        let (status, kernel) = self.json(Method::POST, "/api/kernels", &body).await;
        assert_eq!(status, StatusCode::CREATED);
        format!("/api/kernels/{}", kernel["id"].as_str().unwrap())
    }

    /// Opens a socket to the kernel at this path.
    pub(super) async fn connect(&self, kernel: &str, session: &str, format: Format) -> Socket {
        let url = format!(
            "ws://{}{kernel}/channels?session_id={session}&token={TOKEN}",
            self.address
        );
        let mut request = url.into_client_request().unwrap();
        if format == Format::V1 {
            let offer = KERNEL_PROTOCOL.parse().unwrap();
            request
                .headers_mut()
                .insert(header::SEC_WEBSOCKET_PROTOCOL, offer);
        }
        let (stream, _response) = tokio_tungstenite::connect_async(request).await.unwrap();
        Socket {
            stream,
            format,
            session: session.to_owned(),
        }
    }

    /// Starts a kernel and opens a socket to it.
    pub(super) async fn connect_to_new_kernel(&self, format: Format) -> (String, Socket) {
        let kernel = self.start_kernel("rhai").await;
        let socket = self.connect(&kernel, "a", format).await;
        (kernel, socket)
    }

    /// Opens a socket of the owner, or returns the status of the refusal.
    pub(super) async fn open(&self, path: &str) -> Result<Stream, StatusCode> {
        let separator = if path.contains('?') { '&' } else { '?' };
        self.open_with(&format!("{path}{separator}token={TOKEN}"), &[])
            .await
    }

    /// Opens a socket with these headers and without a token.
    pub(super) async fn open_with(
        &self,
        path: &str,
        headers: &[(HeaderName, &str)],
    ) -> Result<Stream, StatusCode> {
        let url = format!("ws://{}{path}", self.address);
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok((stream, _response)) => Ok(stream),
            Err(Error::Http(response)) => Err(response.status()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Sends an empty POST with these headers and without a token, and returns the status.
    pub(super) async fn post_with(&self, path: &str, headers: &[(HeaderName, &str)]) -> StatusCode {
        let url = format!("http://{}{path}", self.address);
        let mut request = Request::post(url).body(Full::default()).unwrap();
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(name.clone(), value.parse().unwrap());
        }
        self.client.request(request).await.unwrap().status()
    }

    /// Returns the host and port.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Opens the link and returns the `Cookie` header that a browser would send afterwards.
    pub(super) async fn login_cookie(&self) -> String {
        let request = Request::builder()
            .uri(format!("http://{}/?token={TOKEN}", self.address))
            .header(header::ACCEPT, "text/html")
            .body(Full::default())
            .unwrap();
        let response = self.client.request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }
}

pub(super) type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A client of one kernel.
pub(super) struct Socket {
    stream: Stream,
    format: Format,
    session: String,
}

/// The messages that answer a request.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) reply: Value,
    /// The types and contents of the messages on `iopub`.
    pub(super) output: Vec<(String, Value)>,
}

impl Outcome {
    pub(super) fn all(&self, msg_type: &str) -> Vec<&Value> {
        let of_type = self.output.iter().filter(|(other, _)| other == msg_type);
        of_type.map(|(_, content)| content).collect()
    }

    pub(super) fn one(&self, msg_type: &str) -> &Value {
        match self.all(msg_type)[..] {
            [content] => content,
            _ => panic!("expected one {msg_type} in {self:?}"),
        }
    }

    /// Returns the printed text.
    pub(super) fn printed(&self) -> String {
        let streams = self.all("stream").into_iter();
        streams
            .map(|content| content["text"].as_str().unwrap())
            .collect()
    }
}

impl Socket {
    /// Runs a cell and waits for its end.
    pub(super) async fn run(&mut self, code: &str) -> Outcome {
        let id = self.begin(code).await;
        self.outcome(&id).await
    }

    /// Sends a cell and returns the id of the request.
    pub(super) async fn begin(&mut self, code: &str) -> String {
        let cell = json!({ "code": code });
        self.send(Channel::Shell, "execute_request", cell).await
    }

    /// Waits for a message of this type.
    pub(super) async fn wait_for(&mut self, msg_type: &str) {
        while self.message().await.header().unwrap().msg_type != msg_type {}
    }

    /// Sends a request on `shell` and waits for its end.
    pub(super) async fn request(&mut self, msg_type: &str, content: Value) -> Outcome {
        let id = self.send(Channel::Shell, msg_type, content).await;
        self.outcome(&id).await
    }

    /// Waits for the reply to a request and for the status `idle` after it.
    pub(super) async fn outcome(&mut self, id: &str) -> Outcome {
        let mut outcome = Outcome::default();
        let (mut replied, mut idle) = (false, false);
        while !(replied && idle) {
            let message = self.message().await;
            let parent: Value = serde_json::from_slice(&message.parent_header).unwrap();
            if parent["msg_id"] != id {
                continue;
            }
            let content: Value = message.content().unwrap();
            match message.channel {
                Channel::Iopub => {
                    idle |= content["execution_state"] == "idle";
                    let msg_type = message.header().unwrap().msg_type.into_owned();
                    outcome.output.push((msg_type, content));
                }
                _ => {
                    outcome.reply = content;
                    replied = true;
                }
            }
        }
        outcome
    }

    /// Sends a request and returns its id.
    pub(super) async fn send(
        &mut self,
        channel: Channel,
        msg_type: &str,
        content: Value,
    ) -> String {
        let message = Message::new(channel, msg_type, &self.session, None, &content);
        let id = message.header().unwrap().msg_id.into_owned();
        let frame = match self.format.encode(&message).unwrap() {
            Frame::Text(text) => WsMessage::text(text.as_str()),
            Frame::Binary(bytes) => WsMessage::Binary(bytes),
            _ => unreachable!("messages are text or binary"),
        };
        self.send_frame(frame).await;
        id
    }

    pub(super) async fn send_frame(&mut self, frame: WsMessage) {
        self.stream.send(frame).await.unwrap();
    }

    /// Waits until the kernel reports this state outside of a request.
    pub(super) async fn wait_for_state(&mut self, state: &str) {
        loop {
            let message = self.message().await;
            let content: Value = message.content().unwrap();
            if message.parent_header == "{}" && content["execution_state"] == state {
                return;
            }
        }
    }

    /// Receives the next message.
    pub(super) async fn message(&mut self) -> Message {
        loop {
            let frame = match self.stream.next().await.unwrap().unwrap() {
                WsMessage::Text(text) => Frame::text(text.as_str()),
                WsMessage::Binary(bytes) => Frame::Binary(bytes),
                WsMessage::Ping(_) => continue,
                other => panic!("expected a message: {other:?}"),
            };
            return self.format.decode(frame).unwrap().unwrap();
        }
    }

    /// Reads to the end and returns the close code of the server.
    pub(super) async fn close_code(self) -> CloseCode {
        close_code(self.stream).await
    }
}

/// Reads a stream to its end and returns the close code of the server.
pub(super) async fn close_code(mut stream: Stream) -> CloseCode {
    loop {
        match stream.next().await.unwrap().unwrap() {
            WsMessage::Close(Some(CloseFrame { code, .. })) => return code,
            WsMessage::Close(None) => panic!("closed without a code"),
            _ => {}
        }
    }
}
