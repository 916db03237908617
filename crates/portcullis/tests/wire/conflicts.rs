//! More than one credential: RFC 6750 §2. Two different explicit ones are a mistake and no race,
//! and nothing rescues a bad one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::testing::{TestClient, TestRequest};

use crate::outcome::Outcome;
use crate::site::{Site, every_carrier};
use crate::table::Table;

/// A carrier of the profile, in its order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum By {
    Bearer,
    Basic,
    Subprotocol,
    Query,
    Cookie,
}

use By::{Basic, Bearer, Cookie as Cookies, Query as Queries, Subprotocol as Subprotocols};

const TOKENS: &[(&str, &str)] = &[
    ("alice", "s3cret"),
    ("alice", "an0ther"),
    ("bob", "hunter2"),
];

const CONFLICT: &str = "400 conflicting-credentials";
const MALFORMED: &str = "400 malformed-credential";
const INVALID: &str = "401 invalid-credential";
const BEARER: &str = "open alice by authorization";
const BASIC: &str = "open alice by authorization (basic)";
const SUBPROTOCOL: &str = "open alice by subprotocol";
const QUERY: &str = "open alice by query";
const COOKIE: &str = "open alice by cookie";

/// Two carriers, and what comes of them if they bear: the same credential; two of one subject; two
/// of two subjects; a bad one in the first; a bad one in the second.
#[rustfmt::skip]
const ROWS: &[(By, By, [&str; 5])] = &[
    // One header in two lines.
    (Bearer, Bearer, [MALFORMED; 5]),
    (Bearer, Basic, [MALFORMED; 5]),
    (Basic, Basic, [MALFORMED; 5]),
    // The same token twice is one credential: VS Code sends the header and the query.
    (Bearer, Subprotocols, [BEARER, CONFLICT, CONFLICT, CONFLICT, CONFLICT]),
    (Bearer, Queries, [BEARER, CONFLICT, CONFLICT, CONFLICT, CONFLICT]),
    (Subprotocols, Queries, [SUBPROTOCOL, CONFLICT, CONFLICT, CONFLICT, CONFLICT]),
    // A password has a name beside it, so it is never the same as a token.
    (Basic, Subprotocols, [CONFLICT; 5]),
    (Basic, Queries, [CONFLICT; 5]),
    // Twice in one carrier is malformed, also if both are the same.
    (Subprotocols, Subprotocols, [MALFORMED; 5]),
    (Queries, Queries, [MALFORMED; 5]),
    (Cookies, Cookies, [MALFORMED; 5]),
    // A cookie beside an explicit credential decides nothing, and rescues nothing.
    (Bearer, Cookies, [BEARER, BEARER, BEARER, INVALID, BEARER]),
    (Basic, Cookies, [BASIC, BASIC, BASIC, INVALID, BASIC]),
    (Subprotocols, Cookies, [SUBPROTOCOL, SUBPROTOCOL, SUBPROTOCOL, INVALID, SUBPROTOCOL]),
    (Queries, Cookies, [QUERY, QUERY, QUERY, INVALID, QUERY]),
];

#[tokio::test]
async fn pairs() {
    let site = Site::new(TOKENS, |auth| auth.profile(every_carrier()));
    let pairs = [
        ["s3cret", "s3cret"],
        ["s3cret", "an0ther"],
        ["s3cret", "hunter2"],
        ["wrong", "s3cret"],
        ["s3cret", "wrong"],
    ];
    let mut table = Table::new();
    for (first, second, expected) in ROWS {
        for (tokens, expected) in pairs.iter().zip(expected) {
            let outcome = site
                .ask(|client| handshake(client, &[(*first, tokens[0]), (*second, tokens[1])]))
                .await;
            table.row((first, second, tokens), expected, &outcome);
            assert_clean(&outcome);
        }
    }
    table.finish();
}

