//! Half-open connections: a session closes after two ping intervals without a sign of life,
//! whatever the handler does. A client that responds stays connected.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ws;
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use portcullis::session::SessionsBuilder;
use portcullis::{GuardedUpgrade, Profile, close::CloseCodes};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    HOUR, HttpVersion, SECOND, Socket, Table, TestServer, connect, handlers, settle,
};

const INTERVAL: Duration = Duration::from_secs(10);

const HANDLERS: [&str; 7] = [
    "/echo",
    "/idle",
    "/sends",
    "/floods",
    "/idle-reader",
    "/idle-writer",
    "/reads-once",
];

/// A client that responds is pinged about once per interval. When the network is cut, the session
/// closes and its capacity is free again.
#[tokio::test(start_paused = true)]
async fn unresponsive_client_is_closed_whatever_the_handler_does() {
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        for handler in HANDLERS {
            let server = server(|sessions| sessions.max_sessions(1));
            let (socket, network) = connect(&server, version, handler).await;
            let pings = Arc::new(AtomicUsize::new(0));
            let client = tokio::spawn(read(socket, Arc::clone(&pings)));
            sleep(6 * INTERVAL).await;
            let row = (version, handler);
            table.row((row, "responds"), 1, server.sessions.len());
            let pings = pings.load(Ordering::SeqCst);
            table.row((row, "pings", pings), true, (5..=7).contains(&pings));

            network.cut();
            let lasted = until_closed(&server).await;
            table.row((row, "cut", lasted), true, lasted <= 2 * INTERVAL);
            let last = server.events.last();
            let is_unresponsive = last.starts_with("closed alice: unresponsive");
            table.row((row, last), true, is_unresponsive);
            server.assert_counts_match();
            let (next, _) = connect(&server, version, handler).await;
            assert_eq!(server.sessions.len(), 1, "the capacity is not free");
            drop(next);
            client.abort();
        }
    }
    table.finish();
}

/// The client sends but does not answer pings. A message counts at the time at which it arrives,
/// even if the handler reads it much later.
#[tokio::test(start_paused = true)]
async fn every_message_is_a_sign_of_life() {
    let messages = [
        ("a text", Message::text("hello")),
        ("a ping", Message::Ping(Bytes::from_static(b"handler"))),
        ("a pong", Message::Pong(Bytes::new())),
    ];
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        for handler in ["/echo", "/idle", "/idle-writer"] {
            for (name, message) in &messages {
                let server = server(|sessions| sessions);
                let (mut socket, network) = connect(&server, version, handler).await;
                for _ in 0..50 {
                    socket.send(message.clone()).await.unwrap();
                    sleep(SECOND).await;
                }
                let row = (version, handler, *name);
                table.row((row, "sends"), 1, server.sessions.len());
                network.cut();
                sleep(2 * INTERVAL).await;
                // The session stays open for messages that the application has not read.
                let unread = handler == "/idle" && *name != "a ping";
                table.row((row, "cut"), usize::from(unread), server.sessions.len());
            }
        }
    }
    table.finish();
}

