//! `refuse_in_band`: a page can read the code of a close frame, but not the status of a refusal.
//! Some refusals stay HTTP responses.

use std::future::Ready;

use portcullis::dialect::GraphqlWs;
use portcullis::session::SessionsBuilder;
use portcullis::testing::{TestClient, TestRequest};
use portcullis::{AuthLayer, Credential, Identity, Profile, VerifyError};

use crate::support::{
    CapturedLog, HttpVersion, MINUTE, Table, TestServer, every_carrier, handlers, wait_for_close,
};

type Build = fn(&TestClient) -> TestRequest;

/// A name, the request, and its close code in the default profile and in the graphql-ws dialect. A
/// code below 1000 is the status of an HTTP response. `pending` is a socket that opens.
const ROWS: &[(&str, Build, &str, &str)] = &[
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
        |client| client.websocket("/echo").bearer("expired"),
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
        |client| client.websocket("/echo").bearer("unavailable"),
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
        "foreign origin",
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
async fn refusal_closes_the_socket_with_a_code() {
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        for graphql in [false, true] {
            let server = TestServer::with_layer(
                |it| it,
                |auth| {
                    let auth = auth.profile(every_carrier()).refuse_in_band();
                    match graphql {
                        true => auth.dialect(GraphqlWs::new()),
                        false => auth,
                    }
                },
            );
            server.accept("good", "alice", MINUTE);
            for (token, error) in [
                ("expired", VerifyError::Expired),
                ("forbidden", VerifyError::Forbidden),
                ("unavailable", VerifyError::unavailable()),
            ] {
                server.tokens.set(token, Err(error));
            }
            for (name, build, by_default, by_graphql) in ROWS {
                let expected = if graphql { by_graphql } else { by_default };
                if *expected == "pending" {
                    continue;
                }
                for offers in [false, true] {
                    let request = || {
                        let request = build(&server.client(version));
                        match offers {
                            true => request.protocols(["chat.v9", "other"]),
                            false => request,
                        }
                    };
                    let row = (version, graphql, name, offers);
                    let actual = match request().connect().await {
                        Ok(mut socket) => {
                            // A browser fails the connection unless an offered one is echoed.
                            let echo = socket.protocol().map(str::to_owned);
                            let expected = offers.then(|| "chat.v9".to_owned());
                            table.row((row, "echo"), format!("{expected:?}"), format!("{echo:?}"));
                            code_of(&wait_for_close(&mut socket).await)
                        }
                        Err(response) => response.status().as_u16().to_string(),
                    };
                    table.row(row, expected, actual);
                }
            }
            assert_eq!(server.events.all(), [""; 0], "a session was opened");
            assert!(server.sessions.is_empty());
        }
    }
    table.finish();
}

/// `GuardedUpgrade` checks the session limits, after the layer. Each row has the status without
/// `refuse_in_band`.
#[tokio::test(start_paused = true)]
async fn session_limit_closes_the_socket_with_a_code() {
    type Limit = fn(SessionsBuilder) -> SessionsBuilder;
    const LIMITS: &[(&str, Limit, &str)] = &[
        ("in total", |sessions| sessions.max_sessions(1), "503"),
        ("per subject", |it| it.max_sessions_per_subject(1), "429"),
    ];
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        for (name, limit, status) in LIMITS {
            for (in_band, expected) in [(true, "1013"), (false, *status)] {
                let server = TestServer::with_layer(limit, |auth| match in_band {
                    true => auth.refuse_in_band(),
                    false => auth,
                });
                server.accept("good", "alice", MINUTE);
                let first = server.open(version, "/echo", "good").await;
                let second = server.client(version).websocket("/echo").bearer("good");
                let actual = match second.protocols(["chat"]).connect().await {
                    Ok(mut socket) => {
                        assert_eq!(socket.protocol(), Some("chat"));
                        code_of(&wait_for_close(&mut socket).await)
                    }
                    Err(response) => response.status().as_u16().to_string(),
                };
                table.row((version, name, in_band), expected, actual);
                assert_eq!(server.sessions.len(), 1);
                drop(first);
            }
        }
    }
    table.finish();
}

/// The layer and `GuardedUpgrade` log each refusal, in HTTP and in band.
#[tokio::test(start_paused = true)]
async fn each_refusal_is_logged_once() {
    for in_band in [false, true] {
        let log = CapturedLog::default();
        let server = TestServer::with_layer(
            |sessions| sessions.max_sessions(0),
            |auth| match in_band {
                true => auth.refuse_in_band(),
                false => auth,
            },
        );
        server.accept("good", "alice", MINUTE);
        let _guard = log.capture();
        for token in ["wrong", "good"] {
            let request = server
                .client(HttpVersion::Http1)
                .websocket("/echo")
                .bearer(token);
            drop(request.connect().await);
        }
        let text = log.text();
        let refusals: Vec<_> = text.lines().filter(|it| it.contains("kind=")).collect();
        assert_eq!(refusals.len(), 2, "{text}");
        let kinds = [r#"kind="invalid-credential""#, r#"kind="server-full""#];
        for (refusal, kind) in refusals.iter().zip(kinds) {
            assert!(refusal.contains(kind), "{text}");
        }
        assert!(refusals[0].contains("profile="), "{text}");
    }
}

/// The close code is that of an unavailable verifier.
#[tokio::test(start_paused = true)]
async fn panicking_verifier_closes_the_socket_with_1013() {
    for version in HttpVersion::ALL {
        let verifier = |_: Credential| -> Ready<Result<Identity, VerifyError>> { panic!("broken") };
        let auth = AuthLayer::new(verifier).refuse_in_band();
        let app = handlers().route_layer(auth);
        let refused = version.client(app).websocket("/echo").bearer("good");
        let mut socket = refused.connect().await.unwrap();
        assert_eq!(
            code_of(&wait_for_close(&mut socket).await),
            "1013",
            "{version:?}"
        );
    }
}

fn code_of(close: &str) -> String {
    close.split(' ').next().unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn in_band_refusal_follows_the_profile_and_is_off_by_default() {
    for version in HttpVersion::ALL {
        let phoenix = TestServer::with_layer(
            |it| it,
            |auth| auth.profile(Profile::phoenix()).refuse_in_band(),
        );
        let refused = phoenix
            .client(version)
            .websocket("/echo")
            .protocols(["phoenix"]);
        let mut socket = refused.connect().await.unwrap();
        assert_eq!(socket.protocol(), Some("phoenix"));
        assert!(wait_for_close(&mut socket).await.starts_with("3000 "));

        let plain = TestServer::new(|it| it);
        let refused = plain.client(version).websocket("/echo").connect().await;
        assert_eq!(refused.unwrap_err().status(), 401);
    }
}
