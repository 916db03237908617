//! The `Authorization` header: RFC 9110 §11.6.2, RFC 6750 §2.1, RFC 7617.

use http::header::AUTHORIZATION;
use portcullis::Profile;
use portcullis::carrier::AuthorizationCarrier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{HttpVersion, Matrix, Table, with_lines};

const TOKENS: &[(&str, &str)] = &[("alice", "s3cret-._~+/=="), ("x", "x"), ("bob", "tök")];

/// The lines of the header, and the outcome.
const BEARER: &[(&[&str], &str)] = &[
    (&[], "401 missing-credential"),
    (&["Bearer s3cret-._~+/=="], "open alice by authorization"),
    (&["bearer x"], "open x by authorization"),
    (&["BEARER x"], "open x by authorization"),
    (&["Bearer X"], "401 invalid-credential"),
    (&["Bearer s3cret-._~+/="], "401 invalid-credential"),
    (&["Bearer"], "400 malformed-credential"),
    (&["Bearer "], "400 malformed-credential"),
    // Both RFCs specify `1*SP`, so this is valid.
    (&["Bearer  x"], "open x by authorization"),
    // Only a space ends the name of a scheme, so these have unsupported schemes.
    (&["Bearer\tx"], "401 unsupported-scheme"),
    (&["Bearer: x"], "401 unsupported-scheme"),
    (&["bear x"], "401 unsupported-scheme"),
    (&["Bearer ="], "400 malformed-credential"),
    (&["Bearer =x"], "400 malformed-credential"),
    (&["Bearer x=x"], "400 malformed-credential"),
    (&["Bearer x,Bearer y"], "400 malformed-credential"),
    (&["Bearer x, Bearer y"], "400 malformed-credential"),
    (&["Bearer x y"], "400 malformed-credential"),
    (&["Bearer \"x\""], "400 malformed-credential"),
    (&["Bearer token=x"], "400 malformed-credential"),
    (&["Bearer tök"], "400 malformed-credential"),
    (&["Bearer x", "Bearer x"], "400 malformed-credential"),
    (&["Bearer x", "Basic eDp4"], "400 malformed-credential"),
    (&["Bearer x", ""], "400 malformed-credential"),
    (&[""], "401 unsupported-scheme"),
    (&["x"], "401 unsupported-scheme"),
    (&["token x"], "401 unsupported-scheme"),
    (&["Basic eDp4"], "401 unsupported-scheme"),
    (&["Negotiate x"], "401 unsupported-scheme"),
    (&["DPoP x"], "401 unsupported-scheme"),
];

#[tokio::test]
async fn bearer_header_is_parsed_strictly() {
    let matrix = Matrix::new(TOKENS, |auth| auth);
    check(&matrix, BEARER).await;
}

/// The test vectors of RFC 7617 and of Python's `websockets`.
const BASIC_TOKENS: &[(&str, &str)] = &[
    ("Aladdin", "open sesame"),
    ("aladdin", "open:sesame"),
    ("test", "123£"),
    ("x", "x"),
];

#[rustfmt::skip]
const BASIC: &[(&[&str], &str)] = &[
    (&["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="], "open Aladdin by authorization (basic)"),
    (&["bAsIc QWxhZGRpbjpvcGVuIHNlc2FtZQ=="], "open Aladdin by authorization (basic)"),
    (&["Basic  QWxhZGRpbjpvcGVuIHNlc2FtZQ=="], "open Aladdin by authorization (basic)"),
    // UTF-8, as the challenge requests; then the same in Latin-1.
    (&["Basic dGVzdDoxMjPCow=="], "open test by authorization (basic)"),
    (&["Basic dGVzdDoxMjOj"], "400 malformed-credential"),
    // The first colon separates the user name from the password.
    (&["Basic YWxhZGRpbjpvcGVuOnNlc2FtZQ=="], "open aladdin by authorization (basic)"),
    // The password of another user.
    (&["Basic QWxhZGRpbjpvcGVuOnNlc2FtZQ=="], "401 invalid-credential"),
    (&["// Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="], "401 unsupported-scheme"),
    (&["Basic\tQWxhZGRpbjpvcGVuIHNlc2FtZQ=="], "401 unsupported-scheme"),
    (&["Basic ****"], "400 malformed-credential"),
    (&["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==//"], "400 malformed-credential"),
    (&["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ"], "400 malformed-credential"),
    (&["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ="], "400 malformed-credential"),
    // The last symbol has nonzero trailing bits.
    (&["Basic QWxhZGRpbjpvcGVuIHNlc2FtZR=="], "400 malformed-credential"),
    // The base64url alphabet.
    (&["Basic eDp4_w=="], "400 malformed-credential"),
    (&["Basic"], "400 malformed-credential"),
    (&["Basic "], "400 malformed-credential"),
    // `alice`, without a colon.
    (&["Basic YWxpY2U="], "400 malformed-credential"),
    // `x:x` followed by a NUL, a CR, a DEL.
    (&["Basic eDp4AA=="], "400 malformed-credential"),
    (&["Basic eDp4DQ=="], "400 malformed-credential"),
    (&["Basic eDp4fw=="], "400 malformed-credential"),
    // `:x`. The verifier decides; this one has no user without a name.
    (&["Basic Ong="], "401 invalid-credential"),
    // `x:` and `:`. RFC 7617 allows an empty password, but many directories treat it as anonymous.
    (&["Basic eDo="], "400 malformed-credential"),
    (&["Basic Og=="], "400 malformed-credential"),
    (&["Basic eDp4", "Basic eDp4"], "400 malformed-credential"),
    // The password as a token.
    (&["Bearer x"], "open x by authorization"),
];