/// A suspended client: its kernel acknowledges every packet, but the client reads nothing. When it
/// resumes, it finds the ping and the close frame.
#[tokio::test(start_paused = true)]
async fn suspended_client_is_closed_within_two_intervals() {
    for version in HttpVersion::ALL {
        for handler in HANDLERS {
            for custom in [None, Some(4008)] {
                let server = server_with(
                    |sessions| sessions,
                    |mut codes| {
                        codes.unresponsive = custom.unwrap_or(codes.unresponsive);
                        codes
                    },
                );
                let (socket, _network) = connect(&server, version, handler).await;
                let lasted = until_closed(&server).await;
                assert!(lasted <= 2 * INTERVAL, "{version:?} {handler}: {lasted:?}");
                assert!(
                    lasted >= INTERVAL * 15 / 16,
                    "{version:?} {handler}: {lasted:?}"
                );
                if handler == "/idle" {
                    let mut found = Vec::new();
                    let _ = socket.into_inner().read_to_end(&mut found).await;
                    // RFC 6455 §5.2: final, a ping of five bytes, a close of 21; not masked.
                    let mut expected = b"\x89\x05guard\x88\x15".to_vec();
                    expected.extend(custom.unwrap_or(3008).to_be_bytes());
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

#[tokio::test(start_paused = true)]
async fn slow_handler_receives_every_message_of_a_lost_client() {
    for version in HttpVersion::ALL {
        let read = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&read);
        let slow = async |upgrade: GuardedUpgrade| {
            upgrade.on_upgrade(async move |mut socket| {
                while let Some(Ok(ws::Message::Text(_))) = socket.recv().await {
                    counted.fetch_add(1, Ordering::SeqCst);
                    sleep(3 * INTERVAL).await;
                }
            })
        };
        let routes = Router::new().route("/slow", any(slow));
        let server = TestServer::with_handlers(routes, |it| it.ping_every(INTERVAL), |auth| auth);
        server.accept("t0k", "alice", HOUR);
        let (mut socket, network) = connect(&server, version, "/slow").await;
        for _ in 0..5 {
            socket.send(Message::text("hello")).await.unwrap();
        }
        settle().await;
        network.cut();
        // The handler reads the fifth message after its fourth pause.
        sleep(12 * INTERVAL + SECOND).await;
        assert_eq!(read.load(Ordering::SeqCst), 5, "{version:?}");
        assert_eq!(server.sessions.len(), 1, "{version:?}");
        assert!(until_closed(&server).await <= 2 * INTERVAL, "{version:?}");
    }
}

/// A client that disconnects, with a close frame or without one.
#[tokio::test(start_paused = true)]
async fn disconnect_is_not_reported_as_unresponsive() {
    for version in HttpVersion::ALL {
        for handler in HANDLERS {
            for close_frame in [true, false] {
                let server = server(|sessions| sessions);
                let (mut socket, _network) = connect(&server, version, handler).await;
                if close_frame {
                    socket.close(None).await.unwrap();
                    settle().await;
                }
                drop(socket);
                let row = (version, handler, close_frame);
                let lasted = until_closed(&server).await;
                assert!(lasted <= 2 * INTERVAL, "{row:?}: {lasted:?}");
                let last = server.events.last();
                let ends = ["closed alice: client", "closed alice: handler"];
                let is_disconnect = ends.iter().any(|end| last.starts_with(end));
                assert!(is_disconnect, "{row:?}: {last}");
                server.assert_counts_match();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn handler_that_closes_waits_at_most_two_intervals_for_the_client() {
    for version in HttpVersion::ALL {
        let closes = async |upgrade: GuardedUpgrade| {
            upgrade.on_upgrade(async |mut socket| {
                let _ = socket.send(ws::Message::Close(None)).await;
                while let Some(Ok(_)) = socket.recv().await {}
            })
        };
        let routes = Router::new().route("/closes", any(closes));
        let server = TestServer::with_handlers(routes, |it| it.ping_every(INTERVAL), |auth| auth);
        server.accept("t0k", "alice", HOUR);

        let (mut socket, _network) = connect(&server, version, "/closes").await;
        sleep(INTERVAL * 15 / 16).await;
        assert_eq!(server.sessions.len(), 1, "{version:?}: closed too early");
        assert!(socket.next().await.unwrap().unwrap().is_close());
        assert!(socket.next().await.is_none());
        settle().await;
        assert!(server.sessions.is_empty(), "{version:?}");

        let (_socket, _network) = connect(&server, version, "/closes").await;
        assert!(until_closed(&server).await <= 2 * INTERVAL, "{version:?}");
    }
}

/// A server that pings, with more handlers.
fn server(settings: fn(SessionsBuilder) -> SessionsBuilder) -> TestServer {
    server_with(settings, |codes| codes)
}

/// A server that pings, with other close codes.
fn server_with(
    settings: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
    codes: impl FnOnce(CloseCodes) -> CloseCodes,
) -> TestServer {
    let routes = handlers()
        .route("/floods", any(floods))
        .route("/reads-once", any(reads_once));
    let profile = Profile::default().close_codes(codes(CloseCodes::registered()));
    let server = TestServer::with_handlers(
        routes,
        |it| settings(it.ping_every(INTERVAL)),
        |auth| auth.profile(profile),
    );
    server.accept("t0k", "alice", HOUR);
    server
}

/// Waits in `send` except while its client reads.
async fn floods(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        while socket.send(vec![0; 64 * 1024].into()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
}

/// Waits for one message, then never reads again, so that the waker of its reader is stale.
async fn reads_once(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        let _ = timeout(SECOND, socket.recv()).await;
        pending::<()>().await;
        drop(socket);
    })
}

/// Reads, and so answers pings. It reads in bursts, so that a handler that floods has to wait.
async fn read(mut socket: Socket, pings: Arc<AtomicUsize>) {
    loop {
        let mut remaining = 4 * 1024 * 1024;
        while let Ok(message) = timeout(2 * SECOND, socket.next()).await {
            match message {
                Some(Ok(Message::Binary(bytes))) => {
                    remaining -= remaining.min(bytes.len());
                    if remaining == 0 {
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

/// Waits until every session is closed and returns the time.
async fn until_closed(server: &TestServer) -> Duration {
    let start = Instant::now();
    while !server.sessions.is_empty() && start.elapsed() < 10 * INTERVAL {
        sleep(Duration::from_millis(10)).await;
    }
    start.elapsed()
}
