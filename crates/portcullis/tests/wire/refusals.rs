//! The answer to what is not admitted: a row for each reason, and what holds for all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::any;
use http::StatusCode;
use http::header::WWW_AUTHENTICATE;
use http::request::Parts;
use hyper::upgrade::OnUpgrade;
use portcullis::testing::{TestClient, TestRequest, TestResponse};
use portcullis::{
    AuthLayer, Credential, Identity, Refusal, RefusalKind, RequireScopeLayer, VerifyError,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::site::{Over, every_carrier};
use crate::table::Table;

const BASIC: &str = r#"Basic realm="portcullis", charset="UTF-8""#;
const INVALID: &str = r#"Bearer error="invalid_token""#;
const SCOPE: &str = r#"Bearer error="insufficient_scope", scope="admin""#;

type Send = fn(&TestClient) -> TestRequest;

type Row = (
    Send,
    &'static str,
    u16,
    &'static [&'static str],
    Option<&'static str>,
);

/// What is sent; the kind and the status of the answer, its challenges and its `Retry-After`.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    // RFC 6750 §3.1: no error code for a client that has not tried yet.
    (|c| ws(c), "missing-credential", 401, &["Bearer", BASIC], None),
    (|c| ws(c).bearer("unknown"), "invalid-credential", 401, &[INVALID, BASIC], None),
    // That it was good once is told to nobody but the log.
    (|c| ws(c).bearer("expired"), "invalid-credential", 401, &[INVALID, BASIC], None),
    // No challenge makes a browser ask for a password in the name of a page.
    (|c| ws(c).origin("http://localhost").basic("alice", "x"), "invalid-credential", 401, &[INVALID], None),
    (|c| ws(c).origin("http://evil.com"), "missing-credential", 401, &["Bearer"], None),
    (|c| ws(c).header("authorization", "Negotiate x"), "unsupported-scheme", 401, &["Bearer", BASIC], None),
    (|c| ws(c).bearer("a b"), "malformed-credential", 400, &[], None),
    (|c| c.websocket("/ws?token=alice").bearer("bob"), "conflicting-credentials", 400, &[], None),
    (|c| ws(c).protocols(["v1.bearer.YWxpY2U"]), "missing-protocol", 400, &[], None),
    (|c| ws(c).header("cookie", "s=alice").origin("http://a").origin("http://a"), "malformed-handshake", 400, &[], None),
    (|c| ws(c).bearer("alice").without("sec-websocket-version"), "unsupported-version", 426, &[], None),
    (|c| ws(c).bearer("forbidden"), "forbidden-credential", 403, &[], None),
    (|c| ws(c).header("cookie", "s=alice").origin("http://evil.com"), "foreign-origin", 403, &[], None),
    (|c| c.websocket("/admin").bearer("alice"), "insufficient-scope", 403, &[SCOPE], None),
    (|c| ws(&c.clone().authority("evil.com")).bearer("alice"), "unknown-host", 421, &[], None),
    (|c| ws(c).protocols(["a"; 17]), "too-large", 431, &[], None),
    (|c| ws(c).bearer("down"), "verifier-unavailable", 503, &[], Some("5")),
    (|c| ws(c).bearer("down-for-a-minute"), "verifier-unavailable", 503, &[], Some("60")),
    (|c| ws(c).bearer("down-for-a-moment"), "verifier-unavailable", 503, &[], Some("1")),
    (|c| ws(c).bearer("broken"), "verifier-failed", 500, &[], None),
];

#[tokio::test]
async fn table() {
    let (app, hits) = app();
    let mut table = Table::new();
    for (row, (send, kind, status, challenges, retry_after)) in ROWS.iter().enumerate() {
        for over in Over::BOTH {
            let client = over.client(app.clone());
            let upgrade = send(&client).connect().await.unwrap_err();
            let sent = (row, kind, over);
            table.row((sent, "status"), status, upgrade.status().as_u16());
            table.row(
                (sent, "challenges"),
                format!("{challenges:?}"),
                format!("{:?}", challenges_of(&upgrade)),
            );
            table.row(
                (sent, "retry-after"),
                format!("{retry_after:?}"),
                format!("{:?}", upgrade.header("retry-after")),
            );
            table.row((sent, "kind"), kind, kind_of(&upgrade));
            assert_eq!(
                upgrade.header("cache-control"),
                Some("no-store"),
                "{sent:?}"
            );
            assert!(!upgrade.headers().contains_key("set-cookie"), "{sent:?}");
            // What follows a refused upgrade on its connection is not a request.
            let connection = (over == Over::Http1).then_some("close");
            assert_eq!(upgrade.header("connection"), connection, "{sent:?}");
        }
    }
    assert_eq!(hits.load(Ordering::SeqCst), 0, "no handler was called");
    table.finish();
}

