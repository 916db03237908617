//! Sockets whose client has yet to say who it is: T32 and T33. Nothing of the application is sent
//! or delivered before the identity stands, nobody stays who is slow, silent or loud, and what
//! comes in one piece is taken in its order.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use portcullis::dialect::{Fhir, FirstMessage, GraphqlWs, InBandRenewal};
use portcullis::testing::{Accepting, Message};
use portcullis::{AuthLayer, GuardedUpgrade, Identity, Sessions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use crate::greeter::{Greeter, frame, heard};
use crate::live::{Tokens, settle};
use crate::site::Over;
use crate::table::Table;

const SECOND: Duration = Duration::from_secs(1);

/// First bytes of frames: the last or only one of a message, or one that others follow.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const TEXT_BEGINS: u8 = 0x01;
const GOES_ON: u8 = 0x00;
const ENDS: u8 = 0x80;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// Everything but the credential: the pieces that are written, one a second; how it ends, and after
/// how many seconds. Pings are answered, count as bytes and buy no time.
#[tokio::test(start_paused = true)]
async fn slow_and_loud_clients() {
    const LATE: &str = "close 3008 no credential in time";
    const TOO_BIG: &str = "close 1009 message too big";
    const NOBODY: &str = "close 3000 say who you are first";
    let long = "x".repeat(17 * 1024);
    let length = u16::try_from(long.len()).unwrap().to_be_bytes();
    let every_second = |first, next| [vec![first], vec![next; 20]].concat();
    let at_once = |pieces: &[&[u8]]| vec![pieces.concat()];
    let flood = |next: Vec<u8>| vec![[frame(TEXT_BEGINS, b""), next.repeat(1_000_000)].concat()];
    let good = frame(TEXT, b"good");
    #[rustfmt::skip]
    let rows: [(&str, Vec<Vec<u8>>, &str, u64); 18] = [
        ("silent", vec![], LATE, 5),
        ("a ping every second", every_second(frame(PING, b""), frame(PING, b"")), LATE, 5),
        ("a pong every second", every_second(frame(PONG, b""), frame(PONG, b"")), LATE, 5),
        ("a fragment every second", every_second(frame(TEXT_BEGINS, b""), frame(GOES_ON, b"g")), LATE, 5),
        ("a byte a second", good.iter().map(|byte| vec![*byte]).collect(), LATE, 5),
        ("half a header", at_once(&[&[TEXT]]), LATE, 5),
        ("half a message", at_once(&[&frame(TEXT_BEGINS, b"good")]), LATE, 5),
        ("64 MiB declared", at_once(&[b"\x81\xff\0\0\0\0\x04\0\0\0", &[0; 4], b"x"]), TOO_BIG, 0),
        ("2^63 declared", at_once(&[b"\x81\xff\x80\0\0\0\0\0\0\0", &[0; 4], b"x"]), TOO_BIG, 0),
        ("2^64 - 1 declared", at_once(&[b"\x81\xff", &[0xff; 8], &[0; 4], b"x"]), TOO_BIG, 0),
        ("17 KiB", at_once(&[b"\x81\xfe", &length, &[0; 4], long.as_bytes()]), TOO_BIG, 0),
        ("a million empty fragments", flood(frame(GOES_ON, b"")), TOO_BIG, 0),
        ("a million pings within a message", flood(frame(PING, b"")), TOO_BIG, 0),
        ("binary", at_once(&[&frame(BINARY, b"good")]), NOBODY, 0),
        ("empty", at_once(&[&frame(TEXT, b"")]), NOBODY, 0),
        // What no frame may be. Nobody is told who cannot be talked to.
        ("compressed", at_once(&[&frame(0xc1, b"good")]), "gone", 0),
        ("not masked", at_once(&[b"\x81\x04good"]), "gone", 0),
        ("no UTF-8", at_once(&[&frame(TEXT, b"\xff")]), "gone", 0),
    ];
    let mut table = Table::new();
    for over in Over::BOTH {
        for (name, pieces, expected, seconds) in &rows {
            let site = Greeter::new(FirstMessage::token(), |auth| auth);
            let start = Instant::now();
            let (mut reader, mut writer) = tokio::io::split(site.open_raw(over).await);
            let pieces = pieces.clone();
            let writing = tokio::spawn(async move {
                for piece in pieces {
                    let _ = writer.write_all(&piece).await;
                    tokio::time::sleep(SECOND).await;
                }
                std::future::pending::<()>().await;
            });
            let end = loop {
                match &*heard(&mut reader).await {
                    "pong " => {}
                    end => break end.to_owned(),
                }
            };
            writing.abort();
            table.row((over, name), expected, end);
            table.row((over, name, "after"), seconds, start.elapsed().as_secs());
            assert_eq!((site.calls(), site.tokens.asked()), (0, 0), "{name}");
        }
    }
    table.finish();
}

/// Frames; what comes back; how often the handler is called, and the verifier asked.
type Pieces = (
    &'static str,
    Vec<Vec<u8>>,
    &'static [&'static str],
    [usize; 2],
);

