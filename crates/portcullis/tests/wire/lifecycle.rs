//! Every opened session is closed exactly once, and the counts stay correct whatever handlers and
//! clients do. The limits on the number of sessions.

use std::time::Duration;

use futures_util::StreamExt;
use portcullis::{Credential, session::Revocation};
use portcullis::{
    close::CloseFrame,
    session::{RenewError, SessionEvent},
};

use crate::support::{
    HOUR, HttpVersion, LONG_RUNNING, SECOND, Table, TestServer, raw_handshake, settle,
    wait_for_close,
};

#[tokio::test(start_paused = true)]
async fn each_session_closes_once_with_its_cause() {
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        let ends = [
            "client closes",
            "client disconnects",
            "client sends a message that is too large",
            "handler returns",
            "handler panics",
            "expired",
            "revoked",
            "application",
            "application, outside of the runtime",
            "other subject",
            "other subject, outside of the runtime",
            "shutdown",
        ];
        for end in ends {
            let server = TestServer::new(|sessions| sessions);
            server.accept("t0k", "alice", 10 * SECOND);
            server.accept("b0b", "bob", HOUR);
            let path = match end {
                "handler returns" => "/returns",
                "handler panics" => "/panics",
                _ => "/echo",
            };
            let mut socket = server.open(version, path, "t0k").await;
            let id = server.sessions.list().first().map(|session| session.id);
            let id = || id.expect("the session is open");
            let (cause, expected) = match end {
                "client closes" => {
                    socket.close().await;
                    ("client", None)
                }
                "client disconnects" => {
                    drop(socket);
                    ("client", None)
                }
                "client sends a message that is too large" => {
                    let _ = socket.send(vec![0; 2 * 1024 * 1024]).await;
                    ("client", None)
                }
                "handler returns" => ("handler", Some(("eof", socket))),
                "handler panics" => {
                    socket.send("now").await.unwrap();
                    ("handler", Some(("eof", socket)))
                }
                "expired" => {
                    server.advance(10 * SECOND).await;
                    ("expired", Some(("3000 credential expired", socket)))
                }
                "revoked" => {
                    server
                        .sessions
                        .revoke(Revocation::subject(None, "alice"))
                        .await
                        .unwrap();
                    ("revoked", Some(("3003 credential revoked", socket)))
                }
                "application" => {
                    assert!(server.sessions.close(id(), CloseFrame::new(4000, "bye")));
                    assert!(!server.sessions.close(id(), CloseFrame::new(4001, "again")));
                    ("application", Some(("4000 bye", socket)))
                }
                "application, outside of the runtime" => {
                    let bye = CloseFrame::new(4000, "bye");
                    assert!(outside_the_runtime(|| server.sessions.close(id(), bye)));
                    ("application", Some(("4000 bye", socket)))
                }
                "other subject, outside of the runtime" => {
                    let bob = server.identity("bob", HOUR);
                    let renewed = outside_the_runtime(|| server.sessions.renew_with(id(), bob));
                    assert_eq!(renewed, Err(RenewError::OtherSubject));
                    (
                        "other-subject",
                        Some(("3003 credential of another subject", socket)),
                    )
                }
                "other subject" => {
                    let _ = server.sessions.renew(id(), Credential::bearer("b0b")).await;
                    (
                        "other-subject",
                        Some(("3003 credential of another subject", socket)),
                    )
                }
                _ => {
                    let shutdown = server.sessions.shutdown(5 * SECOND);
                    let (remaining, ()) = tokio::join!(shutdown, async {
                        assert_eq!(
                            wait_for_close(&mut socket).await,
                            "1001 server shutting down"
                        );
                    });
                    assert_eq!(remaining, 0);
                    ("shutdown", None)
                }
            };
            if let Some((expected, mut socket)) = expected {
                table.row(
                    (version, end, "close"),
                    expected,
                    wait_for_close(&mut socket).await,
                );
            }
            server.advance(5 * SECOND).await;
            let (opened, closed) = server.events.opened_and_closed();
            let counts = format!("{opened} {closed} {}", server.sessions.len());
            table.row((version, end, "counts"), "1 1 0", counts);
            let last = server.events.last();
            let expected = format!("closed alice: {cause} after");
            let row = (version, end, "cause", &last);
            table.row(row, true, last.starts_with(&expected));
        }
    }
    table.finish();
}