/// Every kind has a row above.
#[test]
fn the_table_is_complete() {
    use RefusalKind::*;
    let kinds = [
        ConflictingCredentials,
        ForbiddenCredential,
        ForeignOrigin,
        InsufficientScope,
        InvalidCredential,
        MalformedCredential,
        MalformedHandshake,
        MissingCredential,
        MissingProtocol,
        TooLarge,
        UnknownHost,
        UnsupportedScheme,
        UnsupportedVersion,
        VerifierFailed,
        VerifierUnavailable,
    ];
    for kind in kinds {
        let (status, name) = (kind.default_status().as_u16(), kind.as_str());
        let mut rows = ROWS.iter().filter(|row| row.1 == name);
        assert!(rows.all(|row| row.2 == status), "{name}");
        assert!(ROWS.iter().any(|row| row.1 == name), "{name}");
    }
}

/// Unknown and expired ones get the same answer, byte for byte: nobody learns that a guess was
/// close.
#[tokio::test]
async fn an_expired_token_looks_unknown() {
    let client = TestClient::new(app().0);
    let unknown = client.get("/ws").bearer("unknown").send().await;
    let expired = client.get("/ws").bearer("expired").send().await;
    let without_date = |response: &TestResponse| {
        let mut headers = response.headers().clone();
        headers.remove("date");
        headers
    };
    assert_eq!(without_date(&unknown), without_date(&expired));
    assert_eq!(unknown.body(), expired.body());
    assert_eq!(
        unknown.text(),
        r#"{"type":"about:blank","title":"Unauthorized","status":401,"detail":"The credential is not accepted.","kind":"invalid-credential"}"#
    );
}

/// A page may go on with its connection.
#[tokio::test]
async fn a_page_keeps_its_connection() {
    for over in Over::BOTH {
        let client = over.client(app().0);
        let response = client.get("/ws").send().await;
        assert_eq!(response.status(), 401);
        assert_eq!(response.header("connection"), None);
        assert_eq!(response.header("cache-control"), Some("no-store"));
    }
}

/// Whatever a responder answers, nobody takes a refused upgrade for an accepted one, and what the
/// layer is there for is not lost.
#[tokio::test]
async fn a_responder_cannot_admit() {
    let rows = [
        (StatusCode::SWITCHING_PROTOCOLS, 401),
        (StatusCode::OK, 401),
        (StatusCode::NO_CONTENT, 401),
        (StatusCode::FORBIDDEN, 403),
        (StatusCode::IM_A_TEAPOT, 418),
        (StatusCode::SEE_OTHER, 303),
    ];
    for (answer, expected) in rows {
        let respond = move |refusal: &Refusal, request: &Parts| {
            assert!(!request.headers.contains_key("authorization"));
            assert!(request.extensions.get::<OnUpgrade>().is_none());
            let text = format!("{}: {}", request.uri.path(), refusal.explain());
            let mut response = Response::new(Body::from(text));
            *response.status_mut() = answer;
            response
        };
        let auth = AuthLayer::new(verify as Verifier).respond(respond);
        let app = Router::new().route("/ws", any(|| async {})).layer(auth);
        for over in Over::BOTH {
            let client = over.client(app.clone());
            let refused = client
                .websocket("/ws")
                .bearer("unknown")
                .connect()
                .await
                .unwrap_err();
            assert_eq!(refused.status(), expected, "{answer}");
            assert_eq!(refused.text(), "/ws: The credential is not accepted.");
            assert_eq!(refused.header("cache-control"), Some("no-store"));
            let challenge = (expected == 401).then_some(INVALID);
            assert_eq!(refused.header("www-authenticate"), challenge);
            if over == Over::Http1 {
                assert_eq!(refused.header("connection"), Some("close"));
            }
        }
    }
}

