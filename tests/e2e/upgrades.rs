//! A refused upgrade leaves nothing that could be used, seen from the bytes on the wire.

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use http::{Method, Request, StatusCode, header};
use portcullis_e2e::{RawConnection, Server, get};
use tokio::net::TcpStream;

use crate::kernels;

const MARKER: &str = "v1.token.websocket.jupyter.org";

/// A masked ping without a payload, as a client sends it, and the answer.
const PING: &[u8] = &[0x89, 0x80, 1, 2, 3, 4];
const PONG: &[u8] = &[0x8a, 0x00];

/// One attempt to open a socket: what is added to the address and to the headers.
struct Attempt {
    name: &'static str,
    query: String,
    headers: Vec<(&'static str, String)>,
}

impl Attempt {
    fn new(name: &'static str, headers: &[(&'static str, &str)]) -> Self {
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        Self {
            name,
            query: String::new(),
            headers,
        }
    }

    fn query(name: &'static str, query: &str) -> Self {
        Self {
            query: query.to_owned(),
            ..Self::new(name, &[])
        }
    }
}

#[tokio::test]
async fn a_refused_http1_upgrade_is_answered_once_and_closed() {
    for server in [Server::kernels(), Server::kernels().compat()] {
        let server = server.start();
        let kernel = kernels::start(server.base(), server.token()).await;
        for attempt in refused(&server).await {
            for path in [
                kernels::channels(&kernel),
                "api/events/subscribe".to_owned(),
            ] {
                assert_refused_once(&server, &path, &attempt).await;
            }
        }
    }
    let server = Server::transports().start();
    for attempt in refused_anywhere(&server) {
        assert_refused_once(&server, "ws/any", &attempt).await;
    }
}

#[tokio::test]
async fn a_refused_http2_upgrade_ends_its_stream_and_no_other() {
    for server in [Server::kernels(), Server::kernels().compat()] {
        let server = server.start();
        let kernel = kernels::start(server.base(), server.token()).await;
        for attempt in refused(&server).await {
            assert_stream_refused(&server, &kernels::channels(&kernel), &attempt).await;
        }
    }
    let server = Server::transports().start();
    for attempt in refused_anywhere(&server) {
        assert_stream_refused(&server, "ws/any", &attempt).await;
    }
}

/// The control of both tests above: the same bytes open a usable socket with a good credential.
#[tokio::test]
async fn an_admitted_upgrade_opens_a_usable_socket() {
    let server = Server::kernels().start();
    let good = admitted(&server);
    let mut connection = RawConnection::open(server.authority()).await;
    let upgrade = upgrade(&server, "api/events/subscribe", &good);
    connection.send(&[upgrade.as_bytes(), PING].concat()).await;
    let head = connection.until(b"\r\n\r\n").await;
    assert!(
        head.starts_with(b"HTTP/1.1 101 "),
        "{}",
        String::from_utf8_lossy(&head)
    );
    connection.until(PONG).await;

    let mut sender = http2(&server).await;
    let (response, mut stream) = sender
        .send_request(connect(&server, "api/events/subscribe", &good), false)
        .unwrap();
    let response = response.await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    stream
        .send_data(Bytes::from_static(PING), false)
        .expect("the stream is open");
    let mut received = Vec::new();
    let mut body = response.into_body();
    while !received.ends_with(PONG) {
        let data = body
            .data()
            .await
            .expect("the stream stays open")
            .expect("data");
        received.extend_from_slice(&data);
    }
}

/// The other control: a request that waits behind another one is served, unless an upgrade was
/// refused before it.
#[tokio::test]
async fn pipelined_requests_are_served_as_such() {
    let server = Server::kernels().start();
    let mut connection = RawConnection::open(server.authority()).await;
    let first = format!("GET /api HTTP/1.1\r\nHost: {}\r\n\r\n", server.authority());
    let last = first.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    connection.send(format!("{first}{last}").as_bytes()).await;
    assert_eq!(statuses(&connection.rest().await), ["200", "200"]);
}

// --- what is refused ---------------------------------------------------------------------------

/// By the kernel server, in both profiles.
async fn refused(server: &Server) -> Vec<Attempt> {
    let wrong = server.foreign_secret();
    let cookie = session_cookie(server).await;
    let mut attempts = refused_anywhere(server);
    attempts.extend([
        Attempt::query("a wrong token in the address", &format!("?token={wrong}")),
        Attempt::query("no UTF-8 in the address", "?token=%ff"),
        Attempt::new("the marker alone", &[("sec-websocket-protocol", MARKER)]),
        Attempt::new(
            "a wrong token in the subprotocol",
            &[(
                "sec-websocket-protocol",
                &format!("{MARKER}, {MARKER}.{wrong}"),
            )],
        ),
        Attempt::new(
            "a subprotocol that cannot be decoded",
            &[("sec-websocket-protocol", &format!("{MARKER}, {MARKER}.%zz"))],
        ),
        Attempt::new(
            "the cookie from a foreign page",
            &[("cookie", &cookie), ("origin", "http://evil.example")],
        ),
        Attempt::new(
            "the cookie from another port",
            &[("cookie", &cookie), ("origin", "http://127.0.0.1:1")],
        ),
        Attempt::new(
            "the cookie from nowhere",
            &[("cookie", &cookie), ("origin", "null")],
        ),
    ]);
    attempts
}

