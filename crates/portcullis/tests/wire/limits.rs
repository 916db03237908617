//! The most that a request may have: one less passes, the limit passes, one more is a 431. A
//! credential that passes is wrong, so it is a 401.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use portcullis::carrier::{MAX_COOKIES, MAX_CREDENTIAL, MAX_ENTRIES, MAX_PAIRS};
use portcullis::testing::{TestClient, TestRequest};

use crate::site::{Over, Site, every_carrier};
use crate::table::Table;

const TOKENS: &[(&str, &str)] = &[("alice", "s3cret")];
const INVALID: &str = "401 invalid-credential";
const TOO_LARGE: &str = "431 too-large";

type Sender = fn(&TestClient, &str) -> TestRequest;

/// The way a token is sent, and what comes of 8191, 8192, 8193 and 20,000 bytes.
const CREDENTIALS: &[(&str, Sender)] = &[
    ("Bearer", |client, token| {
        client.websocket("/ws").bearer(token)
    }),
    // A name and a colon are parts of it.
    ("Basic", |client, token| {
        let pair = STANDARD.encode(format!("n:{}", &token[2..]));
        client
            .websocket("/ws")
            .header("authorization", format!("Basic {pair}"))
    }),
    ("subprotocol", |client, token| {
        let entry = format!("v1.bearer.{}", URL_SAFE_NO_PAD.encode(token));
        client.websocket("/ws").protocols(["other", &entry])
    }),
    ("query", |client, token| {
        client.websocket(&format!("/ws?token={token}"))
    }),
    // Behind the eighth byte it is the length after decoding that counts.
    ("query, encoded", |client, token| {
        client.websocket(&format!("/ws?token=%78{}", &token[1..]))
    }),
];

#[tokio::test]
async fn credentials() {
    let site = Site::new(TOKENS, |auth| auth.profile(every_carrier()));
    let mut table = Table::new();
    for (name, send) in CREDENTIALS {
        for (length, expected) in [
            (MAX_CREDENTIAL - 1, INVALID),
            (MAX_CREDENTIAL, INVALID),
            (MAX_CREDENTIAL + 1, TOO_LARGE),
        ] {
            let token = "x".repeat(length);
            let outcome = site.ask(|client| send(client, &token)).await;
            table.row((name, length), expected, &outcome);
            let asked = usize::from(expected == INVALID);
            table.row((name, length, "asked"), asked, outcome.asked);
        }
    }
    table.finish();
}

/// What HTTP/2 does not let through: 16 KiB of headers are hyper's limit there.
#[tokio::test]
async fn what_only_http1_lets_through() {
    let site = Site::new(TOKENS, |auth| auth.profile(every_carrier())).only(Over::Http1);
    let mut table = Table::new();
    for (name, send) in CREDENTIALS {
        for length in [20_000, 45_000] {
            let token = ".".repeat(length);
            let outcome = site.ask(|client| send(client, &token)).await;
            table.row((name, length), TOO_LARGE, outcome);
        }
    }
    // Every byte of the token in three.
    for (length, expected) in [(MAX_CREDENTIAL, INVALID), (MAX_CREDENTIAL + 1, TOO_LARGE)] {
        let encoded = "%78".repeat(length);
        let outcome = site
            .ask(|client| client.websocket(&format!("/ws?token={encoded}")))
            .await;
        table.row(("query, all encoded", length), expected, outcome);
    }
    // 400 KB of dots: a JWT library would split it into as many parts.
    let dots = ".".repeat(400_000);
    let outcome = site
        .ask(|client| client.websocket("/ws").bearer(&dots))
        .await;
    table.row("400,000 dots", TOO_LARGE, outcome);
    table.finish();
}

/// All lines of the `Cookie` together.
#[tokio::test]
async fn cookies() {
    let site = Site::new(TOKENS, |auth| auth.profile(every_carrier())).only(Over::Http1);
    let mut table = Table::new();
    for (length, expected) in [
        (MAX_COOKIES - 1, "open alice by cookie"),
        (MAX_COOKIES, "open alice by cookie"),
        (MAX_COOKIES + 1, TOO_LARGE),
    ] {
        let ours = "s=s3cret; ";
        let one = format!("{ours}a={}", "x".repeat(length - ours.len() - 2));
        let first = format!("a={}", "x".repeat(5_000));
        let second = format!(
            "{ours}b={}",
            "x".repeat(length - first.len() - ours.len() - 2)
        );
        let page = |client: &TestClient| client.websocket("/ws").origin("http://localhost");

        let outcome = site.ask(|client| page(client).header("cookie", &one)).await;
        table.row(("one line", length), expected, outcome);
        let outcome = site
            .ask(|client| {
                page(client)
                    .header("cookie", &first)
                    .header("cookie", &second)
            })
            .await;
        table.row(("two lines", length), expected, outcome);
    }
    // A plain cookie is one credential. That no cookie has more than 4096 bytes is the browser's
    // limit, and a sealed one keeps to it.
    for (length, expected) in [
        (4_097, INVALID),
        (MAX_CREDENTIAL, INVALID),
        (MAX_CREDENTIAL + 1, TOO_LARGE),
    ] {
        let line = format!("s={}", "x".repeat(length));
        let page = |client: &TestClient| client.websocket("/ws").origin("http://localhost");
        let outcome = site
            .ask(|client| page(client).header("cookie", &line))
            .await;
        table.row(("value", length), expected, outcome);
    }
    table.finish();

    // Over HTTP/2 so much is refused before it reaches us.
    let client = Over::Http2.client(axum::Router::new());
    let line = format!("s={}", "x".repeat(MAX_COOKIES));
    let response = client.get("/").header("cookie", line).send().await;
    assert_eq!(response.status(), 431);
}

/// Entries of `Sec-WebSocket-Protocol`, over all lines.
#[tokio::test]
async fn entries() {
    const OPEN: &str = "open alice by subprotocol";
    let site = Site::new(TOKENS, |auth| auth.profile(every_carrier()));
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
            let outcome = site
                .ask(|client| {
                    lines.iter().fold(client.websocket("/ws"), |request, line| {
                        request.protocols(line.iter().copied())
                    })
                })
                .await;
            table.row((count, lines), expected, outcome);
        }
    }
    // Empty ones are none (RFC 9110 §5.6.1.2).
    let commas = ",".repeat(10_000);
    let outcome = site
        .ask(|client| {
            let request = client
                .websocket("/ws")
                .protocols(["v1.bearer.czNjcmV0", "o"]);
            request.header("sec-websocket-protocol", &commas)
        })
        .await;
    table.row("10,000 commas", OPEN, outcome);
    table.finish();
}

/// Parameters of the query.
#[tokio::test]
async fn pairs() {
    const OPEN: &str = "open alice by query";
    let site = Site::new(TOKENS, |auth| auth.profile(every_carrier()));
    let mut table = Table::new();
    for (count, with_token, without) in [
        (MAX_PAIRS - 1, OPEN, "401 missing-credential"),
        (MAX_PAIRS, OPEN, "401 missing-credential"),
        (MAX_PAIRS + 1, TOO_LARGE, TOO_LARGE),
        (5_000, TOO_LARGE, TOO_LARGE),
    ] {
        let others = "&a".repeat(count - 1);
        for (expected, address) in [
            (with_token, format!("/ws?token=s3cret{others}")),
            (with_token, format!("/ws?{}&token=s3cret", &others[1..])),
            (without, format!("/ws?a{others}")),
        ] {
            let outcome = site.ask(|client| client.websocket(&address)).await;
            table.row((count, address), expected, outcome);
        }
    }
    table.finish();
}
