//! Pending sockets: the client has not authenticated yet. The application sends and receives
//! nothing before authentication. Slow, silent and flooding clients are closed. Frames that arrive
//! together are processed in order.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use portcullis::dialect::{Fhir, FirstMessage, GraphqlWs, InBandRenewal, PendingLimits};
use portcullis::testing::{Accepting, Message};
use portcullis::{AuthLayer, GuardedUpgrade, Identity, Sessions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use crate::support::{
    HttpVersion, MessageAuthServer, SECOND, Table, Tokens, frame, next_frame, raw_handshake, settle,
};

/// The first bytes of frames. A fragmented message is a `TEXT_BEGINS`, some `CONTINUATION`, and a
/// `LAST_CONTINUATION`.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const TEXT_BEGINS: u8 = 0x01;
const CONTINUATION: u8 = 0x00;
const LAST_CONTINUATION: u8 = 0x80;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// Clients that send no complete credential. Each row has the bytes that are written, one piece per
/// second, the close frame, and its time in seconds. Pings are answered, count as bytes, and do not
/// extend the timeout.
#[tokio::test(start_paused = true)]
async fn client_without_a_credential_is_closed() {
    const TIMEOUT: &str = "close 3008 no credential in time";
    const TOO_BIG: &str = "close 1009 message too big";
    const UNAUTHENTICATED: &str = "close 3000 authentication required";
    let long = "x".repeat(17 * 1024);
    let length = u16::try_from(long.len()).unwrap().to_be_bytes();
    let every_second = |first, next| [vec![first], vec![next; 20]].concat();
    let at_once = |pieces: &[&[u8]]| vec![pieces.concat()];
    let flood = |next: Vec<u8>| vec![[frame(TEXT_BEGINS, b""), next.repeat(1_000_000)].concat()];
    let good = frame(TEXT, b"good");
    #[rustfmt::skip]
    let rows: [(&str, Vec<Vec<u8>>, &str, u64); 18] = [
        ("silent", vec![], TIMEOUT, 5),
        ("a ping every second", every_second(frame(PING, b""), frame(PING, b"")), TIMEOUT, 5),
        ("a pong every second", every_second(frame(PONG, b""), frame(PONG, b"")), TIMEOUT, 5),
        ("a fragment every second", every_second(frame(TEXT_BEGINS, b""), frame(CONTINUATION, b"g")), TIMEOUT, 5),
        ("a byte a second", good.iter().map(|byte| vec![*byte]).collect(), TIMEOUT, 5),
        ("half a header", at_once(&[&[TEXT]]), TIMEOUT, 5),
        ("half a message", at_once(&[&frame(TEXT_BEGINS, b"good")]), TIMEOUT, 5),
        ("64 MiB declared", at_once(&[b"\x81\xff\0\0\0\0\x04\0\0\0", &[0; 4], b"x"]), TOO_BIG, 0),
        ("2^63 declared", at_once(&[b"\x81\xff\x80\0\0\0\0\0\0\0", &[0; 4], b"x"]), TOO_BIG, 0),
        ("2^64 - 1 declared", at_once(&[b"\x81\xff", &[0xff; 8], &[0; 4], b"x"]), TOO_BIG, 0),
        ("17 KiB", at_once(&[b"\x81\xfe", &length, &[0; 4], long.as_bytes()]), TOO_BIG, 0),
        ("a million empty fragments", flood(frame(CONTINUATION, b"")), TOO_BIG, 0),
        ("a million pings within a message", flood(frame(PING, b"")), TOO_BIG, 0),
        ("binary", at_once(&[&frame(BINARY, b"good")]), UNAUTHENTICATED, 0),
        ("empty", at_once(&[&frame(TEXT, b"")]), UNAUTHENTICATED, 0),
        // A protocol error closes the connection without a close frame.
        ("compressed", at_once(&[&frame(0xc1, b"good")]), "eof", 0),
        ("not masked", at_once(&[b"\x81\x04good"]), "eof", 0),
        ("not UTF-8", at_once(&[&frame(TEXT, b"\xff")]), "eof", 0),
    ];
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        for (name, pieces, expected, seconds) in &rows {
            let server = MessageAuthServer::new(FirstMessage::token(), |auth| auth);
            let start = Instant::now();
            let (mut reader, mut writer) = tokio::io::split(server.open_raw(version).await);
            let pieces = pieces.clone();
            let writing = tokio::spawn(async move {
                for piece in pieces {
                    let _ = writer.write_all(&piece).await;
                    tokio::time::sleep(SECOND).await;
                }
                std::future::pending::<()>().await;
            });
            let end = loop {
                match &*next_frame(&mut reader).await {
                    "pong " => {}
                    end => break end.to_owned(),
                }
            };
            writing.abort();
            table.row((version, name), expected, end);
            table.row((version, name, "after"), seconds, start.elapsed().as_secs());
            assert_eq!((server.calls(), server.tokens.calls()), (0, 0), "{name}");
        }
    }
    table.finish();
}

