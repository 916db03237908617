//! Refusals: a row for each kind, and the contract of all of them.

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
    AuthLayer, Credential, Identity, RequireScopeLayer, VerifyError,
    refusal::{Refusal, RefusalKind},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{HttpVersion, MINUTE, Table, every_carrier};

const BASIC: &str = r#"Basic realm="portcullis", charset="UTF-8""#;
const INVALID: &str = r#"Bearer error="invalid_token""#;
const SCOPE: &str = r#"Bearer error="insufficient_scope", scope="admin""#;

type Build = fn(&TestClient) -> TestRequest;

type Row = (
    Build,
    &'static str,
    u16,
    &'static [&'static str],
    Option<&'static str>,
);

/// The request, and the kind, the status, the challenges and the `Retry-After` of the response.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    // RFC 6750 §3.1: no error code for a request without a credential.
    (|c| ws(c), "missing-credential", 401, &["Bearer", BASIC], None),
    (|c| ws(c).bearer("unknown"), "invalid-credential", 401, &[INVALID, BASIC], None),
    // Only the log contains that the token has expired.
    (|c| ws(c).bearer("expired"), "invalid-credential", 401, &[INVALID, BASIC], None),
    // No Basic challenge for a page, because the browser would open a password prompt.
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
    (|c| ws(c).bearer("unavailable"), "verifier-unavailable", 503, &[], Some("5")),
    (|c| ws(c).bearer("unavailable-for-a-minute"), "verifier-unavailable", 503, &[], Some("60")),
    (|c| ws(c).bearer("unavailable-for-a-millisecond"), "verifier-unavailable", 503, &[], Some("1")),
    (|c| ws(c).bearer("panic"), "verifier-failed", 500, &[], None),
];

#[tokio::test]
async fn each_refusal_has_its_status_and_headers() {
    let (app, calls) = app();
    let mut table = Table::new();
    for (row, (build, kind, status, challenges, retry_after)) in ROWS.iter().enumerate() {
        for version in HttpVersion::ALL {
            let client = version.client(app.clone());
            let upgrade = build(&client).connect().await.unwrap_err();
            let sent = (row, kind, version);
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
            // The connection closes, so that bytes after the upgrade are not a request.
            let connection = (version == HttpVersion::Http1).then_some("close");
            assert_eq!(upgrade.header("connection"), connection, "{sent:?}");
        }
    }
    assert_eq!(calls.load(Ordering::SeqCst), 0, "a handler was called");
    table.finish();
}