/// Runs `work` on a thread without a runtime.
fn outside_the_runtime<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

/// The handler drops the upgrade, responds otherwise, or does not exist.
#[tokio::test(start_paused = true)]
async fn upgrade_without_a_socket_frees_its_capacity() {
    for version in HttpVersion::ALL {
        let server = TestServer::new(|sessions| sessions.max_sessions(1));
        server.accept("t0k", "alice", HOUR);
        for path in [
            "/drops-upgrade",
            "/other-response",
            "/nowhere",
            "/drops-upgrade",
        ] {
            let refused = server.try_open(version, path, "t0k").await;
            if let Err(response) = &refused {
                assert_ne!(response.status(), 503, "{path}");
            }
            drop(refused);
            settle().await;
            assert_eq!(server.sessions.len(), 0, "{path}");
        }
        let (opened, closed) = server.events.opened_and_closed();
        assert_eq!(opened, closed);
        let _socket = server.open(version, "/idle", "t0k").await;
        server.assert_counts_match();
        assert_eq!(server.sessions.len(), 1);
    }
}

/// The client disconnects while it reads the response.
#[tokio::test(start_paused = true)]
async fn client_that_disconnects_during_the_upgrade_is_counted_correctly() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let server = TestServer::new(|sessions| sessions.max_sessions(2));
    server.accept("t0k", "alice", HOUR);
    let client = server.client(HttpVersion::Http1);
    for length in [0, 1, 40, 12] {
        let mut pipe = client.pipe();
        let request = raw_handshake("GET /idle HTTP/1.1", "Authorization: Bearer t0k\r\n");
        pipe.write_all(request.as_bytes()).await.unwrap();
        let mut part = vec![0; length];
        pipe.read_exact(&mut part).await.unwrap();
        drop(pipe);
        settle().await;
    }
    // An idle handler does not notice the disconnect, so the sessions stay open.
    server.assert_counts_match();
    assert_eq!(server.sessions.shutdown(5 * SECOND).await, 0);
    server.assert_counts_match();
}

/// 429 for the limit of a subject, 503 for the limit in total.
#[tokio::test(start_paused = true)]
async fn session_above_a_limit_is_refused_until_another_closes() {
    for version in HttpVersion::ALL {
        let server = TestServer::new(|it| it.max_sessions(3).max_sessions_per_subject(2));
        for subject in ["alice", "bob", "carol"] {
            server.accept(subject, subject, HOUR);
        }
        let connect = async |subject: &str| {
            let handshake = server.client(version).websocket("/idle").bearer(subject);
            match handshake.connect().await {
                Ok(_) => "open".to_owned(),
                Err(response) => {
                    let retry_after = response.header("retry-after").is_some();
                    format!("{}, retry-after {retry_after}", response.status().as_u16())
                }
            }
        };
        let first = server.open(version, "/idle", "alice").await;
        let _second = server.open(version, "/echo", "alice").await;
        assert_eq!(connect("alice").await, "429, retry-after true");
        let third = server.open(version, "/echo", "bob").await;
        assert_eq!(connect("carol").await, "503, retry-after true");
        assert_eq!(
            connect("alice").await,
            "503, retry-after true",
            "the total limit is checked first"
        );
        third.close().await;
        settle().await;
        assert_eq!(connect("alice").await, "429, retry-after true");
        let id = server.sessions.list()[0].id;
        server.sessions.close(id, CloseFrame::new(1000, ""));
        drop(first);
        server.advance(5 * SECOND).await;
        assert_eq!(connect("carol").await, "open");
        server.assert_counts_match();
    }
}

