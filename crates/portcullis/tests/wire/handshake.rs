//! The requirements of a handshake: RFC 6455 §4.2.1, RFC 8441 §4 and §5, RFC 9112 §3.2.
//!
//! axum accepts `Connection: no-upgrade` as an upgrade, and hyper accepts two hosts and a body. The
//! layer refuses a request that can be interpreted in two ways. No socket opens without a call to
//! the verifier; [`Matrix`] checks that for every row.

use std::convert::Infallible;
use std::future::ready;

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use hyper::ext::Protocol;
use portcullis::testing::{Accepting, TestClient};
use portcullis::{AuthLayer, Identity, refusal::Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{HttpVersion, Matrix, Table, raw_handshake};

const TOKENS: &[(&str, &str)] = &[("alice", "s3cret")];
const OPEN: &str = "open alice by authorization";
const MALFORMED: &str = "400 malformed-handshake";
const VERSION: &str = "426 unsupported-version";

/// The lines of `Connection` and of `Upgrade`, and the outcome with a valid token. Without a token,
/// a request that would be admitted is a 401.
#[rustfmt::skip]
const SPELLINGS: &[(&[&str], &[&str], &str)] = &[
    (&["Upgrade"], &["websocket"], OPEN),
    (&["upgrade"], &["websocket"], OPEN),
    (&["UPGRADE"], &["WEBSOCKET"], OPEN),
    (&["Upgrade"], &["WebSocket"], OPEN),
    (&["keep-alive, Upgrade"], &["websocket"], OPEN),
    (&["Upgrade, keep-alive"], &["websocket"], OPEN),
    (&["keep-alive,upgrade,x"], &["websocket"], OPEN),
    (&["Upgrade,"], &["websocket"], OPEN),
    (&[",\tUpgrade"], &["websocket"], OPEN),
    (&["Upgrade, close"], &["websocket"], OPEN),
    (&["Upgrade", "keep-alive"], &["websocket"], OPEN),
    // Admitted, as RFC 9110 §5.3 requires. axum reads the first line only.
    (&["keep-alive", "Upgrade"], &["websocket"], "400 alice by authorization"),
    (&[], &["websocket"], MALFORMED),
    (&[""], &["websocket"], MALFORMED),
    (&["keep-alive"], &["websocket"], MALFORMED),
    (&["no-upgrade"], &["websocket"], MALFORMED),
    (&["xupgradex"], &["websocket"], MALFORMED),
    (&["upgrade-insecure-requests"], &["websocket"], MALFORMED),
    (&["upgrade;q=1"], &["websocket"], MALFORMED),
    (&["\"upgrade\""], &["websocket"], MALFORMED),
    (&["up grade"], &["websocket"], MALFORMED),
    (&["keep-alive upgrade"], &["websocket"], MALFORMED),
    (&["Upgrade"], &[""], MALFORMED),
    (&["Upgrade"], &["h2c"], MALFORMED),
    (&["Upgrade"], &["websocket, h2c"], MALFORMED),
    (&["Upgrade"], &["h2c, websocket"], MALFORMED),
    (&["Upgrade"], &["websocket", "websocket"], MALFORMED),
    (&["Upgrade"], &["websocket", "h2c"], MALFORMED),
    (&["Upgrade"], &["websocket/13"], MALFORMED),
    (&["Upgrade"], &["xwebsocketx"], MALFORMED),
    (&["Upgrade"], &["web socket"], MALFORMED),
    (&["Upgrade"], &["\"websocket\""], MALFORMED),
    (&["no-upgrade"], &["h2c"], MALFORMED),
    // Without `Upgrade` it is an ordinary request.
    (&["Upgrade"], &[], "200 alice by authorization"),
    (&["no-upgrade"], &[], "200 alice by authorization"),
    (&[], &[], "200 alice by authorization"),
];

#[tokio::test]
async fn connection_and_upgrade_headers_are_parsed_strictly() {
    let matrix = Matrix::new(TOKENS, |auth| auth).only(HttpVersion::Http1);
    let mut table = Table::new();
    for (connection, upgrade, expected) in SPELLINGS {
        let request = |client: &TestClient| {
            let request = client
                .websocket("/ws")
                .without("connection")
                .without("upgrade");
            let request = connection
                .iter()
                .fold(request, |request, line| request.header(CONNECTION, *line));
            upgrade
                .iter()
                .fold(request, |request, line| request.header(UPGRADE, *line))
        };
        let sent = (connection, upgrade);
        let outcome = matrix.send(|client| request(client).bearer("s3cret")).await;
        table.row(sent, expected, outcome);

        let anonymous = matrix.send(request).await;
        let refused = match *expected {
            MALFORMED => MALFORMED,
            _ => "401 missing-credential",
        };
        table.row((sent, "no token"), refused, &anonymous);
        table.row((sent, "verifier calls"), 0, anonymous.verifier_calls);
    }
    table.finish();
}

#[tokio::test]
async fn protocol_of_extended_connect_decides_what_opens() {
    let rows = [
        (Some("websocket"), OPEN),
        // Admitted, but axum opens no socket for these.
        (Some("WebSocket"), "400 alice by authorization"),
        (Some("connect-udp"), "400 alice by authorization"),
        (Some(""), "400 alice by authorization"),
        // A plain `CONNECT` has no path, so it matches no route.
        (None, "404"),
    ];
    let matrix = Matrix::new(TOKENS, |auth| auth).only(HttpVersion::Http2);
    let mut table = Table::new();
    for (protocol, expected) in rows {
        let with = |request: &mut Request<Bytes>| {
            request.extensions_mut().remove::<Protocol>();
            if let Some(protocol) = protocol {
                request
                    .extensions_mut()
                    .insert(Protocol::from_static(protocol));
            }
        };
        let outcome = matrix
            .send_request(|client| {
                let mut request = client.websocket("/ws").bearer("s3cret").into_request();
                with(&mut request);
                request
            })
            .await;
        table.row(protocol, expected, outcome);

        let anonymous = matrix
            .send_request(|client| {
                let mut request = client.websocket("/ws").into_request();
                with(&mut request);
                request
            })
            .await;
        let refused = if protocol.is_some() {
            "401 missing-credential"
        } else {
            "404"
        };
        table.row((protocol, "no token"), refused, &anonymous);
        table.row((protocol, "verifier calls"), 0, anonymous.verifier_calls);
    }
    table.finish();
}

type Change = fn(&mut Request<Bytes>);

/// A change to a valid HTTP/1.1 handshake, and the outcome.
#[rustfmt::skip]
const HTTP1: &[(&str, Change, &str)] = &[
    ("nothing", |_| {}, OPEN),
    // The key: 16 bytes in base64, once.
    ("no key", |r| remove(r, "sec-websocket-key"), MALFORMED),
    ("an empty key", |r| set(r, "sec-websocket-key", ""), MALFORMED),
    ("a key that is not base64", |r| set(r, "sec-websocket-key", "!!"), MALFORMED),
    ("a short key", |r| set(r, "sec-websocket-key", "dGhlIHNhbXBsZSBub25jZ==="), MALFORMED),
    ("a key of 15 bytes", |r| set(r, "sec-websocket-key", "dGhlIHNhbXBsZSBub25j"), MALFORMED),
    ("a key of 17 bytes", |r| set(r, "sec-websocket-key", "dGhlIHNhbXBsZSBub25jZXM="), MALFORMED),
    ("a key without padding", |r| set(r, "sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ"), MALFORMED),
    ("a key in base64url", |r| set(r, "sec-websocket-key", "_GhlIHNhbXBsZSBub25jZQ=="), MALFORMED),
    ("a key in base64", |r| set(r, "sec-websocket-key", "/GhlIHNh+XBsZSBub25jZQ=="), OPEN),
    ("two keys", |r| add(r, "sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="), MALFORMED),
    // The version.
    ("no version", |r| remove(r, "sec-websocket-version"), VERSION),
    ("version 8", |r| set(r, "sec-websocket-version", "8"), VERSION),
    ("version 14", |r| set(r, "sec-websocket-version", "14"), VERSION),
    ("version 013", |r| set(r, "sec-websocket-version", "013"), VERSION),
    ("versions 13, 8", |r| set(r, "sec-websocket-version", "13, 8"), VERSION),
    ("two versions", |r| add(r, "sec-websocket-version", "13"), VERSION),
    // The host: one, and the same in the header and in the request target.
    ("no host", |r| remove(r, "host"), MALFORMED),
    ("two hosts", |r| add(r, "host", "localhost"), MALFORMED),
    ("two other hosts", |r| add(r, "host", "evil.com"), MALFORMED),
    ("a URI of this host", |r| uri(r, "http://localhost/ws"), OPEN),
    ("a URI in upper case", |r| uri(r, "http://LOCALHOST/ws"), OPEN),
    ("a URI of another host", |r| uri(r, "http://evil.com/ws"), MALFORMED),
    ("a URI of another port", |r| uri(r, "http://localhost:81/ws"), MALFORMED),
    ("a URI with a user name", |r| uri(r, "http://alice@localhost/ws"), MALFORMED),
    // The method.
    ("HEAD", |r| *r.method_mut() = Method::HEAD, MALFORMED),
    ("POST", |r| *r.method_mut() = Method::POST, MALFORMED),
    ("PUT", |r| *r.method_mut() = Method::PUT, MALFORMED),
    ("OPTIONS", |r| *r.method_mut() = Method::OPTIONS, MALFORMED),
    // No body.
    ("a body", |r| *r.body_mut() = Bytes::from_static(b"hello"), MALFORMED),
    ("a length of 0", |r| set(r, "content-length", "0"), OPEN),
];

#[tokio::test]
async fn http1_handshake_is_validated() {
    check(HttpVersion::Http1, HTTP1).await;
}

/// A change to a valid HTTP/2 handshake, and the outcome.
#[rustfmt::skip]
const HTTP2: &[(&str, Change, &str)] = &[
    ("nothing", |_| {}, OPEN),
    ("no version", |r| remove(r, "sec-websocket-version"), VERSION),
    ("version 8", |r| set(r, "sec-websocket-version", "8"), VERSION),
    ("two versions", |r| add(r, "sec-websocket-version", "13"), VERSION),
    // HTTP/2 handshakes have no key (RFC 8441 §5), so it is ignored.
    ("a key", |r| set(r, "sec-websocket-key", "!!"), OPEN),
    ("a length of 0", |r| set(r, "content-length", "0"), OPEN),
    ("https", |r| uri(r, "https://localhost/ws"), OPEN),
];

#[tokio::test]
async fn http2_handshake_is_validated() {
    check(HttpVersion::Http2, HTTP2).await;
}

/// Clients do not send these over HTTP/2, and hyper refuses them. The layer refuses them as well,
/// because the server may be another one than hyper.
#[tokio::test]
async fn invalid_http2_handshake_is_refused_in_process() {
    #[rustfmt::skip]
    let rows: [(&str, Change, Option<&str>); 6] = [
        ("nothing", |_| {}, None),
        ("Upgrade", |r| set(r, "upgrade", "websocket"), Some("malformed-handshake")),
        ("Connection", |r| set(r, "connection", "upgrade"), Some("malformed-handshake")),
        ("a length", |r| set(r, "content-length", "5"), Some("malformed-handshake")),
        ("no authority", |r| *r.uri_mut() = "/ws".parse().unwrap(), Some("malformed-handshake")),
        ("GET with Upgrade", get_with_upgrade, Some("malformed-handshake")),
    ];
    let auth = AuthLayer::new(Accepting::everything(Identity::new("alice")));
    for (name, change, expected) in rows {
        let mut request = Request::connect("http://localhost/ws")
            .version(Version::HTTP_2)
            .header("sec-websocket-version", "13")
            .header("authorization", "Bearer s3cret")
            .body(Bytes::new())
            .unwrap();
        change(&mut request);
        let inner = service_fn(|_| ready(Ok::<_, Infallible>(Response::new(Bytes::new()))));
        let response = auth.layer(inner).oneshot(request).await.unwrap();
        let kind = response
            .extensions()
            .get::<Refusal>()
            .map(|refusal| refusal.kind().as_str());
        assert_eq!(kind, expected, "{name}");
    }
}

/// Bytes that no HTTP/1.1 client sends, with a valid token, and the status of the response.
#[tokio::test]
async fn raw_http1_handshake_has_the_expected_status() {
    #[rustfmt::skip]
    let rows = [
        ("valid", "GET /ws HTTP/1.1", "", "101"),
        ("HTTP/1.0", "GET /ws HTTP/1.0", "", "426"),
        ("CONNECT", "CONNECT localhost HTTP/1.1", "", "404"),
        ("CONNECT with a path", "CONNECT /ws HTTP/1.1", "", "400"),
        ("an asterisk", "OPTIONS * HTTP/1.1", "", "404"),
        ("a fragment", "GET /ws#x HTTP/1.1", "", "101"),
        ("chunks", "GET /ws HTTP/1.1", "Transfer-Encoding: chunked\r\n", "400"),
        ("a length and chunks", "GET /ws HTTP/1.1", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "400"),
        ("two lengths", "GET /ws HTTP/1.1", "Content-Length: 0\r\nContent-Length: 5\r\n", "400"),
        ("a length of +0", "GET /ws HTTP/1.1", "Content-Length: +0\r\n", "400"),
        ("a folded line", "GET /ws HTTP/1.1", "X: a\r\n b\r\n", "400"),
        ("a space in front of a colon", "GET /ws HTTP/1.1", "X : a\r\n", "400"),
        ("a NUL", "GET /ws HTTP/1.1", "X: \0\r\n", "400"),
        // hyper accepts it as the end of a line.
        ("a bare line feed", "GET /ws HTTP/1.1", "X: a\n", "101"),
    ];
    let matrix = Matrix::new(TOKENS, |auth| auth).only(HttpVersion::Http1);
    let mut table = Table::new();
    for (name, request_line, extra, expected) in rows {
        for mut pipe in matrix.pipes() {
            let lines = format!("Authorization: Bearer s3cret\r\n{extra}");
            let handshake = raw_handshake(request_line, &lines);
            pipe.write_all(handshake.as_bytes()).await.unwrap();
            let mut status_line = [0; 12];
            pipe.read_exact(&mut status_line).await.unwrap();
            let status = str::from_utf8(&status_line[9..]).unwrap();
            table.row(name, expected, status);
        }
    }
    table.finish();
}

/// axum reads the first `Connection` line only, so it refuses this admitted handshake. The
/// connection closes as after every refused upgrade, so that bytes after it are not a request.
#[tokio::test]
async fn upgrade_refused_by_axum_closes_the_connection() {
    let matrix = Matrix::new(TOKENS, |auth| auth).only(HttpVersion::Http1);
    for mut pipe in matrix.pipes() {
        let handshake = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer s3cret\r\n\r\n";
        let next = "GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer s3cret\r\n\r\n";
        for bytes in [handshake, next] {
            pipe.write_all(bytes.as_bytes()).await.unwrap();
        }
        let mut answers = String::new();
        pipe.read_to_string(&mut answers).await.unwrap();
        assert!(answers.starts_with("HTTP/1.1 400"), "{answers}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
    }
}

async fn check(version: HttpVersion, rows: &[(&str, Change, &str)]) {
    let matrix = Matrix::new(TOKENS, |auth| auth).only(version);
    let mut table = Table::new();
    for (name, change, expected) in rows {
        let outcome = matrix
            .send_request(|client| {
                let mut request = client.websocket("/ws").bearer("s3cret").into_request();
                change(&mut request);
                request
            })
            .await;
        if *expected == VERSION {
            assert_eq!(
                outcome.response.header("sec-websocket-version"),
                Some("13"),
                "{name}"
            );
        }
        table.row(name, expected, outcome);
    }
    table.finish();
}

fn get_with_upgrade(request: &mut Request<Bytes>) {
    *request.method_mut() = Method::GET;
    set(request, "upgrade", "websocket");
}

fn set(request: &mut Request<Bytes>, name: &'static str, value: &'static str) {
    request
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
}

fn add(request: &mut Request<Bytes>, name: &'static str, value: &'static str) {
    let headers: &mut HeaderMap = request.headers_mut();
    headers.append(name, HeaderValue::from_static(value));
}

fn remove(request: &mut Request<Bytes>, name: &str) {
    request.headers_mut().remove(name);
}

fn uri(request: &mut Request<Bytes>, uri: &'static str) {
    *request.uri_mut() = uri.parse().unwrap();
}
