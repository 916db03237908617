//! The small examples of `crates/portcullis/examples`, each as a process: a client without a
//! credential is refused, and a client with one is admitted.

use std::env;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Request, Response, StatusCode, header};
use portcullis_e2e::{Process, RedisServer, fetch};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn chat_delivers_lines_with_their_author() {
    let example = Example::start("chat", &[]);
    assert_eq!(example.get("/").await.status(), StatusCode::OK);
    assert_eq!(example.refused("/ws", &[]).await, StatusCode::UNAUTHORIZED);

    let alice = format!("chat.v2, {}", entry("s3cret"));
    let mut alice = example
        .socket("/ws", &[("sec-websocket-protocol", &alice)])
        .await;
    let mut bob = example
        .socket("/ws", &[("authorization", "Bearer hunter2")])
        .await;
    // A room delivers to sockets that have joined: wait until both have.
    bob.send("hello?").await;
    while bob.text().await != "bob: hello?" {}
    alice.send("hi").await;
    while alice.text().await != "alice: hi" {}
    assert_eq!(bob.text().await, "alice: hi");
}

#[tokio::test]
async fn jwt_closes_a_socket_with_its_token() {
    let example = Example::start("jwt", &["3"]);
    assert_eq!(example.refused("/ws", &[]).await, StatusCode::UNAUTHORIZED);

    let token = example.get("/token").await.into_body();
    let bearer = format!("Bearer {token}");
    let mut socket = example.socket("/ws", &[("authorization", &bearer)]).await;
    assert_eq!(socket.text().await, "Hello, alice of tenant 7!");
    assert_eq!(socket.close_code().await, 3000);
}