/// A name, the frames of the client, those of the server, and the number of calls to the handler
/// and to the verifier.
type Row = (
    &'static str,
    Vec<Vec<u8>>,
    &'static [&'static str],
    [usize; 2],
);

/// The client writes all frames at once.
#[tokio::test(start_paused = true)]
async fn frames_are_processed_in_order() {
    let text = |text: &str| frame(TEXT, text.as_bytes());
    let auth = |token: &str| text(&format!(r#"{{"type":"auth","token":"{token}"}}"#));
    const UNAUTHENTICATED: &str = "close 3000 authentication required";
    const ACCEPTED: &str = r#"text {"expires_in":3600,"type":"auth"}"#;
    #[rustfmt::skip]
    let first: &[Row] = &[
        ("then messages", vec![text("good"), text("one"), text("two")],
            &["text hello", "text one", "text two"], [1, 1]),
        ("then binary", vec![text("good"), frame(BINARY, b"one")], &["text hello", "binary one"], [1, 1]),
        // The second message goes to the application.
        ("twice", vec![text("good"), text("good")], &["text hello", "text good"], [1, 1]),
        ("then another user's", vec![text("good"), text("bob")], &["text hello", "text bob"], [1, 1]),
        ("in fragments with a ping", vec![frame(TEXT_BEGINS, b"g"), frame(CONTINUATION, b""), frame(PING, b"p"),
            frame(CONTINUATION, b"oo"), frame(LAST_CONTINUATION, b"d"), text("one")],
            &["pong p", "text hello", "text one"], [1, 1]),
        ("after a message", vec![text("one"), text("good")], &["close 3000 invalid credential"], [0, 1]),
        ("a second attempt", vec![text("wrong"), text("good")], &["close 3000 invalid credential"], [0, 1]),
        ("binary", vec![frame(BINARY, b"good"), text("good")], &[UNAUTHENTICATED], [0, 0]),
        ("after a close", vec![frame(CLOSE, b"\x03\xe8"), text("good")], &["close 1000 "], [0, 0]),
    ];
    #[rustfmt::skip]
    let in_band: &[Row] = &[
        ("after a message", vec![text("one"), auth("good")], &[UNAUTHENTICATED], [0, 0]),
        ("a second attempt", vec![auth("wrong"), auth("good"), text("one")],
            &[r#"text {"error":"invalid token","type":"auth"}"#, ACCEPTED, "text hello", "text one"], [1, 2]),
        ("twice", vec![auth("good"), auth("good"), text("one")],
            &[ACCEPTED, "text hello",
              r#"text {"error":"the new credential does not end later than the present one","type":"auth"}"#,
              "text one"], [1, 2]),
        ("then another user's", vec![auth("good"), auth("bob"), text("one")],
            &[ACCEPTED, "text hello", "close 3003 credential of another subject"], [1, 2]),
    ];
    check(
        || MessageAuthServer::new(FirstMessage::token(), |auth| auth),
        first,
    )
    .await;
    let dialect = InBandRenewal::new().allow_pending();
    check(
        || MessageAuthServer::new(dialect.clone(), |auth| auth),
        in_band,
    )
    .await;
}

/// These dialects also handle messages that contain no credential.
#[tokio::test(start_paused = true)]
async fn frames_of_fhir_and_graphql_are_processed_in_order() {
    let text = |text: &str| frame(TEXT, text.as_bytes());
    let bind = |token: &str| text(&format!("bind-with-token {token}"));
    let init = || text(r#"{"type":"connection_init","payload":{"token":"good"}}"#);
    const BOUND: &str = "text bind-with-token alice";
    const INITIALIZED: &str = r#"text {"payload":{},"type":"connection_init"}"#;
    #[rustfmt::skip]
    let fhir: &[Row] = &[
        ("then messages", vec![bind("good"), text("bind 7"), frame(BINARY, b"one")],
            &["text hello", BOUND, "text bind 7", "binary one"], [1, 1]),
        // A token that expires no later is a valid binding.
        ("twice", vec![bind("good"), bind("good"), text("one")],
            &["text hello", BOUND, BOUND, "text one"], [1, 2]),
        ("then another user's", vec![bind("good"), bind("bob"), text("one")],
            &["text hello", BOUND, "close 1002 credential of another subject"], [1, 2]),
        ("after a message", vec![text("one"), bind("good")],
            &["close 1002 Unexpected client message"], [0, 0]),
        ("a second attempt", vec![bind("wrong"), bind("good")],
            &["close 1002 Invalid bind request - The token is not accepted"], [0, 1]),
        ("binary", vec![frame(BINARY, b"bind-with-token good"), bind("good")],
            &["close 1002 Invalid bind request - Not a text message"], [0, 0]),
    ];
    #[rustfmt::skip]
    let graphql: &[Row] = &[
        ("then messages", vec![init(), text(r#"{"type":"ping"}"#)],
            &["text hello", INITIALIZED, r#"text {"type":"ping"}"#], [1, 1]),
        ("after a ping", vec![text(r#"{"type":"ping"}"#), init()],
            &[r#"text {"type":"pong"}"#, "text hello", INITIALIZED], [1, 1]),
        ("twice", vec![init(), init()],
            &["text hello", INITIALIZED, "close 4429 Too many initialisation requests"], [1, 1]),
        ("after a message", vec![text(r#"{"type":"subscribe","id":"1"}"#), init()],
            &["close 4401 Unauthorized"], [0, 0]),
        ("binary", vec![frame(BINARY, b"{}"), init()], &["close 4400 Invalid message"], [0, 0]),
    ];
    check(|| MessageAuthServer::new(Fhir::new(), |auth| auth), fhir).await;
    check(
        || MessageAuthServer::new(GraphqlWs::new(), |auth| auth),
        graphql,
    )
    .await;
}

/// Writes the frames of each row at once, after the response to the handshake.
async fn check(server: impl Fn() -> MessageAuthServer, rows: &[Row]) {
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        for (name, frames, expected, calls) in rows {
            let server = server();
            let mut socket = server.open_raw(version).await;
            socket.write_all(&frames.concat()).await.unwrap();
            socket.flush().await.unwrap();
            let mut received = Vec::new();
            while let Ok(frame) = timeout(SECOND, next_frame(&mut socket)).await {
                if frame == "eof" {
                    break;
                }
                received.push(frame);
            }
            let row = (version, name);
            table.row(row, format!("{expected:?}"), format!("{received:?}"));
            let actual = [server.calls(), server.tokens.calls()];
            table.row((row, "calls"), format!("{calls:?}"), format!("{actual:?}"));
        }
    }
    table.finish();
}

/// Over HTTP/1.1 a client can send frames together with the handshake.
#[tokio::test(start_paused = true)]
async fn frames_sent_with_the_handshake_are_processed_in_order() {
    let server = MessageAuthServer::new(FirstMessage::token(), |auth| auth);
    let mut pipe = server.client(HttpVersion::Http1).pipe();
    let frames = ["good", "one", "two"].map(|text| frame(TEXT, text.as_bytes()));
    let handshake = raw_handshake("GET /ws HTTP/1.1", "");
    let bytes = [handshake.as_bytes(), &frames.concat()].concat();
    pipe.write_all(&bytes).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(pipe.read_u8().await.unwrap());
    }
    for expected in ["text hello", "text one", "text two"] {
        assert_eq!(next_frame(&mut pipe).await, expected);
    }
    let more = timeout(SECOND, next_frame(&mut pipe)).await;
    assert!(more.is_err(), "{more:?}");
    assert_eq!(server.calls(), 1);
}

/// 503 for the limit in total, 429 for the limit of an address.
#[tokio::test(start_paused = true)]
async fn pending_socket_above_a_limit_is_refused_until_another_ends() {
    for version in HttpVersion::ALL {
        let limits = PendingLimits::default().total(3).per_address(2);
        let server =
            MessageAuthServer::new(FirstMessage::token(), |auth| auth.pending_limits(limits));
        let at = |last| {
            let peer = ConnectInfo(SocketAddr::from(([127, 0, 0, last], 1)));
            version.client(server.app.clone().layer(axum::Extension(peer)))
        };
        let connect = async |last| match at(last).websocket("/ws").connect().await {
            Ok(socket) => Ok(socket),
            Err(response) => Err(response.status().as_u16()),
        };
        let mut first = connect(1).await.unwrap();
        let second = connect(1).await.unwrap();
        assert_eq!(connect(1).await.unwrap_err(), 429);
        let _third = connect(2).await.unwrap();
        assert_eq!(connect(2).await.unwrap_err(), 503);
        // One client authenticates, one disconnects, one times out.
        first.send("good").await.unwrap();
        assert_eq!(first.text().await, "hello");
        drop(second);
        settle().await;
        let again = [connect(1).await.unwrap(), connect(1).await.unwrap()];
        assert_eq!(connect(2).await.unwrap_err(), 503);
        tokio::time::sleep(9 * SECOND).await;
        drop(again);
        connect(2).await.unwrap();
        first.send("still here").await.unwrap();
        assert_eq!(
            first.text().await,
            "still here",
            "the timeout applies to an authenticated client"
        );
    }
}

/// Only `GuardedUpgrade` opens a pending socket.
#[tokio::test(start_paused = true)]
async fn axum_upgrade_does_not_open_a_pending_socket() {
    async fn plain(upgrade: WebSocketUpgrade) -> Response {
        upgrade.on_upgrade(async |mut socket| {
            let _ = socket.send("secret".into()).await;
        })
    }
    for version in HttpVersion::ALL {
        let tokens = Tokens::default();
        tokens.set("good", Ok(Identity::new("alice")));
        let auth = AuthLayer::new(tokens).dialect(FirstMessage::token());
        let app = Router::new().route("/ws", any(plain)).route_layer(auth);
        let client = version.client(app);
        let refused = client.websocket("/ws").connect().await;
        assert!(
            refused.is_err(),
            "a socket without an identity, over {version:?}"
        );
        let handshake = client.websocket("/ws").bearer("good");
        let mut admitted = handshake.connect().await.unwrap();
        assert_eq!(admitted.text().await, "secret");
    }
}

/// An upgrade of a client that has not authenticated may reach a handler that opens no socket.
#[tokio::test(start_paused = true)]
async fn pending_client_does_not_receive_the_response_of_another_handler() {
    for version in HttpVersion::ALL {
        let tokens = Tokens::default();
        tokens.set("good", Ok(Identity::new("alice")));
        let auth = AuthLayer::new(tokens).dialect(FirstMessage::token());
        let app = Router::new()
            .route("/page", any(async || "for alice"))
            .route_layer(auth);
        let client = version.client(app);
        let refused = client.websocket("/page").connect().await.unwrap_err();
        assert_eq!(refused.status(), 401, "over {version:?}");
        assert!(!refused.text().contains("for alice"), "over {version:?}");
        let alice = client.get("/page").bearer("good").send().await;
        assert_eq!(alice.text(), "for alice");
    }
}

#[tokio::test]
async fn shutdown_closes_pending_sockets() {
    for version in HttpVersion::ALL {
        let sessions = Sessions::default();
        let auth = AuthLayer::new(Accepting::token("t0k", Identity::new("alice")))
            .sessions(&sessions)
            .dialect(FirstMessage::token());
        let open = async |upgrade: GuardedUpgrade| upgrade.on_upgrade(async |_| {});
        let app = Router::new().route("/ws", any(open)).route_layer(auth);
        let client = version.client(app);
        let mut socket = client.websocket("/ws").connect().await.unwrap();
        // The pong shows that the server reads from the socket.
        socket.send(Message::Ping(Bytes::new())).await.unwrap();
        socket.recv().await.unwrap().unwrap();

        let (remaining, code) = tokio::join!(sessions.shutdown(30 * SECOND), socket.close_code());
        assert_eq!((remaining, code), (0, Some(1001)));
    }
}
