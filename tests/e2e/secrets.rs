//! No secret reaches the log of a server, a response or a handler. These tests send secrets in every
//! part of a request. The drop of a server searches its output for them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use futures_util::StreamExt as _;
use http::{Request, Response, header};
use portcullis_e2e::{RawConnection, Server, fetch, leaks, new_secret, request};
use serde_json::Value;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::{kernels, link};

#[tokio::test]
async fn the_kernel_server_never_reveals_a_secret() {
    for server in [Server::kernels(), Server::kernels().compat()] {
        let server = server.start();
        let kernel = kernels::start(server.base(), server.token()).await;
        let paths = [
            "",
            "api/me",
            "api/kernels",
            "nowhere",
            &kernels::channels(&kernel),
        ];
        for path in paths {
            for upgrade in [false, true] {
                for secret in [server.token().to_owned(), server.unknown_secret()] {
                    for request in requests(&server, path, upgrade, &secret) {
                        let what = format!("{} {:?}", request.uri(), request.headers());
                        let response = fetch(request).await;
                        assert_no_leak(&response, std::slice::from_ref(&secret), &what);
                    }
                }
            }
        }
        assert!(
            server.output().contains("TRACE"),
            "the server does not log at TRACE: build it with tests/run"
        );
        assert_eq!(server.leaks(), [""; 0]);
    }
}

/// The operator who sets the token knows it, and a log has more readers than a command line.
#[tokio::test]
async fn a_token_from_the_command_line_is_not_printed() {
    let token = new_secret();
    let server = Server::kernels().with_token(&token).start();
    let request = request(
        "GET",
        &format!("{}api/kernels", server.base()),
        Some(&token),
        "",
    );
    assert_eq!(fetch(request).await.status(), 200, "the token is valid");
    assert!(
        leaks(server.link(), &[token]).is_empty(),
        "{}",
        server.link()
    );
}

/// The cookie is a secret, too: it logs its owner in.
#[tokio::test]
async fn the_cookie_of_a_link_is_not_printed() {
    let server = Server::kernels().start();
    let cookies = link::cookies(&server).await;
    for (_, value) in &cookies {
        assert!(
            leaks(value, &[server.token().to_owned()]).is_empty(),
            "the token is sealed"
        );
        server.keep_secret(value);
    }
    let pairs: Vec<_> = cookies
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let request = |origin: &str| {
        Request::get(format!("{}api/me", server.base()))
            .header(header::COOKIE, pairs.join("; "))
            .header(header::ORIGIN, origin)
            .body(String::new())
            .unwrap()
    };
    let own = server.base().trim_end_matches('/');
    assert_eq!(
        fetch(request(own)).await.status(),
        200,
        "the cookie is valid"
    );
    fetch(request("http://evil.example")).await;
}

/// Bytes that are not valid HTTP do not reach the layers.
#[tokio::test]
async fn malformed_requests_are_not_printed() {
    let server = Server::kernels().start();
    let token = server.token();
    for request in [
        format!("GET /?token={token} HTTP/7.3\r\n\r\n"),
        format!("GET /?token={token} \r\n\r\n"),
        format!("GET /?token={token}\u{1} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nAuthorization : token {token}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: token {token}\u{1}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: {token}\r\n\r\n"),
    ] {
        let mut connection = RawConnection::open(server.authority()).await;
        connection.send(request.as_bytes()).await;
        let answer = connection.rest().await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(leaks(&answer, &[token.to_owned()]).is_empty(), "{answer}");
    }
    assert_eq!(server.leaks(), [""; 0]);
}