/// By every server, whatever carriers it takes.
fn refused_anywhere(server: &Server) -> Vec<Attempt> {
    let (good, wrong) = (server.token(), server.foreign_secret());
    vec![
        Attempt::new("nothing", &[]),
        Attempt::new(
            "a wrong token",
            &[("authorization", &format!("Bearer {wrong}"))],
        ),
        Attempt::new(
            "two credentials in one carrier",
            &[
                ("authorization", &format!("Bearer {good}")),
                ("authorization", &format!("Bearer {wrong}")),
            ],
        ),
        Attempt::new(
            "a cookie that nobody sealed",
            &[("cookie", &format!("session={wrong}"))],
        ),
    ]
}

fn admitted(server: &Server) -> Attempt {
    Attempt::new(
        "a good token",
        &[("authorization", &format!("Bearer {}", server.token()))],
    )
}

/// What the link leaves in a browser.
async fn session_cookie(server: &Server) -> String {
    let response = get(server.link()).await;
    let cookies = response.headers().get_all(header::SET_COOKIE).iter();
    let pairs: Vec<_> = cookies
        .filter_map(|cookie| cookie.to_str().ok()?.split(';').next())
        .filter(|pair| !pair.ends_with('='))
        .collect();
    assert!(!pairs.is_empty(), "{} sets no cookie", response.status());
    pairs.join("; ")
}

// --- HTTP/1.1 ----------------------------------------------------------------------------------

/// The upgrade, the next request and a frame are sent before the answer is read, as smuggling does.
async fn assert_refused_once(server: &Server, path: &str, attempt: &Attempt) {
    let name = attempt.name;
    let next = format!("GET /api HTTP/1.1\r\nHost: {}\r\n\r\n", server.authority());
    let upgrade = upgrade(server, path, attempt);
    let mut connection = RawConnection::open(server.authority()).await;
    connection
        .send(&[upgrade.as_bytes(), next.as_bytes(), PING].concat())
        .await;
    // This ends only when the server closes the connection.
    let answer = connection.rest().await;
    let statuses = statuses(&answer);
    let [status] = statuses.as_slice() else {
        panic!(
            "{path}, {name}: not one answer: {}",
            String::from_utf8_lossy(&answer)
        )
    };
    assert!(status.starts_with('4'), "{path}, {name}: {status}");
    let head = String::from_utf8_lossy(&answer).to_lowercase();
    assert!(
        head.contains("\r\nconnection: close\r\n"),
        "{path}, {name}: {head}"
    );
    assert!(
        head.contains("\r\ncache-control: no-store"),
        "{path}, {name}: {head}"
    );
}

fn upgrade(server: &Server, path: &str, attempt: &Attempt) -> String {
    let mut head = format!(
        "GET /{path}{} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        attempt.query,
        server.authority()
    );
    for (name, value) in &attempt.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head + "\r\n"
}

/// The status of each answer in what came over a connection.
fn statuses(answer: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(answer);
    text.split("HTTP/1.1 ")
        .skip(1)
        .map(|answer| answer.chars().take(3).collect())
        .collect()
}

// --- HTTP/2 ------------------------------------------------------------------------------------

async fn assert_stream_refused(server: &Server, path: &str, attempt: &Attempt) {
    let name = attempt.name;
    let mut sender = http2(server).await;
    let (response, mut stream) = sender
        .send_request(connect(server, path, attempt), false)
        .expect("a stream");
    // It may be refused by now: then there is nothing to send it to.
    let _ = stream.send_data(Bytes::from_static(PING), false);
    let response = response.await.expect("an answer");
    assert!(
        response.status().is_client_error(),
        "{path}, {name}: {}",
        response.status()
    );
    assert_eq!(
        response.headers()[header::CACHE_CONTROL],
        "no-store",
        "{path}, {name}"
    );
    let mut body = response.into_body();
    // Ends with the stream: with its last frame, or with a reset that asks for no more data.
    while let Some(Ok(data)) = body.data().await {
        assert!(!data.ends_with(PONG), "{path}, {name}: the socket answers");
    }
    assert_eq!(
        public_page(&mut sender, server).await,
        StatusCode::OK,
        "{path}, {name}"
    );
}

fn connect(server: &Server, path: &str, attempt: &Attempt) -> Request<()> {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(format!("{}{path}{}", server.base(), attempt.query))
        .header("sec-websocket-version", "13")
        .extension(Protocol::from_static("websocket"));
    for (name, value) in &attempt.headers {
        request = request.header(*name, value);
    }
    request.body(()).expect("a request")
}

/// A connection whose settings have come: before that, nobody may send an extended CONNECT.
async fn http2(server: &Server) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(server.authority())
        .await
        .expect("the server listens");
    let (mut sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    assert_eq!(public_page(&mut sender, server).await, StatusCode::OK);
    assert!(
        sender.is_extended_connect_protocol_enabled(),
        "WebSockets over HTTP/2"
    );
    sender
}

/// Asks for a page that needs no credential.
async fn public_page(sender: &mut SendRequest<Bytes>, server: &Server) -> StatusCode {
    let request = Request::get(format!("{}{}", server.base(), PUBLIC_PAGE))
        .body(())
        .unwrap();
    let ready = std::future::poll_fn(|context| sender.poll_ready(context)).await;
    ready.expect("the connection lives");
    let (response, _) = sender.send_request(request, true).expect("a stream");
    response.await.expect("an answer").status()
}

/// On both servers; the kernel server has nothing else there than its version.
const PUBLIC_PAGE: &str = "api";