/// Whichever carrier decides, all of them are emptied.
#[tokio::test]
async fn more_than_two() {
    let token = |by| (by, "s3cret");
    #[rustfmt::skip]
    let rows: [(&[(By, &str)], &str); 6] = [
        (&[token(Cookies)], COOKIE),
        (&[token(Bearer), token(Subprotocols), token(Queries), token(Cookies)], BEARER),
        (&[token(Subprotocols), token(Queries), token(Cookies)], SUBPROTOCOL),
        (&[token(Bearer), token(Subprotocols), (Queries, "hunter2")], CONFLICT),
        (&[token(Bearer), token(Subprotocols), (Cookies, "wrong")], BEARER),
        (&[(Queries, "wrong"), (Bearer, "wrong"), token(Cookies)], INVALID),
    ];
    let site = Site::new(TOKENS, |auth| auth.profile(every_carrier()));
    let mut table = Table::new();
    for (sent, expected) in rows {
        let outcome = site.ask(|client| handshake(client, sent)).await;
        table.row(sent, expected, &outcome);
        assert_clean(&outcome);
    }
    table.finish();
}

/// Adds something that cannot be read.
type Add = fn(TestRequest) -> TestRequest;

/// What cannot be read is not rescued either, and a broken cookie spoils no token.
#[tokio::test]
async fn malformed_ones() {
    let site = Site::new(TOKENS, |auth| auth.profile(every_carrier()));
    let good = |client: &TestClient, by| handshake(client, &[(by, "s3cret")]);
    let mut table = Table::new();
    for by in [Bearer, Basic, Subprotocols, Queries, Cookies] {
        let broken: [(&str, Add, &str); 4] = [
            (
                "Digest",
                |r| r.header("authorization", "Digest x"),
                "401 unsupported-scheme",
            ),
            (
                "Bearer =",
                |r| r.header("authorization", "Bearer ="),
                MALFORMED,
            ),
            (
                "v1.bearer.~",
                |r| r.header("sec-websocket-protocol", "v1.bearer.~"),
                MALFORMED,
            ),
            ("s=\"", |r| r.header("cookie", "s=\""), MALFORMED),
        ];
        for (name, add, expected) in broken {
            let expected = match (by, name) {
                // Two lines, whatever is in them.
                (Bearer | Basic, "Digest") => MALFORMED,
                (Bearer, "s=\"") => BEARER,
                (Basic, "s=\"") => BASIC,
                (Subprotocols, "s=\"") => SUBPROTOCOL,
                (Queries, "s=\"") => QUERY,
                _ => expected,
            };
            let outcome = site.ask(|client| add(good(client, by))).await;
            table.row((by, name), expected, &outcome);
            assert_clean(&outcome);
        }
    }
    table.finish();
}

/// A handshake of our own page, with a protocol of the application beside whatever bears a token.
fn handshake(client: &TestClient, credentials: &[(By, &str)]) -> TestRequest {
    let queries = credentials.iter().filter(|(by, _)| *by == Queries);
    let query: Vec<_> = queries.map(|(_, token)| format!("token={token}")).collect();
    let request = client.websocket(&format!("/ws?{}", query.join("&")));
    let request = request.origin("http://localhost").protocols(["other"]);
    let others = credentials.iter().filter(|(by, _)| *by != Queries);
    others.fold(request, |request, (by, token)| match by {
        Bearer => request.bearer(token),
        Basic => request.basic("alice", token),
        Subprotocols => {
            let entry = format!("v1.bearer.{}", URL_SAFE_NO_PAD.encode(token));
            request.protocols([&*entry])
        }
        Cookies => request.header("cookie", format!("s={token}")),
        Queries => unreachable!("is in the address"),
    })
}

/// No carrier is left, whichever decided.
fn assert_clean(outcome: &Outcome) {
    if outcome.seen.is_some() {
        assert!(outcome.left("authorization").is_empty(), "{outcome:?}");
        assert!(outcome.left("cookie").is_empty(), "{outcome:?}");
        assert_eq!(outcome.left("sec-websocket-protocol"), ["other"]);
        let (address, original) = outcome.addresses();
        assert!(!address.contains("token") && !original.contains("token"));
    }
}
