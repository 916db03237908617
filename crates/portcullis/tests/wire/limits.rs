//! The limits of a request: a value below or at the limit is accepted, one above it is a 431. The
//! accepted credentials are wrong, so they are a 401.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis::carrier::{MAX_COOKIES, MAX_CREDENTIAL, MAX_ENTRIES, MAX_PAIRS};
use portcullis::testing::{TestClient, TestRequest};

use crate::support::{HttpVersion, Matrix, Table, bearer_entry, every_carrier};

const TOKENS: &[(&str, &str)] = &[("alice", "s3cret")];
const INVALID: &str = "401 invalid-credential";
const TOO_LARGE: &str = "431 too-large";

type Sender = fn(&TestClient, &str) -> TestRequest;

/// How a token is sent.
const CREDENTIALS: &[(&str, Sender)] = &[
    ("Bearer", |client, token| {
        client.websocket("/ws").bearer(token)
    }),
    // The limit includes the user name and the colon.
    ("Basic", |client, token| {
        let pair = STANDARD.encode(format!("n:{}", &token[2..]));
        client
            .websocket("/ws")
            .header("authorization", format!("Basic {pair}"))
    }),
    ("subprotocol", |client, token| {
        let entry = bearer_entry(token);
        client.websocket("/ws").protocols(["other", &entry])
    }),
    ("query", |client, token| {
        client.websocket(&format!("/ws?token={token}"))
    }),
    // The limit applies to the decoded token.
    ("query, encoded", |client, token| {
        client.websocket(&format!("/ws?token=%78{}", &token[1..]))
    }),
];

#[tokio::test]
async fn credential_above_the_size_limit_is_refused() {
    let matrix = Matrix::new(TOKENS, |auth| auth.profile(every_carrier()));
    let mut table = Table::new();
    for (name, send) in CREDENTIALS {
        for (length, expected) in [
            (MAX_CREDENTIAL - 1, INVALID),
            (MAX_CREDENTIAL, INVALID),
            (MAX_CREDENTIAL + 1, TOO_LARGE),
        ] {
            let token = "x".repeat(length);
            let outcome = matrix.send(|client| send(client, &token)).await;
            table.row((name, length), expected, &outcome);
            let calls = usize::from(expected == INVALID);
            table.row(
                (name, length, "verifier calls"),
                calls,
                outcome.verifier_calls,
            );
        }
    }
    table.finish();
}

/// Over HTTP/2 hyper refuses headers above 16 KiB.
#[tokio::test]
async fn credential_far_above_the_limit_is_refused_over_http1() {
    let matrix = Matrix::new(TOKENS, |auth| auth.profile(every_carrier())).only(HttpVersion::Http1);
    let mut table = Table::new();
    for (name, send) in CREDENTIALS {
        for length in [20_000, 45_000] {
            let token = ".".repeat(length);
            let outcome = matrix.send(|client| send(client, &token)).await;
            table.row((name, length), TOO_LARGE, outcome);
        }
    }
    // Every byte of the token is encoded in three.
    for (length, expected) in [(MAX_CREDENTIAL, INVALID), (MAX_CREDENTIAL + 1, TOO_LARGE)] {
        let encoded = "%78".repeat(length);
        let outcome = matrix
            .send(|client| client.websocket(&format!("/ws?token={encoded}")))
            .await;
        table.row(("query, all encoded", length), expected, outcome);
    }
    // 400 KB of dots: a JWT library would split them into as many parts.
    let dots = ".".repeat(400_000);
    let outcome = matrix
        .send(|client| client.websocket("/ws").bearer(&dots))
        .await;
    table.row("400,000 dots", TOO_LARGE, outcome);
    table.finish();
}

