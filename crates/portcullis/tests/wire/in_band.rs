//! `refuse_in_band`: a refusal that a page can read, and which of them stay in HTTP.

use std::future::Ready;
use std::time::Duration;

use portcullis::dialect::GraphqlWs;
use portcullis::session::SessionsBuilder;
use portcullis::testing::{TestClient, TestRequest};
use portcullis::{AuthLayer, Credential, Identity, Profile, VerifyError};

use crate::live::{Live, end_of, handlers};
use crate::secrets::Emitted;
use crate::site::{Over, every_carrier};
use crate::table::Table;

/// What is sent, and what a client is told by the registered codes and by those of graphql-ws; an
/// `HTTP` row is a status.
type Send = fn(&TestClient) -> TestRequest;

const ROWS: &[(&str, Send, &str, &str)] = &[
    (
        "missing",
        |client| client.websocket("/echo"),
        "3000",
        "pending",
    ),
    (
        "invalid",
        |client| client.websocket("/echo").bearer("wrong"),
        "3000",
        "4401",
    ),
    (
        "expired",
        |client| client.websocket("/echo").bearer("past"),
        "3000",
        "4403",
    ),
    (
        "forbidden",
        |client| client.websocket("/echo").bearer("forbidden"),
        "3003",
        "4403",
    ),
    (
        "unavailable",
        |client| client.websocket("/echo").bearer("down"),
        "1013",
        "1013",
    ),
    (
        "malformed",
        |client| client.websocket("/echo?token=%ff"),
        "3000",
        "4401",
    ),
    (
        "conflict",
        |client| client.websocket("/echo?token=a").bearer("b"),
        "3000",
        "4401",
    ),
    (
        "scheme",
        |client| {
            client
                .websocket("/echo")
                .header("authorization", "Digest x")
        },
        "3000",
        "4401",
    ),
    (
        "too large",
        |client| client.websocket("/echo").bearer(&"x".repeat(9_000)),
        "431",
        "431",
    ),
    (
        "foreign page",
        |client| {
            client
                .websocket("/echo")
                .header("cookie", "s=good")
                .origin("http://evil")
        },
        "403",
        "403",
    ),
    (
        "version",
        |client| {
            client
                .websocket("/echo")
                .bearer("wrong")
                .without("sec-websocket-version")
                .header("sec-websocket-version", "8")
        },
        "426",
        "426",
    ),
    (
        "no upgrade",
        |client| client.get("/echo").bearer("wrong"),
        "401",
        "401",
    ),
];

#[tokio::test(start_paused = true)]
async fn codes() {
    let mut table = Table::new();
    for over in Over::BOTH {
        for graphql in [false, true] {
            let live = Live::with(
                |it| it,
                |auth| {
                    let auth = auth.profile(every_carrier()).refuse_in_band();
                    match graphql {
                        true => auth.dialect(GraphqlWs::new()),
                        false => auth,
                    }
                },
            );
            live.grant("good", "alice", Duration::from_secs(60));
            live.tokens.set("past", Err(VerifyError::Expired));
            live.tokens.set("forbidden", Err(VerifyError::Forbidden));
            live.tokens.set("down", Err(VerifyError::unavailable()));
            for (name, send, registered, of_graphql) in ROWS {
                let expected = if graphql { of_graphql } else { registered };
                if *expected == "pending" {
                    continue;
                }
                for offers in [false, true] {
                    let request = || {
                        let request = send(&live.client(over));
                        match offers {
                            true => request.protocols(["chat.v9", "other"]),
                            false => request,
                        }
                    };
                    let row = (over, graphql, name, offers);
                    let told = match request().connect().await {
                        Ok(mut socket) => {
                            // A browser fails the connection unless one of its own is echoed.
                            let echo = socket.protocol().map(str::to_owned);
                            let expected = offers.then(|| "chat.v9".to_owned());
                            table.row((row, "echo"), format!("{expected:?}"), format!("{echo:?}"));
                            code_of(&end_of(&mut socket).await)
                        }
                        Err(response) => response.status().as_u16().to_string(),
                    };
                    table.row(row, expected, told);
                }
            }
            assert_eq!(live.ledger.all(), [""; 0], "the handler was called");
            assert!(live.sessions.is_empty());
        }
    }
    table.finish();
}

