//! Every session that was opened is closed once, and what is open, counted and has a place is the
//! same, whatever handlers and clients do. And how many sessions there may be.

use std::time::Duration;

use futures_util::StreamExt;
use portcullis::session::{CloseFrame, RenewError, SessionEvent};
use portcullis::{Credential, Revocation};

use crate::live::{HANDLERS, Live, end_of, settle};
use crate::site::Over;
use crate::table::Table;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// How a session ends, and the cause that its record names.
#[tokio::test(start_paused = true)]
async fn causes() {
    let mut table = Table::new();
    for over in Over::BOTH {
        let ends = [
            "client closes",
            "client is gone",
            "client is too loud",
            "handler leaves",
            "handler panics",
            "expired",
            "revoked",
            "application",
            "application, on a thread of its own",
            "other subject",
            "other subject, on a thread of its own",
            "shutdown",
        ];
        for end in ends {
            let live = Live::new(|sessions| sessions);
            live.grant("t0k", "alice", 10 * SECOND);
            live.grant("b0b", "bob", HOUR);
            let path = match end {
                "handler leaves" => "/leaves",
                "handler panics" => "/panics",
                _ => "/echo",
            };
            let mut socket = live.open(over, path, "t0k").await;
            let id = live.sessions.list().first().map(|session| session.id);
            let id = || id.expect("it is open");
            let (cause, expected) = match end {
                "client closes" => {
                    socket.close().await;
                    ("client", None)
                }
                "client is gone" => {
                    drop(socket);
                    ("client", None)
                }
                "client is too loud" => {
                    let _ = socket.send(vec![0; 2 * 1024 * 1024]).await;
                    ("client", None)
                }
                "handler leaves" => ("handler", Some(("gone", socket))),
                "handler panics" => {
                    socket.send("now").await.unwrap();
                    ("handler", Some(("gone", socket)))
                }
                "expired" => {
                    live.pass(10 * SECOND).await;
                    ("expired", Some(("3000 credential expired", socket)))
                }
                "revoked" => {
                    live.sessions
                        .revoke(Revocation::subject("alice"))
                        .await
                        .unwrap();
                    ("revoked", Some(("3003 credential revoked", socket)))
                }
                "application" => {
                    assert!(live.sessions.close(id(), CloseFrame::new(4000, "bye")));
                    assert!(!live.sessions.close(id(), CloseFrame::new(4001, "again")));
                    ("application", Some(("4000 bye", socket)))
                }
                "application, on a thread of its own" => {
                    let bye = CloseFrame::new(4000, "bye");
                    assert!(elsewhere(|| live.sessions.close(id(), bye)));
                    ("application", Some(("4000 bye", socket)))
                }
                "other subject, on a thread of its own" => {
                    let bob = live.identity("bob", HOUR);
                    let renewed = elsewhere(|| live.sessions.renew_with(id(), bob));
                    assert_eq!(renewed, Err(RenewError::OtherSubject));
                    (
                        "other-subject",
                        Some(("3003 credential of another subject", socket)),
                    )
                }
                "other subject" => {
                    let _ = live.sessions.renew(id(), Credential::bearer("b0b")).await;
                    (
                        "other-subject",
                        Some(("3003 credential of another subject", socket)),
                    )
                }
                _ => {
                    let shutdown = live.sessions.shutdown(5 * SECOND);
                    let (left, ()) = tokio::join!(shutdown, async {
                        assert_eq!(end_of(&mut socket).await, "1001 server shuts down");
                    });
                    assert_eq!(left, 0);
                    ("shutdown", None)
                }
            };
            if let Some((expected, mut socket)) = expected {
                table.row((over, end, "close"), expected, end_of(&mut socket).await);
            }
            live.pass(5 * SECOND).await;
            let (opened, closed) = live.ledger.balance();
            table.row(
                (over, end, "balance"),
                "1 1 0",
                format!("{opened} {closed} {}", live.sessions.len()),
            );
            let last = live.ledger.all().into_iter().next_back().unwrap();
            let expected = format!("closed alice: {cause} after");
            table.row(
                (over, end, "cause"),
                true,
                last.starts_with(&expected) || {
                    eprintln!("{last}");
                    false
                },
            );
        }
    }
    table.finish();
}

/// Does it where there is no runtime.
fn elsewhere<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

/// Sessions whose socket never comes give their place back.
#[tokio::test(start_paused = true)]
async fn sockets_that_never_come() {
    for over in Over::BOTH {
        let live = Live::new(|sessions| sessions.max_sessions(1));
        live.grant("t0k", "alice", HOUR);
        for path in ["/drops", "/answers-otherwise", "/nowhere", "/drops"] {
            let refused = live.try_open(over, path, "t0k").await;
            if let Err(response) = &refused {
                assert_ne!(response.status(), 503, "{path}");
            }
            drop(refused);
            settle().await;
            assert_eq!(live.sessions.len(), 0, "{path}");
        }
        let (opened, closed) = live.ledger.balance();
        assert_eq!(opened, closed);
        let _socket = live.open(over, "/asleep", "t0k").await;
        live.assert_balanced();
        assert_eq!(live.sessions.len(), 1);
    }
}

