//! A server to talk to, and clients that talk to it.

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

pub(super) const ALICE: &str = "alice-is-known-to-the-tests";
pub(super) const BOB: &str = "bob-is-known-to-the-tests";

/// A server of its own for each test, gone with its test.
pub(super) struct Server {
    pub(super) app: Arc<App>,
    client: Client<HttpConnector, Full<Bytes>>,
    serving: JoinHandle<()>,
}

/// What it answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Server {
    pub(super) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With more on the command line.
    pub(super) async fn with(arguments: &[&str]) -> Self {
        let alice = format!("alice={ALICE}:fhircast/*.read,fhircast/*.write");
        let bob = format!("bob={BOB}:fhircast/Patient-open.read");
        let users = ["fhir-subscriptions", "--user", &alice, "--user", &bob];
        let options = Options::parse_from([&users, arguments].concat());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let app = App::new(&options, listener.local_addr().unwrap());
        let service = app::service(&app, &options).unwrap();
        Self {
            app,
            client: Client::builder(TokioExecutor::new()).build_http(),
            serving: tokio::spawn(async { axum::serve(listener, service).await.unwrap() }),
        }
    }

    /// Sends anything.
    pub(super) async fn send(
        &self,
        token: &str,
        method: Method,
        path: &str,
        kind: &str,
        body: String,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.app.authority));
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, kind);
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

    pub(super) async fn get(&self, token: &str, path: &str) -> Answer {
        let path = format!("/fhir/{path}");
        self.send(token, Method::GET, &path, "", String::new())
            .await
    }

    pub(super) async fn post(&self, token: &str, path: &str, resource: &Value) -> Answer {
        let path = format!("/fhir/{path}");
        let body = match resource {
            Value::Null => String::new(),
            resource => resource.to_string(),
        };
        self.send(token, Method::POST, &path, "application/fhir+json", body)
            .await
    }

    /// Subscribes to what is asked for beside the least there must be; the name of it.
    pub(super) async fn subscribe(&self, token: &str, more: Value) -> String {
        let mut resource = subscription();
        let more = more.as_object().unwrap().clone();
        resource.as_object_mut().unwrap().extend(more);
        let answer = self.post(token, "Subscription", &resource).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.body["id"].as_str().unwrap().to_owned()
    }

    /// Lets something happen.
    pub(super) async fn admit(&self, patient: &str) -> Value {
        let answer = self.post(BOB, "Encounter", &encounter(patient)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.body
    }

    /// A token for one subscription.
    pub(super) async fn token(&self, user: &str, id: &str) -> String {
        let path = format!("Subscription/{id}/$get-ws-binding-token");
        let answer = self.post(user, &path, &Value::Null).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        parameter(&answer.body, "token")[0].to_owned()
    }

    /// Opens a socket at this address.
    pub(super) async fn open(&self, url: &str) -> Socket {
        let (stream, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        Socket { stream }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The least a subscription must have.
pub(super) fn subscription() -> Value {
    json!({
        "resourceType": "Subscription",
        "status": "requested",
        "topic": "http://example.org/SubscriptionTopic/encounter-start",
        "channelType": { "code": "websocket" },
    })
}

/// A patient who is there.
pub(super) fn encounter(patient: &str) -> Value {
    json!({
        "resourceType": "Encounter",
        "status": "in-progress",
        "subject": { "reference": patient },
    })
}

/// The values of a parameter.
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

/// A client's end of a socket.
pub(super) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    pub(super) async fn say(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    /// The next message, as JSON.
    pub(super) async fn hear(&mut self) -> Value {
        match self.next().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// The `SubscriptionStatus` of the next message.
    pub(super) async fn status(&mut self) -> Value {
        let bundle = self.hear().await;
        assert_eq!(bundle["type"], "subscription-notification", "{bundle}");
        bundle["entry"][0]["resource"].clone()
    }

    /// The code that the server closes with. Messages before it are a mistake.
    pub(super) async fn close_code(&mut self) -> u16 {
        match self.next().await {
            Message::Close(Some(frame)) => frame.code.into(),
            other => panic!("no close: {other:?}"),
        }
    }

    /// Reads to the end; with what code the server closed.
    pub(super) async fn last_words(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.next().await {
                return frame.expect("closed with a code").code.into();
            }
        }
    }

    async fn next(&mut self) -> Message {
        loop {
            let next = timeout(Duration::from_secs(30), self.stream.next()).await;
            match next.expect("something comes in time").unwrap().unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }
}
