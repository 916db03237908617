//! Sockets whose client has yet to say who it is: T32, T33, and the lifetimes and codes of each
//! dialect. Nothing of the application is sent or delivered before the identity stands.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use bytes::Bytes;
use portcullis::dialect::{Ddp, Dialect, Fhir, FirstMessage, GraphqlWs, InBandRenewal};
use portcullis::testing::{Message, TestClient, TestSocket};
use portcullis::{AuthLayer, CloseCodes, GuardedUpgrade, Identity, Profile, VerifyError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::live::{Live, Tokens, end_of, settle};
use crate::site::Over;
use crate::table::Table;

const SECOND: Duration = Duration::from_secs(1);

/// A server that says `hello` once it knows who is there, and echoes.
struct Site {
    app: Router,
    calls: Arc<AtomicUsize>,
    tokens: Tokens,
}

impl Site {
    fn new(
        dialect: impl Dialect,
        layer: impl FnOnce(AuthLayer<Tokens>) -> AuthLayer<Tokens>,
    ) -> Self {
        let tokens = Tokens::default();
        tokens.set("good", Ok(Identity::new("alice")));
        tokens.set("past", Err(VerifyError::Expired));
        tokens.set("forbidden", Err(VerifyError::Forbidden));
        tokens.set("down", Err(VerifyError::unavailable()));
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let ws = move |upgrade: GuardedUpgrade| {
            let calls = Arc::clone(&counted);
            async move {
                upgrade.on_upgrade(async move |mut socket| {
                    calls.fetch_add(1, Ordering::SeqCst);
                    let _ = socket.send("hello".into()).await;
                    while let Some(Ok(message)) = socket.recv().await {
                        if socket.send(message).await.is_err() {
                            return;
                        }
                    }
                })
            }
        };
        let auth = layer(AuthLayer::new(tokens.clone()).dialect(dialect));
        let app = Router::new().route("/ws", any(ws)).route_layer(auth);
        Self { app, calls, tokens }
    }

    fn client(&self, over: Over) -> TestClient {
        over.client(self.app.clone())
    }

    async fn open(&self, over: Over) -> TestSocket {
        self.client(over).websocket("/ws").connect().await.unwrap()
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

/// Everything but the credential: how it ends, and after how many seconds.
#[tokio::test(start_paused = true)]
async fn slow_and_loud_clients() {
    const LATE: &str = "3008 no credential in time";
    const TOO_BIG: &str = "1009 message too big";
    let mut table = Table::new();
    for over in Over::BOTH {
        for (name, expected, seconds) in [
            ("silent", LATE, 5),
            ("ping every second", LATE, 5),
            ("a byte a second", LATE, 5),
            ("64 MiB declared", TOO_BIG, 0),
            ("17 KiB", TOO_BIG, 0),
            ("a flood of empty fragments", TOO_BIG, 0),
            ("binary", "3000 say who you are first", 0),
            ("empty", "3000 say who you are first", 0),
        ] {
            let site = Site::new(FirstMessage::token(), |auth| auth);
            let start = Instant::now();
            let mut socket = site.open(over).await;
            let end = match name {
                "ping every second" => {
                    for _ in 0..5 {
                        let _ = socket.send(Message::Ping(Bytes::new())).await;
                        let answer = tokio::time::timeout(SECOND, socket.recv()).await;
                        assert!(
                            matches!(answer, Ok(Some(Ok(Message::Pong(_))))),
                            "{answer:?}"
                        );
                        tokio::time::sleep(SECOND).await;
                    }
                    end_of(&mut socket).await
                }
                "a byte a second" | "64 MiB declared" | "a flood of empty fragments" => {
                    if over == Over::Http2 {
                        continue;
                    }
                    let bytes = match name {
                        "a byte a second" => b"\x81\x84\0\0\0\0good".to_vec(),
                        "64 MiB declared" => b"\x81\xff\0\0\0\0\x04\0\0\0\0\0\0\0x".to_vec(),
                        _ => [
                            b"\x01\x80\0\0\0\0".as_slice(),
                            &b"\0\x80\0\0\0\0".repeat(10_000),
                        ]
                        .concat(),
                    };
                    raw_end(&site, &bytes, name == "a byte a second").await
                }
                "17 KiB" => {
                    let _ = socket.send("x".repeat(17 * 1024)).await;
                    end_of(&mut socket).await
                }
                "binary" => {
                    socket.send(b"good".to_vec()).await.unwrap();
                    end_of(&mut socket).await
                }
                "empty" => {
                    socket.send("").await.unwrap();
                    end_of(&mut socket).await
                }
                _ => end_of(&mut socket).await,
            };
            table.row((over, name), expected, end);
            table.row((over, name, "after"), seconds, start.elapsed().as_secs());
            assert_eq!((site.calls(), site.tokens.asked()), (0, 0), "{name}");
        }
    }
    table.finish();
}

/// The close frame of a connection on which these bytes follow the handshake.
async fn raw_end(site: &Site, bytes: &[u8], dripping: bool) -> String {
    let mut pipe = site.client(Over::Http1).pipe();
    pipe.write_all(HANDSHAKE).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(pipe.read_u8().await.unwrap());
    }
    let (mut reader, mut writer) = tokio::io::split(pipe);
    let bytes = bytes.to_vec();
    let writing = tokio::spawn(async move {
        match dripping {
            false => drop(writer.write_all(&bytes).await),
            true => {
                for byte in bytes {
                    let _ = writer.write_all(&[byte]).await;
                    tokio::time::sleep(SECOND).await;
                }
            }
        }
        std::future::pending::<()>().await;
    });
    let mut frame = [0; 2];
    reader.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[0], 0x88, "a close, and nothing before it");
    let mut payload = vec![0; usize::from(frame[1])];
    reader.read_exact(&mut payload).await.unwrap();
    writing.abort();
    let code = u16::from_be_bytes([payload[0], payload[1]]);
    format!("{code} {}", String::from_utf8_lossy(&payload[2..]))
}

const HANDSHAKE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// The credential and the application's first message in one write: the second is delivered behind
/// the first, once.
#[tokio::test(start_paused = true)]
async fn in_one_segment() {
    let site = Site::new(FirstMessage::token(), |auth| auth);
    let mut pipe = site.client(Over::Http1).pipe();
    let frames = b"\x81\x84\0\0\0\0good\x81\x83\0\0\0\0one\x81\x83\0\0\0\0two";
    pipe.write_all(&[HANDSHAKE, frames].concat()).await.unwrap();
    let expected = b"\r\n\r\n\x81\x05hello\x81\x03one\x81\x03two";
    let mut said = Vec::new();
    while !said.ends_with(expected) {
        said.push(pipe.read_u8().await.unwrap());
    }
    let more = tokio::time::timeout(SECOND, pipe.read_u8()).await;
    assert!(more.is_err(), "{more:?}");
    assert_eq!(site.calls(), 1);
}

/// What a client says and how it ends, by dialect: the codes of protocols' own.
#[tokio::test(start_paused = true)]
async fn codes() {
    type Rows = &'static [(&'static str, &'static [&'static str], &'static str)];
    const INIT: &str = r#"{"type":"connection_init","payload":{"token":"good"}}"#;
    const CONNECT: &str = r#"{"msg":"connect","version":"1","support":["1"]}"#;
    const LOGIN: &str =
        r#"{"msg":"method","method":"login","id":"1","params":[{"resume":"wrong"}]}"#;
    let first: Rows = &[
        ("silent", &[], "3008 after 5"),
        ("invalid", &["wrong"], "3000 after 0"),
        ("expired", &["past"], "3000 after 0"),
        ("forbidden", &["forbidden"], "3003 after 0"),
        ("unavailable", &["down"], "1013 after 0"),
        ("good", &["good"], "open"),
        ("twice", &["good", "good"], "open"),
    ];
    let own: Rows = &[
        ("silent", &[], "4408 after 5"),
        ("invalid", &["wrong"], "4401 after 0"),
        ("not text", &[""], "4401 after 0"),
    ];
    let in_band: Rows = &[
        ("silent", &[], "3008 after 5"),
        ("application first", &["hello"], "3000 after 0"),
        (
            "three tries",
            &[r#"{"type":"auth","token":"x"}"#; 3],
            "3000 after 0",
        ),
        ("good", &[r#"{"type":"auth","token":"good"}"#], "open"),
    ];
    let fhir: Rows = &[
        ("silent", &[], "3008 after 5"),
        ("bind", &["bind 123"], "1002 after 0"),
        ("other", &["hello"], "1002 after 0"),
        ("no token", &["bind-with-token"], "1002 after 0"),
        ("invalid", &["bind-with-token wrong"], "1002 after 0"),
        ("unavailable", &["bind-with-token down"], "1013 after 0"),
        ("space", &["bind-with-token good"], "open"),
        ("colon", &["bind-with-token: good"], "open"),
        ("colon alone", &["bind-with-token:good"], "open"),
        (
            "medplum",
            &[r#"{"type":"bind-with-token","payload":{"token":"good"}}"#],
            "open",
        ),
    ];
    let graphql: Rows = &[
        ("no init", &[], "4408 after 3"),
        ("init twice", &[INIT, INIT], "4429 after 0"),
        (
            "subscribe first",
            &[r#"{"type":"subscribe","id":"1","payload":{}}"#],
            "4401 after 0",
        ),
        (
            "denied",
            &[r#"{"type":"connection_init","payload":{"token":"forbidden"}}"#],
            "4403 after 0",
        ),
        (
            "invalid",
            &[r#"{"type":"connection_init","payload":{"token":"wrong"}}"#],
            "4401 after 0",
        ),
        (
            "expired",
            &[r#"{"type":"connection_init","payload":{"token":"past"}}"#],
            "4403 after 0",
        ),
        (
            "no token",
            &[r#"{"type":"connection_init"}"#],
            "4401 after 0",
        ),
        ("nonsense", &["{"], "4400 after 0"),
        (
            "unavailable",
            &[r#"{"type":"connection_init","payload":{"token":"down"}}"#],
            "1013 after 0",
        ),
        ("good", &[INIT], "open"),
    ];
    let ddp: Rows = &[
        ("silent", &[], "3008 after 5"),
        ("connected, silent", &[CONNECT], "3008 after 5"),
        (
            "three logins",
            &[CONNECT, LOGIN, LOGIN, LOGIN],
            "3000 after 0",
        ),
    ];
    let custom = || {
        let mut codes = CloseCodes::registered();
        (codes.unauthorized, codes.timeout) = (4401, 4408);
        Profile::default().close_codes(codes)
    };
    let mut table = Table::new();
    for over in Over::BOTH {
        let sites: [(&str, Site, Rows); 6] = [
            (
                "first message",
                Site::new(FirstMessage::token(), |auth| auth),
                first,
            ),
            (
                "own codes",
                Site::new(FirstMessage::token(), |auth| auth.profile(custom())),
                own,
            ),
            (
                "in band",
                Site::new(InBandRenewal::new().or_first(), |auth| auth),
                in_band,
            ),
            ("fhir", Site::new(Fhir::new(), |auth| auth), fhir),
            ("graphql", Site::new(GraphqlWs::new(), |auth| auth), graphql),
            ("ddp", Site::new(Ddp::new(), |auth| auth), ddp),
        ];
        for (dialect, site, rows) in sites {
            for (name, said, expected) in rows {
                let before = site.calls();
                let start = Instant::now();
                let mut socket = site.open(over).await;
                for text in *said {
                    let _ = socket.send(*text).await;
                    settle().await;
                }
                // Ten seconds are longer than every limit.
                let end = end_of(&mut socket).await;
                let seconds = start.elapsed().as_secs();
                let end = match end.split(' ').next() {
                    Some("open") => "open".to_owned(),
                    Some(code) => format!("{code} after {seconds}"),
                    None => "gone".to_owned(),
                };
                table.row((over, dialect, name), expected, end);
                let called = site.calls() - before;
                let comes_in = *expected == "open" || *name == "init twice";
                table.row(
                    (over, dialect, name, "called"),
                    usize::from(comes_in),
                    called,
                );
            }
        }
    }
    table.finish();
}

/// Places for those whom nobody knows: 503 in all, 429 for one address, and free again by any end.
#[tokio::test(start_paused = true)]
async fn places() {
    use std::net::SocketAddr;

    use axum::extract::ConnectInfo;

    for over in Over::BOTH {
        let site = Site::new(FirstMessage::token(), |auth| auth.pending_limits(3, 2));
        let at = |last| {
            let peer = ConnectInfo(SocketAddr::from(([127, 0, 0, last], 1)));
            over.client(site.app.clone().layer(axum::Extension(peer)))
        };
        let ask = async |last| match at(last).websocket("/ws").connect().await {
            Ok(socket) => Ok(socket),
            Err(response) => Err(response.status().as_u16()),
        };
        let mut first = ask(1).await.unwrap();
        let second = ask(1).await.unwrap();
        assert_eq!(ask(1).await.unwrap_err(), 429);
        let _third = ask(2).await.unwrap();
        assert_eq!(ask(2).await.unwrap_err(), 503);
        // One says who it is, one goes, one is too late.
        first.send("good").await.unwrap();
        assert_eq!(first.text().await, "hello");
        drop(second);
        settle().await;
        let again = [ask(1).await.unwrap(), ask(1).await.unwrap()];
        assert_eq!(ask(2).await.unwrap_err(), 503);
        tokio::time::sleep(9 * SECOND).await;
        drop(again);
        ask(2).await.unwrap();
        first.send("still here").await.unwrap();
        assert_eq!(
            first.text().await,
            "still here",
            "a known client has no such limit"
        );
    }
}

/// C1's lifetimes: a credential that has ended, one that ends, and one of somebody else.
#[tokio::test(start_paused = true)]
async fn lifetimes() {
    let mut table = Table::new();
    for over in Over::BOTH {
        for (dialect, first, expired) in [
            ("first", "t0k", "3000"),
            (
                "graphql",
                r#"{"type":"connection_init","payload":{"token":"t0k"}}"#,
                "4403",
            ),
            ("fhir", "bind-with-token t0k", "3000"),
        ] {
            let live = Live::with(
                |it| it,
                |auth| match dialect {
                    "first" => auth.dialect(FirstMessage::token()),
                    "graphql" => auth.dialect(GraphqlWs::new()),
                    _ => auth.dialect(Fhir::new()),
                },
            );
            live.grant("t0k", "alice", 25 * SECOND);
            let mut socket = live
                .client(over)
                .websocket("/echo")
                .connect()
                .await
                .unwrap();
            socket.send(first).await.unwrap();
            live.pass(24 * SECOND).await;
            table.row((over, dialect, "before"), 1, live.sessions.len());
            live.pass(2 * SECOND).await;
            let end = end_of(&mut socket).await;
            table.row(
                (over, dialect, "after"),
                expired,
                end.split(' ').next().unwrap(),
            );
            settle().await;
            live.assert_balanced();
        }
    }
    table.finish();
}

/// A route that is in front of something else than a `GuardedUpgrade` lets nobody unknown in: axum's
/// own upgrade does not open.
#[tokio::test(start_paused = true)]
async fn nobody_else_opens_it() {
    use axum::extract::ws::WebSocketUpgrade;

    async fn plain(upgrade: WebSocketUpgrade) -> axum::response::Response {
        upgrade.on_upgrade(async |mut socket| {
            let _ = socket.send("secret".into()).await;
        })
    }
    for over in Over::BOTH {
        let tokens = Tokens::default();
        tokens.set("good", Ok(Identity::new("alice")));
        let auth = AuthLayer::new(tokens).dialect(FirstMessage::token());
        let app = Router::new().route("/ws", any(plain)).route_layer(auth);
        let client = over.client(app);
        let refused = client.websocket("/ws").connect().await;
        assert!(
            refused.is_err(),
            "a socket without an identity, over {over:?}"
        );
        let mut admitted = client
            .websocket("/ws")
            .bearer("good")
            .connect()
            .await
            .unwrap();
        assert_eq!(admitted.text().await, "secret");
    }
}

/// What looks like an upgrade may reach a handler that opens no socket. Its answer is for nobody.
#[tokio::test(start_paused = true)]
async fn nobody_reads_the_answer_of_another_handler() {
    for over in Over::BOTH {
        let tokens = Tokens::default();
        tokens.set("good", Ok(Identity::new("alice")));
        let auth = AuthLayer::new(tokens).dialect(FirstMessage::token());
        let app = Router::new()
            .route("/page", any(async || "for alice"))
            .route_layer(auth);
        let client = over.client(app);
        let nobody = client.websocket("/page").connect().await.unwrap_err();
        assert_eq!(nobody.status(), 401, "over {over:?}");
        assert!(!nobody.text().contains("for alice"), "over {over:?}");
        let alice = client.get("/page").bearer("good").send().await;
        assert_eq!(alice.text(), "for alice");
    }
}