/// The first message of each route shows what its handler sees.
#[tokio::test]
async fn handlers_see_the_identity_and_no_secret() {
    let server = Server::transports().start();
    let token = server.token();
    let basic = STANDARD.encode(format!("alice:{token}"));
    let encoded = URL_SAFE_NO_PAD.encode(token);
    let protocols = |entries: &str| ("sec-websocket-protocol", entries.to_owned());
    let own = server.base().trim_end_matches('/').to_owned();
    let rows: [(&str, Vec<(&str, String)>); 10] = [
        (
            "ws/header",
            vec![("authorization", format!("Bearer {token}"))],
        ),
        ("ws/any", vec![("authorization", format!("Bearer {token}"))]),
        (
            "ws/basic",
            vec![("authorization", format!("Basic {basic}"))],
        ),
        (
            "ws/jupyter",
            vec![protocols(&format!("{MARKER}, {MARKER}.{token}, chat.v2"))],
        ),
        (
            "ws/kubernetes",
            vec![protocols(&format!(
                "base64url.bearer.authorization.k8s.io.{encoded}, chat.v2"
            ))],
        ),
        (
            "ws/phoenix",
            vec![protocols(&format!(
                "chat.v2, base64url.bearer.phx.{encoded}"
            ))],
        ),
        (&format!("ws/query?token={token}&x=1"), vec![]),
        (&format!("ws/any?token={token}"), vec![]),
        (
            "ws/cookie",
            vec![
                ("cookie", format!("a=b; token={token}")),
                ("origin", own.clone()),
            ],
        ),
        (
            "ws/any",
            vec![("cookie", format!("token={token}; c=d")), ("origin", own)],
        ),
    ];
    for (path, headers) in rows {
        let hello = hello(&server, path, &headers).await;
        assert_eq!(hello["subject"], "alice", "{path}");
        let text = hello.to_string();
        assert!(
            leaks(&text, &[token.to_owned()]).is_empty(),
            "{path}: {text}"
        );
        assert!(
            !text.contains(&basic) && !text.contains(&encoded),
            "{path}: {text}"
        );
    }
}

const MARKER: &str = "v1.token.websocket.jupyter.org";

// --- helpers -----------------------------------------------------------------------------------

/// Returns a request for each place in which a client, a browser or a proxy can put a secret.
fn requests(server: &Server, path: &str, upgrade: bool, secret: &str) -> Vec<Request<String>> {
    let url = format!("{}{path}", server.base());
    let basic = STANDARD.encode(format!("alice:{secret}"));
    let mut requests: Vec<_> = [
        format!("{url}?token={secret}"),
        format!("{url}?a=b&token={secret}&token={secret}"),
        format!("{url}?TOKEN={secret}"),
        format!("{url}?token=%ff{secret}"),
        format!("{url}?access_token={secret}"),
    ]
    .into_iter()
    .map(Request::get)
    .collect();
    for (name, value) in [
        ("authorization", format!("token {secret}")),
        ("authorization", format!("Bearer {secret}")),
        ("authorization", format!("Basic {basic}")),
        ("authorization", format!("Bearer {secret} {secret}")),
        ("authorization", format!("Digest {secret}")),
        ("authorization", secret.to_owned()),
        ("proxy-authorization", format!("Bearer {secret}")),
        (
            "sec-websocket-protocol",
            format!("{MARKER}, {MARKER}.{secret}"),
        ),
        ("sec-websocket-protocol", format!("{MARKER}.{secret}/(")),
        ("cookie", format!("session={secret}; {secret}")),
        ("referer", format!("{}?token={secret}", server.base())),
    ] {
        requests.push(Request::get(&url).header(name, value));
    }
    let own = server.base().trim_end_matches('/');
    let requests = requests.into_iter().map(|request| match upgrade {
        true => request
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("origin", own),
        false => request,
    });
    requests
        .map(|request| request.body(String::new()).expect("a request"))
        .collect()
}

fn assert_no_leak(response: &Response<String>, secrets: &[String], what: &str) {
    let text = format!("{:?}\n{}", response.headers(), response.body());
    assert!(
        leaks(&text, secrets).is_empty(),
        "the response to {what} contains a secret: {text}"
    );
    for value in response.headers().values() {
        let value = String::from_utf8_lossy(value.as_bytes());
        assert!(
            leaks(&value, secrets).is_empty(),
            "the response to {what} contains a secret: {value}"
        );
    }
}

/// Opens a socket of the transports server and returns its first message.
async fn hello(server: &Server, path: &str, headers: &[(&str, String)]) -> Value {
    let url = format!("{}{path}", server.websocket_base());
    let mut request = url.into_client_request().expect("an address");
    for (name, value) in headers {
        let name: header::HeaderName = name.parse().expect("a name");
        request
            .headers_mut()
            .insert(name, value.parse().expect("a value"));
    }
    let (mut socket, _) = match connect_async(request).await {
        Ok(connected) => connected,
        Err(tungstenite::Error::Http(response)) => panic!("{path}: {}", response.status()),
        Err(error) => panic!("{path}: {error}"),
    };
    match socket.next().await {
        Some(Ok(Message::Text(text))) => serde_json::from_str(&text).expect("JSON"),
        other => panic!("{path}: the first message is not text: {other:?}"),
    }
}