/// The limit applies to all lines of `Cookie` together.
#[tokio::test]
async fn cookies_above_the_size_limit_are_refused() {
    let matrix = Matrix::new(TOKENS, |auth| auth.profile(every_carrier())).only(HttpVersion::Http1);
    let mut table = Table::new();
    for (length, expected) in [
        (MAX_COOKIES - 1, "open alice by cookie"),
        (MAX_COOKIES, "open alice by cookie"),
        (MAX_COOKIES + 1, TOO_LARGE),
    ] {
        let session = "s=s3cret; ";
        let one = format!("{session}a={}", "x".repeat(length - session.len() - 2));
        let first = format!("a={}", "x".repeat(5_000));
        let second = format!(
            "{session}b={}",
            "x".repeat(length - first.len() - session.len() - 2)
        );
        let page = |client: &TestClient| client.websocket("/ws").origin("http://localhost");

        let outcome = matrix
            .send(|client| page(client).header("cookie", &one))
            .await;
        table.row(("one line", length), expected, outcome);
        let outcome = matrix
            .send(|client| {
                page(client)
                    .header("cookie", &first)
                    .header("cookie", &second)
            })
            .await;
        table.row(("two lines", length), expected, outcome);
    }
    // A plain cookie has the limit of a credential. Browsers limit cookies to 4096 bytes, and a
    // sealed cookie is never longer.
    for (length, expected) in [
        (4_097, INVALID),
        (MAX_CREDENTIAL, INVALID),
        (MAX_CREDENTIAL + 1, TOO_LARGE),
    ] {
        let line = format!("s={}", "x".repeat(length));
        let page = |client: &TestClient| client.websocket("/ws").origin("http://localhost");
        let outcome = matrix
            .send(|client| page(client).header("cookie", &line))
            .await;
        table.row(("value", length), expected, outcome);
    }
    table.finish();

    // Over HTTP/2 hyper refuses this before the layer is called.
    let client = HttpVersion::Http2.client(axum::Router::new());
    let line = format!("s={}", "x".repeat(MAX_COOKIES));
    let response = client.get("/").header("cookie", line).send().await;
    assert_eq!(response.status(), 431);
}

/// The limit applies to all lines of `Sec-WebSocket-Protocol` together.
#[tokio::test]
async fn too_many_subprotocol_entries_are_refused() {
    const OPEN: &str = "open alice by subprotocol";
    let matrix = Matrix::new(TOKENS, |auth| auth.profile(every_carrier()));
    let mut table = Table::new();
    for (count, with_token, without) in [
        (MAX_ENTRIES - 1, OPEN, "401 missing-credential"),
        (MAX_ENTRIES, OPEN, "401 missing-credential"),
        (MAX_ENTRIES + 1, TOO_LARGE, TOO_LARGE),
        (2_000, TOO_LARGE, TOO_LARGE),
    ] {
        let others = vec!["o"; count - 1];
        let token = "v1.bearer.czNjcmV0";
        let rows = [
            (with_token, vec![[&[token], &*others].concat()]),
            (with_token, vec![[&*others, &[token]].concat()]),
            (with_token, vec![others.clone(), vec![token]]),
            (without, vec![[&*others, &["o"]].concat()]),
        ];
        for (expected, lines) in rows {
            let outcome = matrix
                .send(|client| {
                    lines.iter().fold(client.websocket("/ws"), |request, line| {
                        request.protocols(line.iter().copied())
                    })
                })
                .await;
            table.row((count, lines), expected, outcome);
        }
    }
    // Empty entries do not count (RFC 9110 §5.6.1.2).
    let commas = ",".repeat(10_000);
    let outcome = matrix
        .send(|client| {
            let request = client
                .websocket("/ws")
                .protocols(["v1.bearer.czNjcmV0", "o"]);
            request.header("sec-websocket-protocol", &commas)
        })
        .await;
    table.row("10,000 commas", OPEN, outcome);
    table.finish();
}

#[tokio::test]
async fn too_many_query_pairs_are_refused() {
    const OPEN: &str = "open alice by query";
    let matrix = Matrix::new(TOKENS, |auth| auth.profile(every_carrier()));
    let mut table = Table::new();
    for (count, with_token, without) in [
        (MAX_PAIRS - 1, OPEN, "401 missing-credential"),
        (MAX_PAIRS, OPEN, "401 missing-credential"),
        (MAX_PAIRS + 1, TOO_LARGE, TOO_LARGE),
        (5_000, TOO_LARGE, TOO_LARGE),
    ] {
        let others = "&a".repeat(count - 1);
        for (expected, uri) in [
            (with_token, format!("/ws?token=s3cret{others}")),
            (with_token, format!("/ws?{}&token=s3cret", &others[1..])),
            (without, format!("/ws?a{others}")),
        ] {
            let outcome = matrix.send(|client| client.websocket(&uri)).await;
            table.row((count, uri), expected, outcome);
        }
    }
    table.finish();
}