/// There is no room, which shows behind the layer: when the handler takes its socket. The code,
/// and the status without the setting.
#[tokio::test(start_paused = true)]
async fn no_room() {
    type Limit = fn(SessionsBuilder) -> SessionsBuilder;
    const LIMITS: &[(&str, Limit, &str)] = &[
        ("in all", |sessions| sessions.max_sessions(1), "503"),
        ("of a subject", |it| it.max_sessions_per_subject(1), "429"),
    ];
    let mut table = Table::new();
    for over in Over::BOTH {
        for (name, limit, status) in LIMITS {
            for (in_band, expected) in [(true, "1013"), (false, *status)] {
                let live = Live::with(limit, |auth| match in_band {
                    true => auth.refuse_in_band(),
                    false => auth,
                });
                live.grant("good", "alice", Duration::from_secs(60));
                let first = live.open(over, "/echo", "good").await;
                let second = live.client(over).websocket("/echo").bearer("good");
                let told = match second.protocols(["chat"]).connect().await {
                    Ok(mut socket) => {
                        assert_eq!(socket.protocol(), Some("chat"));
                        code_of(&end_of(&mut socket).await)
                    }
                    Err(response) => response.status().as_u16().to_string(),
                };
                table.row((over, name, in_band), expected, told);
                assert_eq!(live.sessions.len(), 1);
                drop(first);
            }
        }
    }
    table.finish();
}

/// Whoever is refused is in the log once, by whichever way: in HTTP and in band, by the layer and
/// behind it.
#[tokio::test(start_paused = true)]
async fn refusals_are_told() {
    for in_band in [false, true] {
        let log = Emitted::default();
        let live = Live::with(
            |sessions| sessions.max_sessions(0),
            |auth| match in_band {
                true => auth.refuse_in_band(),
                false => auth,
            },
        );
        live.grant("good", "alice", Duration::from_secs(60));
        let _capturing = log.capture();
        for token in ["wrong", "good"] {
            let request = live.client(Over::Http1).websocket("/echo").bearer(token);
            drop(request.connect().await);
        }
        let written = log.text();
        let told: Vec<_> = written.lines().filter(|it| it.contains("kind=")).collect();
        assert_eq!(told.len(), 2, "{written}");
        assert!(
            told[0].contains(r#"kind="invalid-credential""#),
            "{written}"
        );
        assert!(told[0].contains("profile="), "{written}");
        assert!(told[1].contains(r#"kind="server-full""#), "{written}");
    }
}

/// A verifier that panics is none that can tell, as one is that has no answer.
#[tokio::test(start_paused = true)]
async fn panicking_verifier() {
    for over in Over::BOTH {
        let verifier = |_: Credential| -> Ready<Result<Identity, VerifyError>> { panic!("broken") };
        let auth = AuthLayer::new(verifier).refuse_in_band();
        let app = handlers().route_layer(auth);
        let refused = over.client(app).websocket("/echo").bearer("good");
        let mut socket = refused.connect().await.unwrap();
        assert_eq!(code_of(&end_of(&mut socket).await), "1013", "{over:?}");
    }
}

fn code_of(end: &str) -> String {
    end.split(' ').next().unwrap_or_default().to_owned()
}

/// The codes of a profile, and what stays as it is without the setting.
#[tokio::test(start_paused = true)]
async fn by_profile() {
    for over in Over::BOTH {
        let phoenix = Live::with(
            |it| it,
            |auth| auth.profile(Profile::phoenix()).refuse_in_band(),
        );
        let refused = phoenix
            .client(over)
            .websocket("/echo")
            .protocols(["phoenix"]);
        let mut socket = refused.connect().await.unwrap();
        assert_eq!(socket.protocol(), Some("phoenix"));
        assert!(end_of(&mut socket).await.starts_with("3000 "));

        let plain = Live::new(|it| it);
        let refused = plain.client(over).websocket("/echo").connect().await;
        assert_eq!(refused.unwrap_err().status(), 401);
    }
}