/// Frames in one piece, and what comes back until nobody says any more.
#[tokio::test(start_paused = true)]
async fn in_one_piece() {
    let text = |text: &str| frame(TEXT, text.as_bytes());
    let auth = |token: &str| text(&format!(r#"{{"type":"auth","token":"{token}"}}"#));
    const NOBODY: &str = "close 3000 say who you are first";
    const ACCEPTED: &str = r#"text {"expires_in":3600,"type":"auth"}"#;
    #[rustfmt::skip]
    let first: &[Pieces] = &[
        ("then the application's", vec![text("good"), text("one"), text("two")],
            &["text hello", "text one", "text two"], [1, 1]),
        ("then binary", vec![text("good"), frame(BINARY, b"one")], &["text hello", "binary one"], [1, 1]),
        // The second is no credential any more: it is the application's, once.
        ("twice", vec![text("good"), text("good")], &["text hello", "text good"], [1, 1]),
        ("then somebody else's", vec![text("good"), text("bob")], &["text hello", "text bob"], [1, 1]),
        ("in fragments, a ping within", vec![frame(TEXT_BEGINS, b"g"), frame(GOES_ON, b""), frame(PING, b"p"),
            frame(GOES_ON, b"oo"), frame(ENDS, b"d"), text("one")],
            &["pong p", "text hello", "text one"], [1, 1]),
        ("the application's first", vec![text("one"), text("good")], &["close 3000 credential not accepted"], [0, 1]),
        ("a second try", vec![text("wrong"), text("good")], &["close 3000 credential not accepted"], [0, 1]),
        ("binary", vec![frame(BINARY, b"good"), text("good")], &[NOBODY], [0, 0]),
        ("after a close", vec![frame(CLOSE, b"\x03\xe8"), text("good")], &["close 1000 "], [0, 0]),
    ];
    #[rustfmt::skip]
    let in_band: &[Pieces] = &[
        ("the application's first", vec![text("one"), auth("good")], &[NOBODY], [0, 0]),
        ("a second try", vec![auth("wrong"), auth("good"), text("one")],
            &[r#"text {"error":"the token is not accepted","type":"auth"}"#, ACCEPTED, "text hello", "text one"], [1, 2]),
        ("twice", vec![auth("good"), auth("good"), text("one")],
            &[ACCEPTED, "text hello",
              r#"text {"error":"the new credential does not end later than the present one","type":"auth"}"#,
              "text one"], [1, 2]),
        ("then somebody else's", vec![auth("good"), auth("bob"), text("one")],
            &[ACCEPTED, "text hello", "close 3003 credential of another subject"], [1, 2]),
    ];
    hold(|| Greeter::new(FirstMessage::token(), |auth| auth), first).await;
    let dialect = InBandRenewal::new().or_first();
    hold(|| Greeter::new(dialect.clone(), |auth| auth), in_band).await;
}

/// The same of protocols in which more than the credential is the dialect's.
#[tokio::test(start_paused = true)]
async fn in_one_piece_of_other_protocols() {
    let text = |text: &str| frame(TEXT, text.as_bytes());
    let bind = |token: &str| text(&format!("bind-with-token {token}"));
    let init = || text(r#"{"type":"connection_init","payload":{"token":"good"}}"#);
    const BOUND: &str = "text bind-with-token alice";
    const INITIALIZED: &str = r#"text {"payload":{},"type":"connection_init"}"#;
    #[rustfmt::skip]
    let fhir: &[Pieces] = &[
        ("then the application's", vec![bind("good"), text("bind 7"), frame(BINARY, b"one")],
            &["text hello", BOUND, "text bind 7", "binary one"], [1, 1]),
        // A token that ends no later is a binding all the same.
        ("twice", vec![bind("good"), bind("good"), text("one")],
            &["text hello", BOUND, BOUND, "text one"], [1, 2]),
        ("then somebody else's", vec![bind("good"), bind("bob"), text("one")],
            &["text hello", BOUND, "close 1002 credential of another subject"], [1, 2]),
        ("the application's first", vec![text("one"), bind("good")],
            &["close 1002 Unexpected client message"], [0, 0]),
        ("a second try", vec![bind("wrong"), bind("good")],
            &["close 1002 Invalid bind request - The token is not accepted"], [0, 1]),
        ("binary", vec![frame(BINARY, b"bind-with-token good"), bind("good")],
            &["close 1002 Invalid bind request - Not a text message"], [0, 0]),
    ];
    #[rustfmt::skip]
    let graphql: &[Pieces] = &[
        ("then the application's", vec![init(), text(r#"{"type":"ping"}"#)],
            &["text hello", INITIALIZED, r#"text {"type":"ping"}"#], [1, 1]),
        ("a ping before", vec![text(r#"{"type":"ping"}"#), init()],
            &[r#"text {"type":"pong"}"#, "text hello", INITIALIZED], [1, 1]),
        ("twice", vec![init(), init()],
            &["text hello", INITIALIZED, "close 4429 Too many initialisation requests"], [1, 1]),
        ("the application's first", vec![text(r#"{"type":"subscribe","id":"1"}"#), init()],
            &["close 4401 Unauthorized"], [0, 0]),
        ("binary", vec![frame(BINARY, b"{}"), init()], &["close 4400 Invalid message"], [0, 0]),
    ];
    hold(|| Greeter::new(Fhir::new(), |auth| auth), fhir).await;
    hold(|| Greeter::new(GraphqlWs::new(), |auth| auth), graphql).await;
}

/// Writes the frames of every row at once, behind the answer to the handshake.
async fn hold(site: impl Fn() -> Greeter, rows: &[Pieces]) {
    let mut table = Table::new();
    for over in Over::BOTH {
        for (name, frames, expected, counts) in rows {
            let site = site();
            let mut socket = site.open_raw(over).await;
            socket.write_all(&frames.concat()).await.unwrap();
            socket.flush().await.unwrap();
            let mut said = Vec::new();
            while let Ok(frame) = timeout(SECOND, heard(&mut socket)).await {
                if frame == "gone" {
                    break;
                }
                said.push(frame);
            }
            table.row((over, name), format!("{expected:?}"), format!("{said:?}"));
            let counted = [site.calls(), site.tokens.asked()];
            let (counts, counted) = (format!("{counts:?}"), format!("{counted:?}"));
            table.row((over, name, "counts"), counts, counted);
        }
    }
    table.finish();
}

/// Over HTTP/1.1 the frames may come with the handshake itself.
#[tokio::test(start_paused = true)]
async fn in_one_piece_with_the_handshake() {
    const HANDSHAKE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let site = Greeter::new(FirstMessage::token(), |auth| auth);
    let mut pipe = site.client(Over::Http1).pipe();
    let frames = ["good", "one", "two"].map(|text| frame(TEXT, text.as_bytes()));
    let bytes = [HANDSHAKE, &frames.concat()].concat();
    pipe.write_all(&bytes).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(pipe.read_u8().await.unwrap());
    }
    for expected in ["text hello", "text one", "text two"] {
        assert_eq!(heard(&mut pipe).await, expected);
    }
    let more = timeout(SECOND, heard(&mut pipe)).await;
    assert!(more.is_err(), "{more:?}");
    assert_eq!(site.calls(), 1);
}

/// Places for those whom nobody knows: 503 in all, 429 for one address, and free again by any end.
#[tokio::test(start_paused = true)]
async fn places() {
    for over in Over::BOTH {
        let site = Greeter::new(FirstMessage::token(), |auth| auth.pending_limits(3, 2));
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

/// A route that is in front of something else than a `GuardedUpgrade` lets nobody unknown in: axum's
/// own upgrade does not open.
#[tokio::test(start_paused = true)]
async fn nobody_else_opens_it() {
    async fn plain(upgrade: WebSocketUpgrade) -> Response {
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
        let handshake = client.websocket("/ws").bearer("good");
        let mut admitted = handshake.connect().await.unwrap();
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

#[tokio::test]
async fn a_shutdown_tells_those_whom_nobody_knows() {
    for over in Over::BOTH {
        // What was shut down stays so.
        let sessions = Sessions::default();
        let auth = AuthLayer::new(Accepting::token("t0k", Identity::new("alice")))
            .sessions(&sessions)
            .dialect(FirstMessage::token());
        let open = async |upgrade: GuardedUpgrade| upgrade.on_upgrade(async |_| {});
        let app = Router::new().route("/ws", any(open)).route_layer(auth);
        let client = over.client(app);
        let mut socket = client.websocket("/ws").connect().await.unwrap();
        // A frame of ours is the proof that the server has begun to listen.
        socket.send(Message::Ping(Bytes::new())).await.unwrap();
        socket.recv().await.unwrap().unwrap();

        let (left, code) = tokio::join!(
            sessions.shutdown(Duration::from_secs(30)),
            socket.close_code()
        );
        assert_eq!((left, code), (0, Some(1001)));
    }
}
