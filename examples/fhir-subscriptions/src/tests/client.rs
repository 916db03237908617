//! Starts a server, and sends requests and messages to it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::app::{self, App};
use crate::options::Options;

pub(super) const ALICE: &str = "token-of-alice-for-tests";
pub(super) const BOB: &str = "token-of-bob-for-tests";

/// A running server. Dropping it stops the server.
pub(super) struct Server {
    pub(super) app: Arc<App>,
    client: Client<HttpConnector, Full<Bytes>>,
    task: JoinHandle<()>,
}

/// The response to a request, with its body as JSON.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Server {
    pub(super) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a server with additional command-line arguments.
    pub(super) async fn start_with(arguments: &[&str]) -> Self {
        let alice = format!("alice={ALICE}:fhircast/*.read,fhircast/*.write");
        let bob = format!("bob={BOB}:fhircast/Patient-open.read");
        let command = ["fhir-subscriptions", "--user", &alice, "--user", &bob];
        let options = Options::parse_from([&command, arguments].concat());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let app = App::new(&options, listener.local_addr().unwrap());
        let router = app::router(&app, &options).unwrap();
        Self {
            app,
            client: Client::builder(TokioExecutor::new()).build_http(),
            task: tokio::spawn(async { axum::serve(listener, router).await.unwrap() }),
        }
    }

    /// Sends a request. `token` and `body` may be empty.
    pub(super) async fn send(
        &self,
        token: &str,
        method: Method,
        path: &str,
        content_type: &str,
        body: String,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.app.authority));
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let request = request.body(Full::from(body)).unwrap();
        let response = self.client.request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        }
    }

    /// Sends a `GET` below `/fhir`.
    pub(super) async fn get(&self, token: &str, path: &str) -> Answer {
        let path = format!("/fhir/{path}");
        self.send(token, Method::GET, &path, "", String::new())
            .await
    }

    /// Sends a `POST` below `/fhir`. The body is empty if `resource` is null.
    pub(super) async fn post(&self, token: &str, path: &str, resource: &Value) -> Answer {
        let path = format!("/fhir/{path}");
        let body = match resource {
            Value::Null => String::new(),
            resource => resource.to_string(),
        };
        self.send(token, Method::POST, &path, "application/fhir+json", body)
            .await
    }

    /// Creates a subscription with additional fields, and returns its id.
    pub(super) async fn subscribe(&self, token: &str, fields: Value) -> String {
        let mut resource = subscription();
        let fields = fields.as_object().unwrap().clone();
        resource.as_object_mut().unwrap().extend(fields);
        let answer = self.post(token, "Subscription", &resource).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.body["id"].as_str().unwrap().to_owned()
    }

    /// Creates an encounter, which is an event of the topic `encounter-start`.
    pub(super) async fn create_encounter(&self, patient: &str) -> Value {
        let answer = self.post(BOB, "Encounter", &encounter(patient)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.body
    }

    /// Requests a binding token for one subscription.
    pub(super) async fn binding_token(&self, user: &str, id: &str) -> String {
        let path = format!("Subscription/{id}/$get-ws-binding-token");
        let answer = self.post(user, &path, &Value::Null).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        parameter(&answer.body, "token")[0].to_owned()
    }

    /// Opens a socket.
    pub(super) async fn open(&self, url: &str) -> Socket {
        let (stream, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        Socket { stream }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns a subscription with the required fields.
pub(super) fn subscription() -> Value {
    json!({
        "resourceType": "Subscription",
        "status": "requested",
        "topic": "http://example.org/SubscriptionTopic/encounter-start",
        "channelType": { "code": "websocket" },
    })
}

/// Returns an encounter that is in progress.
pub(super) fn encounter(patient: &str) -> Value {
    json!({
        "resourceType": "Encounter",
        "status": "in-progress",
        "subject": { "reference": patient },
    })
}

/// Returns the values of a parameter of a `Parameters` resource.
pub(super) fn parameter<'a>(parameters: &'a Value, name: &str) -> Vec<&'a str> {
    let all = parameters["parameter"].as_array().unwrap().iter();
    let named = all.filter(|parameter| parameter["name"] == name);
    named
        .map(|parameter| {
            let mut fields = parameter.as_object().unwrap().iter();
            let value = fields.find(|(key, _)| key.starts_with("value")).unwrap();
            value.1.as_str().unwrap()
        })
        .collect()
}

/// The client of a WebSocket.
pub(super) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    pub(super) async fn send(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    /// Receives a message as JSON.
    pub(super) async fn receive(&mut self) -> Value {
        match self.next().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("expected a text message: {other:?}"),
        }
    }

    /// Receives a notification, and returns its `SubscriptionStatus`.
    pub(super) async fn status(&mut self) -> Value {
        let bundle = self.receive().await;
        assert_eq!(bundle["type"], "subscription-notification", "{bundle}");
        bundle["entry"][0]["resource"].clone()
    }

    /// Receives a close frame, and returns its code. Panics if another message precedes it.
    pub(super) async fn close_code(&mut self) -> u16 {
        match self.next().await {
            Message::Close(Some(frame)) => frame.code.into(),
            other => panic!("expected a close frame: {other:?}"),
        }
    }

    /// Skips messages up to the close frame, and returns its code.
    pub(super) async fn skip_to_close_code(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.next().await {
                return frame.expect("a close frame with a code").code.into();
            }
        }
    }

    async fn next(&mut self) -> Message {
        loop {
            let next = timeout(Duration::from_secs(30), self.stream.next()).await;
            match next.expect("timed out").unwrap().unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }
}