/// A shutdown refuses new sessions and ends in time, whatever the clients do.
#[tokio::test(start_paused = true)]
async fn shutdown_closes_all_sessions_within_its_limit() {
    for version in HttpVersion::ALL {
        let server = TestServer::new(|sessions| sessions);
        server.accept("t0k", "alice", HOUR);
        let mut sockets = Vec::new();
        for path in LONG_RUNNING {
            sockets.push(server.open(version, path, "t0k").await);
        }
        let start = tokio::time::Instant::now();
        let (remaining, ()) = tokio::join!(server.sessions.shutdown(10 * SECOND), async {
            settle().await;
            let late = server.try_open(version, "/echo", "t0k").await;
            let refused = late.unwrap_err();
            assert_eq!(
                (refused.status().as_u16(), refused.header("retry-after")),
                (503, Some("5"))
            );
        });
        // No client reads, so no client answers the close frame.
        assert!(start.elapsed() < 4 * SECOND, "{:?}", start.elapsed());
        assert_eq!(remaining, 0);
        server.assert_counts_match();
        for socket in &mut sockets {
            assert_eq!(wait_for_close(socket).await, "1001 server shutting down");
        }
        assert_eq!(server.sessions.shutdown(SECOND).await, 0, "again");
    }
    // A limit that is too short returns the number of open sessions.
    let server = TestServer::new(|sessions| sessions);
    server.accept("t0k", "alice", HOUR);
    let _socket = server.open(HttpVersion::Http1, "/idle", "t0k").await;
    assert_eq!(server.sessions.shutdown(SECOND).await, 1);
}

#[tokio::test(start_paused = true)]
async fn event_stream_reports_how_many_events_a_slow_reader_missed() {
    let server = TestServer::new(|sessions| sessions);
    server.accept("t0k", "alice", HOUR);
    let mut events = Box::pin(server.sessions.events());
    server.open(HttpVersion::Http1, "/returns", "t0k").await;
    let kind = |event: &SessionEvent| match event {
        SessionEvent::Opened(session) => format!("opened {}", session.id),
        SessionEvent::Closed { session, cause, .. } => format!("closed {} {cause}", session.id),
        other => format!("{other:?}"),
    };
    let opened = kind(&events.next().await.unwrap());
    let closed = kind(&events.next().await.unwrap());
    let id = opened.strip_prefix("opened ").unwrap();
    assert_eq!(closed, format!("closed {id} handler"));
    for _ in 0..520 {
        server.open(HttpVersion::Http1, "/returns", "t0k").await;
    }
    let missed = events.next().await.unwrap();
    assert!(matches!(missed, SessionEvent::Missed(16)), "{missed:?}");
}

/// Many sessions end in different ways at the same time.
#[tokio::test(start_paused = true)]
async fn counts_stay_correct_under_load() {
    for version in HttpVersion::ALL {
        let server = TestServer::new(|sessions| sessions.max_sessions(150));
        let mut sockets = Vec::new();
        for round in 0..10 {
            for index in 0..20 {
                let subject = format!("s{index}");
                server.accept(&subject, &subject, Duration::from_secs(20 + index));
                let path =
                    ["/echo", "/idle", "/returns", "/panics", "/drops-upgrade"][index as usize % 5];
                let handshake = server.client(version).websocket(path).bearer(&subject);
                if let Ok(mut socket) = handshake.connect().await {
                    let _ = socket.send("hello").await;
                    sockets.push(socket);
                }
            }
            match round % 4 {
                0 => drop(sockets.drain(..sockets.len() / 2)),
                1 => {
                    let _ = server
                        .sessions
                        .revoke(Revocation::subject(None, "s0"))
                        .await;
                }
                2 => {
                    for session in server.sessions.list().iter().take(10) {
                        server.sessions.close(session.id, CloseFrame::new(4000, ""));
                    }
                }
                _ => server.advance(10 * SECOND).await,
            }
            server.assert_counts_match();
        }
        server.advance(60 * SECOND).await;
        server.assert_counts_match();
        assert_eq!(server.sessions.len(), 0, "every deadline has passed");
    }
}