#[tokio::test]
async fn basic_header_is_parsed_strictly() {
    let carrier = || AuthorizationCarrier::bearer().and_basic();
    let profile = || Profile::new("basic").carrier(carrier());
    let matrix = Matrix::new(BASIC_TOKENS, |auth| auth.profile(profile()));
    check(&matrix, BASIC).await;
}

#[tokio::test]
async fn profile_without_bearer_refuses_bearer() {
    let profile = || Profile::new("basic").carrier(AuthorizationCarrier::basic());
    let matrix = Matrix::new(BASIC_TOKENS, |auth| auth.profile(profile()));
    check(
        &matrix,
        &[
            (&["Basic eDp4"], "open x by authorization (basic)"),
            (&["Bearer x"], "401 unsupported-scheme"),
        ],
    )
    .await;
}

/// An HTTP/1.1 parser removes white space at the end of a line. RFC 9113 §8.2.1 forbids it in
/// HTTP/2, but the layers below do not check that.
#[tokio::test]
async fn trailing_space_is_refused_over_http2() {
    for (version, expected) in [
        (HttpVersion::Http1, "open x by authorization"),
        (HttpVersion::Http2, "400 malformed-credential"),
    ] {
        let matrix = Matrix::new(TOKENS, |auth| auth).only(version);
        check(&matrix, &[(&["Bearer x "], expected)]).await;
    }
}

#[tokio::test]
async fn similar_header_names_are_ignored() {
    let matrix = Matrix::new(TOKENS, |auth| auth);
    let mut table = Table::new();
    for name in [
        "proxy-authorization",
        "x-authorization",
        "authentication",
        "authorization_",
    ] {
        let outcome = matrix
            .send(|client| client.websocket("/ws").header(name, "Bearer x"))
            .await;
        table.row(name, "401 missing-credential", outcome);
    }
    table.finish();
}

/// The layer strips it from an upgrade and from an ordinary request.
#[tokio::test]
async fn authorization_header_does_not_reach_the_handler() {
    let matrix = Matrix::new(TOKENS, |auth| auth);
    let socket = matrix
        .send(|client| client.websocket("/ws").bearer("x"))
        .await;
    assert_eq!(socket.decision(), "open x by authorization");
    assert!(socket.received_lines("authorization").is_empty());

    let page = matrix.send(|client| client.get("/page").bearer("x")).await;
    assert_eq!(page.decision(), "200 x by authorization");
    assert!(page.received_lines("authorization").is_empty());
}

/// RFC 9112 §5.2 forbids it. The test client cannot send a folded line, so this writes bytes.
#[tokio::test]
async fn folded_line_is_refused() {
    let matrix = Matrix::new(TOKENS, |auth| auth).only(HttpVersion::Http1);
    let handshake = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer\r\n x\r\n\r\n";
    for mut pipe in matrix.pipes() {
        pipe.write_all(handshake.as_bytes()).await.unwrap();
        let mut answer = String::new();
        pipe.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
}

async fn check(matrix: &Matrix, rows: &[(&[&str], &str)]) {
    let mut table = Table::new();
    for (lines, expected) in rows {
        let outcome = matrix
            .send(|client| with_lines(client.websocket("/ws"), &AUTHORIZATION, lines))
            .await;
        table.row(lines, expected, outcome);
    }
    table.finish();
}