/// A client that goes between the response and the socket.
#[tokio::test(start_paused = true)]
async fn upgrades_that_fail() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let live = Live::new(|sessions| sessions.max_sessions(2));
    live.grant("t0k", "alice", HOUR);
    let client = live.client(Over::Http1);
    for length in [0, 1, 40, 12] {
        let mut pipe = client.pipe();
        let request = "GET /asleep HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer t0k\r\n\
            Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        pipe.write_all(request.as_bytes()).await.unwrap();
        let mut some = vec![0; length];
        pipe.read_exact(&mut some).await.unwrap();
        drop(pipe);
        settle().await;
    }
    // A handler that is asleep does not learn that the client has gone, so the places are used up.
    live.assert_balanced();
    assert_eq!(live.sessions.shutdown(5 * SECOND).await, 0);
    live.assert_balanced();
}

/// 429 for one subject, 503 in all, and a place is free when a socket is gone.
#[tokio::test(start_paused = true)]
async fn limits() {
    for over in Over::BOTH {
        let live = Live::new(|it| it.max_sessions(3).max_sessions_per_subject(2));
        for subject in ["alice", "bob", "carol"] {
            live.grant(subject, subject, HOUR);
        }
        let ask = async |subject: &str| {
            let handshake = live.client(over).websocket("/asleep").bearer(subject);
            match handshake.connect().await {
                Ok(_) => "open".to_owned(),
                Err(response) => {
                    let again = response.header("retry-after").is_some();
                    format!("{}, again {again}", response.status().as_u16())
                }
            }
        };
        let first = live.open(over, "/asleep", "alice").await;
        let _second = live.open(over, "/echo", "alice").await;
        assert_eq!(ask("alice").await, "429, again true");
        let third = live.open(over, "/echo", "bob").await;
        assert_eq!(ask("carol").await, "503, again true");
        assert_eq!(
            ask("alice").await,
            "503, again true",
            "no room at all comes first"
        );
        third.close().await;
        settle().await;
        assert_eq!(ask("alice").await, "429, again true");
        let id = live.sessions.list()[0].id;
        live.sessions.close(id, CloseFrame::new(1000, ""));
        drop(first);
        live.pass(5 * SECOND).await;
        assert_eq!(ask("carol").await, "open");
        live.assert_balanced();
    }
}

/// During a shutdown nobody is let in, and it ends in time whatever clients do.
#[tokio::test(start_paused = true)]
async fn shutdown() {
    for over in Over::BOTH {
        let live = Live::new(|sessions| sessions);
        live.grant("t0k", "alice", HOUR);
        let mut sockets = Vec::new();
        for path in HANDLERS {
            sockets.push(live.open(over, path, "t0k").await);
        }
        let start = tokio::time::Instant::now();
        let (left, ()) = tokio::join!(live.sessions.shutdown(10 * SECOND), async {
            settle().await;
            let late = live.try_open(over, "/echo", "t0k").await;
            let refused = late.unwrap_err();
            assert_eq!(
                (refused.status().as_u16(), refused.header("retry-after")),
                (503, Some("5"))
            );
        });
        // Nobody reads, so nobody answers the close.
        assert!(start.elapsed() < 4 * SECOND, "{:?}", start.elapsed());
        assert_eq!(left, 0);
        live.assert_balanced();
        for socket in &mut sockets {
            assert_eq!(end_of(socket).await, "1001 server shuts down");
        }
        assert_eq!(live.sessions.shutdown(SECOND).await, 0, "again");
    }
    // A limit that is too short says how many are left.
    let live = Live::new(|sessions| sessions);
    live.grant("t0k", "alice", HOUR);
    let _socket = live.open(Over::Http1, "/asleep", "t0k").await;
    assert_eq!(live.sessions.shutdown(SECOND).await, 1);
}

/// The stream of events says what the observer hears, and how much a slow reader has missed.
#[tokio::test(start_paused = true)]
async fn events() {
    let live = Live::new(|sessions| sessions);
    live.grant("t0k", "alice", HOUR);
    let mut events = Box::pin(live.sessions.events());
    live.open(Over::Http1, "/leaves", "t0k").await;
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
        live.open(Over::Http1, "/leaves", "t0k").await;
    }
    let missed = events.next().await.unwrap();
    assert!(matches!(missed, SessionEvent::Missed(16)), "{missed:?}");
}

/// A thousand sessions that end in every way at once: the books are right all the same.
#[tokio::test(start_paused = true)]
async fn a_crowd() {
    for over in Over::BOTH {
        let live = Live::new(|sessions| sessions.max_sessions(150));
        let mut sockets = Vec::new();
        for round in 0..10 {
            for index in 0..20 {
                let subject = format!("s{index}");
                live.grant(&subject, &subject, Duration::from_secs(20 + index));
                let path = ["/echo", "/asleep", "/leaves", "/panics", "/drops"][index as usize % 5];
                let handshake = live.client(over).websocket(path).bearer(&subject);
                if let Ok(mut socket) = handshake.connect().await {
                    let _ = socket.send("hello").await;
                    sockets.push(socket);
                }
            }
            match round % 4 {
                0 => drop(sockets.drain(..sockets.len() / 2)),
                1 => {
                    let _ = live.sessions.revoke(Revocation::subject("s0")).await;
                }
                2 => {
                    for session in live.sessions.list().iter().take(10) {
                        live.sessions.close(session.id, CloseFrame::new(4000, ""));
                    }
                }
                _ => live.pass(10 * SECOND).await,
            }
            live.assert_balanced();
        }
        live.pass(60 * SECOND).await;
        live.assert_balanced();
        assert_eq!(live.sessions.len(), 0, "every deadline is over");
    }
}
