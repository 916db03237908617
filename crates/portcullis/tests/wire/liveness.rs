//! Half-open connections: T37. A client that is not there any more is gone after two intervals of
//! pings, whatever the handler does, and one that is there is not.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::Message as Said;
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use portcullis::session::SessionsBuilder;
use portcullis::testing::Message;
use portcullis::{CloseCodes, GuardedUpgrade, Profile};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep, timeout};

use crate::live::{Live, handlers, settle};
use crate::network::{Socket, connect};
use crate::site::Over;
use crate::table::Table;

const EVERY: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

const HANDLERS: [&str; 7] = [
    "/echo",
    "/asleep",
    "/sends",
    "/floods",
    "/reader-parked",
    "/writer-parked",
    "/looks-once",
];

/// Who answers lives on, and is pinged about once in an interval. When the network is gone without
/// a word, so is the session, and its place is free.
#[tokio::test(start_paused = true)]
async fn whatever_the_handler_does() {
    let mut table = Table::new();
    for over in Over::BOTH {
        for handler in HANDLERS {
            let live = live(|sessions| sessions.max_sessions(1));
            let (socket, network) = connect(&live, over, handler).await;
            let pings = Arc::new(AtomicUsize::new(0));
            let client = tokio::spawn(read(socket, Arc::clone(&pings)));
            sleep(6 * EVERY).await;
            let row = (over, handler);
            table.row((row, "answers"), 1, live.sessions.len());
            let pings = pings.load(Ordering::SeqCst);
            table.row((row, "pings", pings), true, (5..=7).contains(&pings));

            network.cut();
            let lasted = until_gone(&live).await;
            table.row((row, "cut", lasted), true, lasted <= 2 * EVERY);
            let last = live.ledger.all().pop().unwrap();
            let is_told = last.starts_with("closed alice: unresponsive");
            table.row((row, last), true, is_told);
            live.assert_balanced();
            let (next, _) = connect(&live, over, handler).await;
            assert_eq!(live.sessions.len(), 1, "there is a place again");
            drop(next);
            client.abort();
        }
    }
    table.finish();
}

/// Every sign of life is one: a client may be deaf, or too busy to answer. It is one of *that*
/// time, even if nobody reads it before much later.
#[tokio::test(start_paused = true)]
async fn whatever_the_client_says() {
    let says = |message: Message| move || message.clone();
    let messages = [
        ("a text", says(Message::text("hello"))),
        ("a ping", says(Message::Ping(Bytes::from_static(b"own")))),
        ("a pong", says(Message::Pong(Bytes::new()))),
    ];
    let mut table = Table::new();
    for over in Over::BOTH {
        for handler in ["/echo", "/asleep", "/writer-parked"] {
            for (name, message) in &messages {
                let live = live(|sessions| sessions);
                let (mut socket, network) = connect(&live, over, handler).await;
                for _ in 0..50 {
                    socket.send(message()).await.unwrap();
                    sleep(SECOND).await;
                }
                let row = (over, handler, *name);
                table.row((row, "speaks"), 1, live.sessions.len());
                network.cut();
                sleep(2 * EVERY).await;
                // What an application has not read is no older than its reader.
                let waits = handler == "/asleep" && *name != "a ping";
                table.row((row, "is cut"), usize::from(waits), live.sessions.len());
            }
        }
    }
    table.finish();
}

/// A client that is there and reads nothing: its kernel takes what it is sent, and says so. It may
/// be stopped, or hang. What it finds when it goes on are the pings and why it was closed.
#[tokio::test(start_paused = true)]
async fn a_client_that_hangs() {
    for over in Over::BOTH {
        for handler in HANDLERS {
            for own in [None, Some(4008)] {
                let live = live_with(
                    |sessions| sessions,
                    |mut codes| {
                        codes.unresponsive = own.unwrap_or(codes.unresponsive);
                        codes
                    },
                );
                let (socket, _network) = connect(&live, over, handler).await;
                let lasted = until_gone(&live).await;
                assert!(lasted <= 2 * EVERY, "{over:?} {handler}: {lasted:?}");
                assert!(lasted >= EVERY * 15 / 16, "{over:?} {handler}: {lasted:?}");
                if handler == "/asleep" {
                    let mut found = Vec::new();
                    let _ = socket.into_inner().read_to_end(&mut found).await;
                    // RFC 6455 §5.2: final, a ping of five bytes, a close of 21; not masked.
                    let mut expected = b"\x89\x05guard\x88\x15".to_vec();
                    expected.extend(own.unwrap_or(3008).to_be_bytes());
                    expected.extend(b"no answer to a ping");
                    assert_eq!(
                        found.escape_ascii().to_string(),
                        expected.escape_ascii().to_string()
                    );
                }
            }
        }
    }
}