#[tokio::test]
async fn existing_login_closes_sockets_at_logout() {
    let example = Example::start("existing_login", &[]);
    let origin = example.base.as_str();
    let refused = example.refused("/ws", &[("origin", origin)]).await;
    assert_eq!(refused, StatusCode::UNAUTHORIZED);

    let login = example.post("/login", &[], "alice").await;
    assert_eq!(login.status(), StatusCode::OK);
    let cookie = cookie_of(&login);
    let with_cookie = [("origin", origin), ("cookie", &cookie)];
    let mut socket = example.socket("/ws", &with_cookie).await;
    assert_eq!(socket.text().await, "Hello, alice!");

    let foreign = [("origin", "https://evil.example"), ("cookie", &cookie)];
    let refused = example.refused("/ws", &foreign).await;
    assert_eq!(refused, StatusCode::FORBIDDEN);

    let logout = example.post("/logout", &with_cookie, "").await;
    assert_eq!(logout.status(), StatusCode::OK);
    assert_eq!(socket.close_code().await, 3003);
    let refused = example.refused("/ws", &with_cookie).await;
    assert_eq!(refused, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn link_login_sets_a_cookie_that_opens_a_socket() {
    let example = Example::start("link_login", &[]);
    let origin = example.base.as_str();
    let refused = example.refused("/ws", &[("origin", origin)]).await;
    assert_eq!(refused, StatusCode::UNAUTHORIZED);

    let navigation = [
        ("accept", "text/html"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
        ("sec-fetch-site", "none"),
    ];
    let link = example.send("GET", "/?token=s3cret", &navigation, "").await;
    assert_eq!(link.status(), StatusCode::SEE_OTHER);
    assert_eq!(link.headers()[header::LOCATION], "/");

    let cookie = cookie_of(&link);
    let page = example.send("GET", "/", &[("cookie", &cookie)], "").await;
    assert!(page.body().contains("Hello, alice!"), "{}", page.body());
    let with_cookie = [("origin", origin), ("cookie", &cookie)];
    let mut socket = example.socket("/ws", &with_cookie).await;
    assert_eq!(socket.text().await, "Hello, alice!");

    let logout = example.post("/logout", &with_cookie, "").await;
    assert!(logout.headers().contains_key(header::SET_COOKIE));
}

#[tokio::test]
async fn tickets_open_one_socket_each() {
    let example = Example::start("tickets", &[]);
    assert_eq!(example.refused("/ws", &[]).await, StatusCode::UNAUTHORIZED);
    let refused = example.post("/ticket", &[], "").await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);

    let path = format!("/ws?ticket={}", example.ticket().await);
    let mut socket = example.socket(&path, &[]).await;
    assert_eq!(socket.text().await, "Hello, alice of tenant 7!");
    assert_eq!(example.refused(&path, &[]).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn two_machines_share_tickets_and_revocations() {
    let redis = RedisServer::start();
    let [first, second] = [(); 2].map(|()| Example::start("two_machines", &[&redis.url()]));
    assert_eq!(second.refused("/ws", &[]).await, StatusCode::UNAUTHORIZED);

    let path = format!("/ws?ticket={}", first.ticket().await);
    let mut socket = second.socket(&path, &[]).await;
    assert_eq!(socket.text().await, "Hello, alice!");
    assert_eq!(first.refused(&path, &[]).await, StatusCode::UNAUTHORIZED);

    let logout = first.post("/logout", &[BEARER], "").await;
    assert_eq!(logout.status(), StatusCode::NO_CONTENT);
    assert_eq!(socket.close_code().await, 3003);
    let mut socket = second.socket("/ws", &[BEARER]).await;
    assert_eq!(socket.text().await, "Hello, alice!");
}

#[tokio::test]
async fn hyper_service_echoes() {
    let example = Example::start("hyper_service", &[]);
    assert_eq!(example.get("/").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(example.refused("/", &[]).await, StatusCode::UNAUTHORIZED);

    let mut socket = example.socket("/", &[BEARER]).await;
    socket.send("hello").await;
    assert_eq!(socket.text().await, "hello");
}

#[tokio::test]
async fn graphql_delivers_a_subscription() {
    const PROTOCOL: (&str, &str) = ("sec-websocket-protocol", "graphql-transport-ws");

    let example = Example::start("graphql", &[]);
    let init = |token: &str| json!({ "type": "connection_init", "payload": { "token": token } });
    let mut refused = example.socket("/graphql", &[PROTOCOL]).await;
    refused.send(&init("wrong").to_string()).await;
    assert_eq!(refused.close_code().await, 4401);

    let mut socket = example.socket("/graphql", &[PROTOCOL]).await;
    socket.send(&init("s3cret").to_string()).await;
    assert_eq!(socket.json().await["type"], "connection_ack");
    let payload = json!({ "query": "subscription { countdown(from: 1) }" });
    let subscribe = json!({ "id": "1", "type": "subscribe", "payload": payload });
    socket.send(&subscribe.to_string()).await;
    let next = socket.json().await;
    assert_eq!(next["payload"]["data"]["countdown"], "alice: 1", "{next}");
    assert_eq!(socket.json().await["type"], "complete");
}

#[tokio::test]
async fn your_own_dialect_authenticates_in_a_message() {
    let example = Example::start("your_own_dialect", &[]);
    let mut refused = example.socket("/ws", &[]).await;
    refused.send("hello").await;
    assert_eq!(refused.close_code().await, 3000);

    let mut socket = example.socket("/ws", &[]).await;
    socket.send("AUTH wrong").await;
    assert_eq!(socket.text().await, "ERR invalid credential");
    socket.send("AUTH s3cret").await;
    let reply = socket.text().await;
    assert!(reply.starts_with("OK "), "{reply}");
    socket.send("hello").await;
    assert_eq!(socket.text().await, "alice: hello");
}

const BEARER: (&str, &str) = ("authorization", "Bearer s3cret");

/// The subprotocol with `token`, as the default profile expects it.
fn entry(token: &str) -> String {
    format!("v1.bearer.{}", URL_SAFE_NO_PAD.encode(token))
}

/// The first cookie of a response, as a browser sends it back.
fn cookie_of(response: &Response<String>) -> String {
    let line = response.headers()[header::SET_COOKIE]
        .to_str()
        .expect("a cookie is ASCII");
    let pair = line.split(';').next().unwrap_or_default();
    pair.to_owned()
}

/// One running example.
struct Example {
    /// Its address, without a slash at the end.
    base: String,
    _process: Process,
}

impl Example {
    /// Starts an example on a free port.
    fn start(name: &str, arguments: &[&str]) -> Self {
        let test = env::current_exe().expect("a running test has a path");
        let profile = test
            .ancestors()
            .nth(2)
            .expect("a test binary lies two folders deep");
        let binary = profile.join("examples").join(name);
        assert!(
            binary.exists(),
            "{} is missing: `tests/run e2e` builds it",
            binary.display()
        );
        let process = Process::start(Command::new(binary).arg("127.0.0.1:0").args(arguments));
        let base = process.wait_for_line(LIMIT, |line| {
            let address = line.strip_prefix("http://127.0.0.1:")?;
            let port = address.split('/').next()?;
            Some(format!("http://127.0.0.1:{port}"))
        });
        Self {
            base,
            _process: process,
        }
    }

    async fn get(&self, path: &str) -> Response<String> {
        self.send("GET", path, &[], "").await
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Response<String> {
        self.send("POST", path, headers, body).await
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response<String> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        fetch(request.body(body.to_owned()).expect("a request")).await
    }

    /// A ticket of the user of [`BEARER`].
    async fn ticket(&self) -> String {
        let minted = self.post("/ticket", &[BEARER], "").await;
        assert_eq!(minted.status(), StatusCode::OK);
        let minted: Value = serde_json::from_str(minted.body()).expect("JSON");
        minted["ticket"].as_str().expect("a ticket").to_owned()
    }

    /// Opens a socket.
    async fn socket(&self, path: &str, headers: &[(&str, &str)]) -> Socket {
        match self.connect(path, headers).await {
            Ok(socket) => socket,
            Err(error) => panic!("{path} is refused: {error}"),
        }
    }

    /// The status with which a socket is refused.
    async fn refused(&self, path: &str, headers: &[(&str, &str)]) -> StatusCode {
        match self.connect(path, headers).await {
            Err(Error::Http(response)) => response.status(),
            Err(error) => panic!("{path} fails: {error}"),
            Ok(_) => panic!("{path} is admitted"),
        }
    }

    async fn connect(&self, path: &str, headers: &[(&str, &str)]) -> Result<Socket, Error> {
        let address = format!("{}{path}", self.base.replacen("http", "ws", 1));
        let mut request = address.into_client_request()?;
        for &(name, value) in headers {
            let name = header::HeaderName::try_from(name).expect("a header name");
            let value = header::HeaderValue::try_from(value).expect("a header value");
            request.headers_mut().insert(name, value);
        }
        let (socket, _) = timeout(LIMIT, connect_async(request))
            .await
            .expect("the example answers in time")?;
        Ok(Socket(socket))
    }
}

/// The client's side of a socket.
struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.expect("open");
    }

    /// The next message.
    async fn text(&mut self) -> String {
        match self.next().await {
            Message::Text(text) => text.as_str().to_owned(),
            other => panic!("expected a text, got {other:?}"),
        }
    }

    async fn json(&mut self) -> Value {
        serde_json::from_str(&self.text().await).expect("JSON")
    }

    /// The code that the socket is closed with.
    async fn close_code(&mut self) -> u16 {
        match self.next().await {
            Message::Close(Some(frame)) => frame.code.into(),
            other => panic!("expected a close frame, got {other:?}"),
        }
    }

    async fn next(&mut self) -> Message {
        let next = timeout(LIMIT, self.0.next()).await.expect("in time");
        next.expect("not the end").expect("a message")
    }
}
