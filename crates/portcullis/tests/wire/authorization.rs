//! The `Authorization` header: RFC 9110 §11.6.2, RFC 6750 §2.1, RFC 7617.

use http::header::AUTHORIZATION;
use portcullis::Profile;
use portcullis::carrier::Authorization;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::site::{Over, Site};
use crate::table::Table;

const TOKENS: &[(&str, &str)] = &[("alice", "s3cret-._~+/=="), ("x", "x"), ("bob", "tök")];

/// The lines of the header, and what comes of them.
const BEARER: &[(&[&str], &str)] = &[
    (&[], "401 missing-credential"),
    (&["Bearer s3cret-._~+/=="], "open alice by authorization"),
    (&["bearer x"], "open x by authorization"),
    (&["BEARER x"], "open x by authorization"),
    (&["Bearer X"], "401 invalid-credential"),
    (&["Bearer s3cret-._~+/="], "401 invalid-credential"),
    (&["Bearer"], "400 malformed-credential"),
    (&["Bearer "], "400 malformed-credential"),
    // Both RFCs write `1*SP`, so this is a token, not a mistake.
    (&["Bearer  x"], "open x by authorization"),
    // Only a space ends the name of a scheme, so these are in schemes that we do not know.
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
async fn bearer() {
    let site = Site::new(TOKENS, |auth| auth);
    run(&site, BEARER).await;
}

/// The vectors of RFC 7617 and of Python's `websockets`.
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
    // UTF-8, as the challenge asks for; then the same in Latin-1.
    (&["Basic dGVzdDoxMjPCow=="], "open test by authorization (basic)"),
    (&["Basic dGVzdDoxMjOj"], "400 malformed-credential"),
    // The first colon separates.
    (&["Basic YWxhZGRpbjpvcGVuOnNlc2FtZQ=="], "open aladdin by authorization (basic)"),
    // A password that is right, of somebody else.
    (&["Basic QWxhZGRpbjpvcGVuOnNlc2FtZQ=="], "401 invalid-credential"),
    (&["// Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="], "401 unsupported-scheme"),
    (&["Basic\tQWxhZGRpbjpvcGVuIHNlc2FtZQ=="], "401 unsupported-scheme"),
    (&["Basic ****"], "400 malformed-credential"),
    (&["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==//"], "400 malformed-credential"),
    (&["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ"], "400 malformed-credential"),
    (&["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ="], "400 malformed-credential"),
    // The last symbol has bits that belong to no byte.
    (&["Basic QWxhZGRpbjpvcGVuIHNlc2FtZR=="], "400 malformed-credential"),
    // The other alphabet.
    (&["Basic eDp4_w=="], "400 malformed-credential"),
    (&["Basic"], "400 malformed-credential"),
    (&["Basic "], "400 malformed-credential"),
    // `alice`, without a colon.
    (&["Basic YWxpY2U="], "400 malformed-credential"),
    // `x:x` and then a NUL, a CR, a DEL.
    (&["Basic eDp4AA=="], "400 malformed-credential"),
    (&["Basic eDp4DQ=="], "400 malformed-credential"),
    (&["Basic eDp4fw=="], "400 malformed-credential"),
    // `:x`. The verifier decides; this one knows no such name.
    (&["Basic Ong="], "401 invalid-credential"),
    // `x:` and `:`. RFC 7617 allows an empty password, and many a directory takes it for a stranger.
    (&["Basic eDo="], "400 malformed-credential"),
    (&["Basic Og=="], "400 malformed-credential"),
    (&["Basic eDp4", "Basic eDp4"], "400 malformed-credential"),
    // The password without a name.
    (&["Bearer x"], "open x by authorization"),
];

#[tokio::test]
async fn basic() {
    let reader = || Authorization::bearer().and_basic();
    let profile = || Profile::new("basic").carrier(reader());
    let site = Site::new(BASIC_TOKENS, |auth| auth.profile(profile()));
    run(&site, BASIC).await;
}

/// What a profile without Bearer makes of it.
#[tokio::test]
async fn basic_alone() {
    let profile = || Profile::new("basic").carrier(Authorization::basic());
    let site = Site::new(BASIC_TOKENS, |auth| auth.profile(profile()));
    run(
        &site,
        &[
            (&["Basic eDp4"], "open x by authorization (basic)"),
            (&["Bearer x"], "401 unsupported-scheme"),
        ],
    )
    .await;
}

/// HTTP/1.1 takes white space at the end of a line away before anybody reads it; HTTP/2 forbids it
/// (RFC 9113 §8.2.1), and nobody below us does.
#[tokio::test]
async fn white_space_at_the_end() {
    for (over, expected) in [
        (Over::Http1, "open x by authorization"),
        (Over::Http2, "400 malformed-credential"),
    ] {
        let site = Site::new(TOKENS, |auth| auth).only(over);
        run(&site, &[(&["Bearer x "], expected)]).await;
    }
}

/// Headers that look like ours, and are not.
#[tokio::test]
async fn other_headers_are_no_carrier() {
    let site = Site::new(TOKENS, |auth| auth);
    let mut table = Table::new();
    for name in [
        "proxy-authorization",
        "x-authorization",
        "authentication",
        "authorization_",
    ] {
        let outcome = site
            .ask(|client| client.websocket("/ws").header(name, "Bearer x"))
            .await;
        table.row(name, "401 missing-credential", outcome);
    }
    table.finish();
}

/// What the handler sees of it: nothing, whether it is a socket or a page.
#[tokio::test]
async fn the_handler_does_not_see_it() {
    let site = Site::new(TOKENS, |auth| auth);
    let socket = site.ask(|client| client.websocket("/ws").bearer("x")).await;
    assert_eq!(socket.verdict(), "open x by authorization");
    assert!(socket.left("authorization").is_empty());

    let page = site.ask(|client| client.get("/page").bearer("x")).await;
    assert_eq!(page.verdict(), "200 x by authorization");
    assert!(page.left("authorization").is_empty());
}

/// A line that goes on in the next one (RFC 9112 §5.2). No client of ours can send it.
#[tokio::test]
async fn a_folded_line_is_refused() {
    let site = Site::new(TOKENS, |auth| auth).only(Over::Http1);
    let handshake = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer\r\n x\r\n\r\n";
    for mut pipe in site.pipes() {
        pipe.write_all(handshake.as_bytes()).await.unwrap();
        let mut answer = String::new();
        pipe.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
}

async fn run(site: &Site, rows: &[(&[&str], &str)]) {
    let mut table = Table::new();
    for (lines, expected) in rows {
        let outcome = site
            .ask(|client| {
                lines.iter().fold(client.websocket("/ws"), |request, line| {
                    request.header(AUTHORIZATION, line.as_bytes())
                })
            })
            .await;
        table.row(lines, expected, outcome);
    }
    table.finish();
}