/// The messages of a client that is gone are not, as long as there is a handler that reads them.
#[tokio::test(start_paused = true)]
async fn a_handler_that_reads_slowly() {
    for over in Over::BOTH {
        let read = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&read);
        let slow = async |upgrade: GuardedUpgrade| {
            upgrade.on_upgrade(async move |mut socket| {
                while let Some(Ok(Said::Text(_))) = socket.recv().await {
                    counted.fetch_add(1, Ordering::SeqCst);
                    sleep(3 * EVERY).await;
                }
            })
        };
        let routes = Router::new().route("/slow", any(slow));
        let live = Live::serving(routes, |it| it.ping_every(EVERY), |auth| auth);
        live.grant("t0k", "alice", 3_600 * SECOND);
        let (mut socket, network) = connect(&live, over, "/slow").await;
        for _ in 0..5 {
            socket.send(Message::text("hello")).await.unwrap();
        }
        settle().await;
        network.cut();
        // The fifth is read at the end of the fourth pause.
        sleep(12 * EVERY + SECOND).await;
        assert_eq!(read.load(Ordering::SeqCst), 5, "{over:?}");
        assert_eq!(live.sessions.len(), 1, "{over:?}");
        assert!(until_gone(&live).await <= 2 * EVERY, "{over:?}");
    }
}

/// A client that leaves as it should is missed by a handler that does not read, and by nobody else.
#[tokio::test(start_paused = true)]
async fn a_client_that_leaves() {
    for over in Over::BOTH {
        for handler in HANDLERS {
            for politely in [true, false] {
                let live = live(|sessions| sessions);
                let (mut socket, _network) = connect(&live, over, handler).await;
                if politely {
                    socket.close(None).await.unwrap();
                    settle().await;
                }
                drop(socket);
                let row = (over, handler, politely);
                let lasted = until_gone(&live).await;
                assert!(lasted <= 2 * EVERY, "{row:?}: {lasted:?}");
                let last = live.ledger.all().pop().unwrap();
                let ends = ["closed alice: client", "closed alice: handler"];
                let is_its_own = ends.iter().any(|end| last.starts_with(end));
                assert!(is_its_own, "{row:?}: {last}");
                live.assert_balanced();
            }
        }
    }
}

/// A handler that closes has the answer of its client to wait for, and no longer than for others.
#[tokio::test(start_paused = true)]
async fn a_handler_that_closes() {
    for over in Over::BOTH {
        let closes = async |upgrade: GuardedUpgrade| {
            upgrade.on_upgrade(async |mut socket| {
                let _ = socket.send(Said::Close(None)).await;
                while let Some(Ok(_)) = socket.recv().await {}
            })
        };
        let routes = Router::new().route("/closes", any(closes));
        let live = Live::serving(routes, |it| it.ping_every(EVERY), |auth| auth);
        live.grant("t0k", "alice", 3_600 * SECOND);

        let (mut socket, _network) = connect(&live, over, "/closes").await;
        sleep(EVERY * 15 / 16).await;
        assert_eq!(live.sessions.len(), 1, "{over:?}: it has time");
        assert!(socket.next().await.unwrap().unwrap().is_close());
        assert!(socket.next().await.is_none());
        settle().await;
        assert!(live.sessions.is_empty(), "{over:?}");

        let (_socket, _network) = connect(&live, over, "/closes").await;
        assert!(until_gone(&live).await <= 2 * EVERY, "{over:?}");
    }
}

/// Sessions that are pinged, with handlers that are busier than the others'.
fn live(settings: fn(SessionsBuilder) -> SessionsBuilder) -> Live {
    live_with(settings, |codes| codes)
}

/// The same with other codes.
fn live_with(
    settings: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
    codes: impl FnOnce(CloseCodes) -> CloseCodes,
) -> Live {
    let routes = handlers()
        .route("/floods", any(floods))
        .route("/looks-once", any(looks_once));
    let profile = Profile::default().close_codes(codes(CloseCodes::registered()));
    let live = Live::serving(
        routes,
        |it| settings(it.ping_every(EVERY)),
        |auth| auth.profile(profile),
    );
    live.grant("t0k", "alice", 3_600 * SECOND);
    live
}

/// It is blocked in `send` but for the moments in which its client reads.
async fn floods(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        while socket.send(vec![0; 64 * 1024].into()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
}

/// It has waited for a message once, and does not any more; who woke its reader wakes nobody.
async fn looks_once(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        let _ = timeout(SECOND, socket.recv()).await;
        pending::<()>().await;
        drop(socket);
    })
}

/// Reads, and so answers pings; in bursts, so that a handler that floods is blocked in between.
async fn read(mut socket: Socket, pings: Arc<AtomicUsize>) {
    loop {
        let mut left = 4 * 1024 * 1024;
        while let Ok(message) = timeout(2 * SECOND, socket.next()).await {
            match message {
                Some(Ok(Message::Binary(bytes))) => {
                    left -= left.min(bytes.len());
                    if left == 0 {
                        sleep(SECOND).await;
                        break;
                    }
                }
                Some(Ok(Message::Ping(_))) => {
                    pings.fetch_add(1, Ordering::SeqCst);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            }
        }
    }
}

/// How long it takes until nobody is there.
async fn until_gone(live: &Live) -> Duration {
    let start = Instant::now();
    while !live.sessions.is_empty() && start.elapsed() < 10 * EVERY {
        sleep(Duration::from_millis(10)).await;
    }
    start.elapsed()
}
