//! A socket closes when its credential expires. Five seconds after the deadline the connection is
//! closed, whatever the client and the handler do.

use std::time::{Duration, SystemTime};

use portcullis::testing::{Message, TestSocket};
use portcullis::{Identity, clock::Clock};

use crate::support::{
    HttpVersion, LONG_RUNNING, MINUTE, SECOND, Table, TestServer, describe_close, settle,
    wait_for_close,
};

const EXPIRED: &str = "3000 credential expired";

/// How a client uses its socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Client {
    Reads,
    Floods,
    NeverReads,
    IgnoresTheClose,
}

#[tokio::test(start_paused = true)]
async fn expired_session_closes_whatever_client_and_handler_do() {
    const CLIENTS: [Client; 4] = [
        Client::Reads,
        Client::Floods,
        Client::NeverReads,
        Client::IgnoresTheClose,
    ];
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        for handler in LONG_RUNNING {
            for client in CLIENTS {
                let server = TestServer::new(|sessions| sessions);
                server.accept("t0k", "alice", MINUTE);
                let socket = server.open(version, handler, "t0k").await;
                server.advance(MINUTE - 2 * SECOND).await;
                let client_task = tokio::spawn(behave(socket, client));
                server
                    .advance(2 * SECOND - Duration::from_millis(100))
                    .await;
                let row = (version, handler, client);
                table.row((row, "before"), 1, server.sessions.len());
                server.advance(Duration::from_millis(5_100)).await;
                table.row((row, "after"), 0, server.sessions.len());
                // A client with full buffers may not receive the close frame.
                let code = tokio::time::timeout(SECOND, client_task).await;
                let code = match code {
                    Ok(code) => code.unwrap(),
                    Err(_) => "open".to_owned(),
                };
                let expected = match (client, handler) {
                    (Client::NeverReads | Client::Floods, "/sends" | "/echo") if code == "eof" => {
                        "eof"
                    }
                    // The session and its socket are closed. Bytes beyond the client's window stay
                    // in hyper's stream until the client reads them or disconnects.
                    (Client::Floods, "/sends") if version == HttpVersion::Http2 => "open",
                    _ => EXPIRED,
                };
                table.row((row, "close"), expected, code);
                let closed = server.events.last();
                let is_expired = closed.starts_with("closed alice: expired after 6");
                assert!(is_expired, "{row:?}: {closed}");
                server.assert_counts_match();
            }
        }
    }
    table.finish();
}

#[tokio::test(start_paused = true)]
async fn sessions_expire_if_the_observer_panics() {
    for version in HttpVersion::ALL {
        let server = TestServer::new(|sessions| {
            sessions
                .warn_before(10 * SECOND)
                .observe(|_| panic!("the observer is broken"))
        });
        server.accept("t0k", "alice", MINUTE);
        let mut sockets = Vec::new();
        for _ in 0..3 {
            sockets.push(server.open(version, "/echo", "t0k").await);
        }
        server.advance(MINUTE).await;
        for socket in &mut sockets {
            assert_eq!(wait_for_close(socket).await, EXPIRED, "{version:?}");
        }
        settle().await;
        assert_eq!(server.sessions.len(), 0, "{version:?}");
    }
}