#[test]
fn table_covers_every_kind() {
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

/// The responses are equal, byte for byte, so that a client cannot find out which tokens existed.
#[tokio::test]
async fn expired_token_is_refused_like_an_unknown_token() {
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

#[tokio::test]
async fn refused_page_request_keeps_its_connection() {
    for version in HttpVersion::ALL {
        let client = version.client(app().0);
        let response = client.get("/ws").send().await;
        assert_eq!(response.status(), 401);
        assert_eq!(response.header("connection"), None);
        assert_eq!(response.header("cache-control"), Some("no-store"));
    }
}

/// Whatever the responder returns, the response has an error status and the protective headers.
#[tokio::test]
async fn responder_cannot_admit_a_refused_request() {
    let rows = [
        (StatusCode::SWITCHING_PROTOCOLS, 401),
        (StatusCode::OK, 401),
        (StatusCode::NO_CONTENT, 401),
        (StatusCode::FORBIDDEN, 403),
        (StatusCode::IM_A_TEAPOT, 418),
        (StatusCode::SEE_OTHER, 303),
    ];
    for (status, expected) in rows {
        let respond = move |refusal: &Refusal, request: &Parts| {
            assert!(!request.headers.contains_key("authorization"));
            assert!(request.extensions.get::<OnUpgrade>().is_none());
            let text = format!("{}: {}", request.uri.path(), refusal.detail());
            let mut response = Response::new(Body::from(text));
            *response.status_mut() = status;
            response
        };
        let auth = AuthLayer::new(verify as Verifier).respond(respond);
        let app = Router::new().route("/ws", any(|| async {})).layer(auth);
        for version in HttpVersion::ALL {
            let client = version.client(app.clone());
            let refused = client
                .websocket("/ws")
                .bearer("unknown")
                .connect()
                .await
                .unwrap_err();
            assert_eq!(refused.status(), expected, "{status}");
            assert_eq!(refused.text(), "/ws: The credential is not accepted.");
            assert_eq!(refused.header("cache-control"), Some("no-store"));
            let challenge = (expected == 401).then_some(INVALID);
            assert_eq!(refused.header("www-authenticate"), challenge);
            if version == HttpVersion::Http1 {
                assert_eq!(refused.header("connection"), Some("close"));
            }
        }
    }
}

/// A client, or a proxy in front of it, may treat the refused connection as a socket. It receives
/// one response, and then the connection closes.
#[tokio::test]
async fn bytes_after_a_refused_upgrade_are_not_a_request() {
    let handshake = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    #[rustfmt::skip]
    let rows = [
        ("Sec-WebSocket-Version: 13\r\n", "401"),
        ("Sec-WebSocket-Version: 13\r\nAuthorization: Bearer unknown\r\n", "401"),
        ("Sec-WebSocket-Version: 13\r\nAuthorization: Bearer unavailable\r\n", "503"),
        ("Sec-WebSocket-Version: 13\r\nAuthorization: Bearer panic\r\n", "500"),
        ("Sec-WebSocket-Version: 13\r\nCookie: s=alice\r\n", "403"),
        ("Sec-WebSocket-Version: 13\r\nContent-Length: 5\r\n", "400"),
        ("Sec-WebSocket-Version: 7\r\nAuthorization: Bearer alice\r\n", "426"),
        // The client also requests keep-alive.
        ("Sec-WebSocket-Version: 13\r\nConnection: keep-alive\r\n", "401"),
    ];
    let request = "GET /ws HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer alice\r\n\r\n";
    // A masked text frame: "hi".
    let frame = [0x81, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2];
    let (app, calls) = app();
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
        // The server closes the connection.
        pipe.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{lines}: {answer}"
        );
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{lines}: {answer}");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 0);

    // Without the upgrade these bytes are two requests.
    let mut pipe = client.pipe();
    let last = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let sent = format!("GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n{last}");
    pipe.write_all(sent.as_bytes()).await.unwrap();
    let mut answer = String::new();
    pipe.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer.matches("HTTP/1.1").count(), 2, "{answer}");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

type Verifier = fn(Credential) -> std::future::Ready<Result<Identity, VerifyError>>;

/// The token selects the answer.
#[expect(
    clippy::needless_pass_by_value,
    reason = "a verifier function takes a credential by value"
)]
fn verify(credential: Credential) -> std::future::Ready<Result<Identity, VerifyError>> {
    let unavailable_for = |delay| VerifyError::Unavailable {
        retry_after: Some(delay),
    };
    std::future::ready(match credential.expose_secret() {
        "alice" => Ok(Identity::new("alice")),
        "expired" => Err(VerifyError::Expired),
        "forbidden" => Err(VerifyError::Forbidden),
        "unavailable" => Err(VerifyError::unavailable()),
        "unavailable-for-a-minute" => Err(unavailable_for(MINUTE)),
        "unavailable-for-a-millisecond" => Err(unavailable_for(Duration::from_millis(1))),
        "panic" => panic!("the verifier is broken"),
        _ => Err(VerifyError::Invalid),
    })
}

fn app() -> (Router, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let handler = {
        let calls = Arc::clone(&calls);
        move || async move {
            calls.fetch_add(1, Ordering::SeqCst);
        }
    };
    let auth = AuthLayer::new(verify as Verifier)
        .profile(every_carrier())
        .hosts(["localhost"])
        .unwrap();
    let admin = any(handler.clone()).layer(RequireScopeLayer::all(["admin"]));
    let app = Router::new()
        .route("/ws", any(handler))
        .route("/admin", admin)
        .route_layer(auth);
    (app, calls)
}

fn ws(client: &TestClient) -> TestRequest {
    client.websocket("/ws")
}

fn challenges_of(response: &TestResponse) -> Vec<&str> {
    let challenges = response.headers().get_all(WWW_AUTHENTICATE).iter();
    challenges.map(|line| line.to_str().unwrap()).collect()
}

/// The kind in the problem body (RFC 9457). Checks that the body has no other fields.
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