/// A client that takes the refused connection for a socket, or a proxy that was talked into it,
/// gets one answer and then the end: what it sent along is not served.
#[tokio::test]
async fn what_follows_a_refused_upgrade_is_not_served() {
    let handshake = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    #[rustfmt::skip]
    let rows = [
        ("Sec-WebSocket-Version: 13\r\n", "401"),
        ("Sec-WebSocket-Version: 13\r\nAuthorization: Bearer unknown\r\n", "401"),
        ("Sec-WebSocket-Version: 13\r\nAuthorization: Bearer down\r\n", "503"),
        ("Sec-WebSocket-Version: 13\r\nAuthorization: Bearer broken\r\n", "500"),
        ("Sec-WebSocket-Version: 13\r\nCookie: s=alice\r\n", "403"),
        ("Sec-WebSocket-Version: 13\r\nContent-Length: 5\r\n", "400"),
        ("Sec-WebSocket-Version: 7\r\nAuthorization: Bearer alice\r\n", "426"),
        // Keep-alive is what the client wishes, too.
        ("Sec-WebSocket-Version: 13\r\nConnection: keep-alive\r\n", "401"),
    ];
    let request = "GET /ws HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer alice\r\n\r\n";
    // A masked text frame: "hi".
    let frame = [0x81, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2];
    let (app, hits) = app();
    let client = TestClient::new(app);
    for (lines, status) in rows {
        let sent = [
            format!("{handshake}{lines}\r\n{request}").as_bytes(),
            &frame,
        ]
        .concat();
        let mut pipe = client.pipe();
        pipe.write_all(&sent).await.unwrap();
        let mut answer = Vec::new();
        // It ends without our closing it.
        pipe.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{lines}: {answer}"
        );
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{lines}: {answer}");
    }
    assert_eq!(hits.load(Ordering::SeqCst), 0);

    // Without the upgrade it is two requests.
    let mut pipe = client.pipe();
    let last = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let sent = format!("GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n{last}");
    pipe.write_all(sent.as_bytes()).await.unwrap();
    let mut answer = String::new();
    pipe.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer.matches("HTTP/1.1").count(), 2, "{answer}");
    assert_eq!(hits.load(Ordering::SeqCst), 1);
}

type Verifier = fn(Credential) -> std::future::Ready<Result<Identity, VerifyError>>;

/// The secret says what happens to it.
#[expect(
    clippy::needless_pass_by_value,
    reason = "so a function that is a verifier takes it"
)]
fn verify(credential: Credential) -> std::future::Ready<Result<Identity, VerifyError>> {
    let down_for = |delay| VerifyError::Unavailable {
        retry_after: Some(delay),
    };
    std::future::ready(match credential.expose_secret() {
        "alice" => Ok(Identity::new("alice")),
        "expired" => Err(VerifyError::Expired),
        "forbidden" => Err(VerifyError::Forbidden),
        "down" => Err(VerifyError::unavailable()),
        "down-for-a-minute" => Err(down_for(Duration::from_secs(60))),
        "down-for-a-moment" => Err(down_for(Duration::from_millis(1))),
        "broken" => panic!("the verifier is broken"),
        _ => Err(VerifyError::Invalid),
    })
}

fn app() -> (Router, Arc<AtomicUsize>) {
    let hits = Arc::new(AtomicUsize::new(0));
    let handler = {
        let hits = Arc::clone(&hits);
        move || async move {
            hits.fetch_add(1, Ordering::SeqCst);
        }
    };
    let auth = AuthLayer::new(verify as Verifier)
        .profile(every_carrier())
        .hosts(["localhost"]);
    let admin = any(handler.clone()).layer(RequireScopeLayer::all(["admin"]));
    let app = Router::new()
        .route("/ws", any(handler))
        .route("/admin", admin)
        .route_layer(auth);
    (app, hits)
}

fn ws(client: &TestClient) -> TestRequest {
    client.websocket("/ws")
}

fn challenges_of(response: &TestResponse) -> Vec<&str> {
    let challenges = response.headers().get_all(WWW_AUTHENTICATE).iter();
    challenges.map(|line| line.to_str().unwrap()).collect()
}

/// The kind, of a body that is a problem (RFC 9457) and nothing else.
fn kind_of(response: &TestResponse) -> &str {
    assert_eq!(
        response.header("content-type"),
        Some("application/problem+json")
    );
    let status = response.status();
    let before = format!(
        r#"{{"type":"about:blank","title":"{}","status":{},"detail":""#,
        status.canonical_reason().unwrap(),
        status.as_u16()
    );
    let rest = response.text().strip_prefix(&before).unwrap();
    let (detail, kind) = rest.split_once(r#"","kind":""#).unwrap();
    assert!(!detail.is_empty());
    assert!(!detail.contains(['"', '\\']), "{detail}");
    kind.strip_suffix(r#""}"#).unwrap()
}