/// Uses the socket until it ends and returns its close frame.
async fn behave(mut socket: TestSocket, client: Client) -> String {
    match client {
        Client::Reads => wait_for_close(&mut socket).await,
        Client::Floods => {
            // Tokio's paused clock only advances when every task waits.
            while socket.send(vec![0; 4 * 1024]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            wait_for_close(&mut socket).await
        }
        Client::NeverReads => {
            tokio::time::sleep(Duration::from_secs(7)).await;
            wait_for_close(&mut socket).await
        }
        Client::IgnoresTheClose => {
            // tungstenite answers a close frame at the next read.
            let close = loop {
                match socket.recv().await {
                    Some(Ok(Message::Close(Some(frame)))) => break describe_close(&frame),
                    Some(Ok(_)) => {}
                    _ => return "eof".to_owned(),
                }
            };
            tokio::time::sleep(Duration::from_secs(6)).await;
            match socket.send("still there?").await {
                Err(_) => close,
                Ok(()) => "open".to_owned(),
            }
        }
    }
}

/// Each row is a deadline in seconds after the session opened.
#[tokio::test(start_paused = true)]
async fn deadline_is_the_earliest_limit() {
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        let row = async |settings: fn(portcullis::session::SessionsBuilder) -> _,
                         identity: &dyn Fn(SystemTime) -> Identity| {
            let server = TestServer::new(settings);
            server.tokens.set("t0k", Ok(identity(server.clock.now())));
            let mut socket = server.open(version, "/echo", "t0k").await;
            let before = server.sessions.list()[0].deadline;
            let deadline = before
                .duration_since(server.clock.now())
                .unwrap_or_default();
            // The session closes at the deadline that it reports.
            server
                .advance(deadline.saturating_sub(SECOND).min(2 * 24 * 60 * MINUTE))
                .await;
            let open = server.sessions.len();
            server.advance(2 * SECOND).await;
            let end = wait_for_close(&mut socket).await;
            assert_eq!(
                (open, end.as_str()),
                (usize::from(deadline > SECOND), EXPIRED)
            );
            settle().await;
            server.assert_counts_match();
            deadline.as_secs()
        };
        let ends = |after: u64| {
            move |now: SystemTime| {
                Identity::builder("alice")
                    .expires_at(now + Duration::from_secs(after))
                    .build()
            }
        };
        table.row((version, "expiry"), 60, row(|it| it, &ends(60)).await);
        table.row(
            (version, "leeway"),
            70,
            row(|it| it.leeway(Duration::from_secs(10)), &ends(60)).await,
        );
        table.row(
            (version, "max"),
            30,
            row(|it| it.max_lifetime(Duration::from_secs(30)), &ends(60)).await,
        );
        table.row(
            (version, "max, no expiry"),
            30,
            row(|it| it.max_lifetime(Duration::from_secs(30)), &|_| {
                Identity::new("alice")
            })
            .await,
        );
        let session_end = |now: SystemTime| {
            Identity::builder("alice")
                .session_ends_at(now + Duration::from_secs(20))
                .expires_at(now + MINUTE)
                .build()
        };
        table.row(
            (version, "session end of the verifier"),
            20,
            row(|it| it.leeway(Duration::from_secs(10)), &session_end).await,
        );
        // Times that a clock cannot represent do not overflow.
        let absurd = [
            SystemTime::UNIX_EPOCH + Duration::from_secs(i64::MAX as u64),
            SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 53),
        ];
        for end in absurd {
            let identity = move |_| {
                Identity::builder("alice")
                    .expires_at(end)
                    .session_ends_at(end)
                    .build()
            };
            let settings = |it: portcullis::session::SessionsBuilder| {
                it.leeway(Duration::MAX)
                    .max_lifetime(Duration::from_secs(40))
            };
            table.row((version, end), 40, row(settings, &identity).await);
        }
    }
    table.finish();
}

/// An expired credential is admitted within the leeway, and the session closes at once.
#[tokio::test(start_paused = true)]
async fn identity_that_has_already_expired_opens_no_lasting_session() {
    let epoch = SystemTime::UNIX_EPOCH;
    for version in HttpVersion::ALL {
        for end in [epoch - Duration::from_secs(3_600), epoch, epoch + MINUTE] {
            let server = TestServer::new(|sessions| sessions);
            let identity = Identity::builder("alice").expires_at(end).build();
            server.tokens.set("t0k", Ok(identity));
            assert_eq!(
                server
                    .try_open(version, "/echo", "t0k")
                    .await
                    .unwrap_err()
                    .status(),
                401,
                "{end:?}"
            );
            // `session_ends_at` applies to the session, not to admission.
            let identity = Identity::builder("alice").session_ends_at(end).build();
            server.tokens.set("t0k", Ok(identity));
            let mut socket = server.open(version, "/echo", "t0k").await;
            server.advance(SECOND).await;
            assert_eq!(wait_for_close(&mut socket).await, EXPIRED, "{end:?}");
            settle().await;
            server.assert_counts_match();
            assert!(server.sessions.is_empty());
        }
        // Within the leeway of admission.
        let server = TestServer::new(|sessions| sessions);
        let late = server.clock.now() - Duration::from_secs(30);
        server.tokens.set(
            "t0k",
            Ok(Identity::builder("alice").expires_at(late).build()),
        );
        let mut socket = server.open(version, "/idle", "t0k").await;
        server.advance(SECOND).await;
        assert_eq!(wait_for_close(&mut socket).await, EXPIRED);
    }
}

/// `Duration::MAX` does not overflow in any setting.
#[tokio::test(start_paused = true)]
async fn session_without_a_deadline_stays_open() {
    for version in HttpVersion::ALL {
        let server = TestServer::new(|sessions| {
            sessions
                .max_lifetime(Duration::MAX)
                .leeway(Duration::MAX)
                .warn_before(Duration::MAX)
                .jitter(0.5)
        });
        server.tokens.set("t0k", Ok(Identity::new("alice")));
        let mut socket = server.open(version, "/echo", "t0k").await;
        server.advance(MINUTE).await;
        assert_eq!(server.sessions.list().len(), 1);
        socket.send("hello").await.unwrap();
        assert_eq!(socket.text().await, "hello");
    }
}

/// The wall clock jumps as after a suspend. A session that has expired closes within a second. If
/// the clock is set back before the deadline, the session stays open.
#[tokio::test(start_paused = true)]
async fn deadline_follows_a_clock_that_jumps() {
    for version in HttpVersion::ALL {
        let server = TestServer::new(|sessions| sessions);
        server.accept("t0k", "alice", MINUTE);
        let mut socket = server.open(version, "/idle", "t0k").await;
        server.advance(SECOND).await;
        server.clock.advance(MINUTE);
        tokio::time::sleep(SECOND + Duration::from_millis(10)).await;
        assert_eq!(wait_for_close(&mut socket).await, EXPIRED);

        server.accept("t0k", "alice", MINUTE);
        let mut socket = server.open(version, "/echo", "t0k").await;
        let start = server.clock.now();
        server.advance(59 * SECOND).await;
        server.clock.set(start);
        tokio::time::sleep(10 * SECOND).await;
        socket.send("hello").await.unwrap();
        assert_eq!(socket.text().await, "hello", "the clock was set back");
        server.clock.set(start + MINUTE);
        tokio::time::sleep(SECOND + Duration::from_millis(10)).await;
        assert_eq!(wait_for_close(&mut socket).await, EXPIRED);
        settle().await;
        server.assert_counts_match();
    }
}

/// The amount is random, up to the configured fraction.
#[tokio::test(start_paused = true)]
async fn jitter_only_shortens_sessions() {
    let server = TestServer::new(|sessions| sessions.jitter(0.1));
    server.accept("t0k", "alice", 1_000 * SECOND);
    let mut sockets = Vec::new();
    for _ in 0..32 {
        sockets.push(server.open(HttpVersion::Http1, "/idle", "t0k").await);
    }
    let start = server.clock.now();
    let mut lifetimes: Vec<_> = server
        .sessions
        .list()
        .iter()
        .map(|session| session.deadline.duration_since(start).unwrap())
        .collect();
    lifetimes.sort();
    let (shortest, longest) = (lifetimes[0], lifetimes[31]);
    assert!(
        shortest >= 900 * SECOND && longest <= 1_000 * SECOND,
        "{lifetimes:?}"
    );
    assert!(longest - shortest > 10 * SECOND, "{lifetimes:?}");
}

/// The handler receives the warning as a change, the observer as an event.
#[tokio::test(start_paused = true)]
async fn warning_is_sent_once_before_the_deadline() {
    for version in HttpVersion::ALL {
        let server = TestServer::new(|sessions| sessions.warn_before(10 * SECOND));
        server.accept("t0k", "alice", MINUTE);
        let mut socket = server.open(version, "/changes", "t0k").await;
        server.advance(49 * SECOND).await;
        assert_eq!(server.events.take(), ["opened alice"]);
        server.advance(2 * SECOND).await;
        assert_eq!(server.events.take(), ["expiring alice"], "once");
        let warning = socket.text().await;
        assert!(
            ["expiring in 9 s", "expiring in 10 s"].contains(&&*warning),
            "{warning}"
        );
        server.advance(10 * SECOND).await;
        assert_eq!(wait_for_close(&mut socket).await, EXPIRED);
        settle().await;
        assert_eq!(
            server.events.take(),
            ["closed alice: expired after 61 s"],
            "after the socket has closed"
        );
    }
}
