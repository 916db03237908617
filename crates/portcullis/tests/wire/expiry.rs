//! A socket ends with its credential: T34. Whatever the client does, and whatever the handler does,
//! the connection is gone five seconds after the deadline.

use std::time::{Duration, SystemTime};

use portcullis::testing::{Message, TestSocket};
use portcullis::{Clock, Identity};

use crate::live::{HANDLERS, Live, end_of, settle};
use crate::site::Over;
use crate::table::Table;

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const EXPIRED: &str = "3000 credential expired";

/// What a client does with its socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Client {
    Reads,
    Floods,
    NeverReads,
    IgnoresTheClose,
}

#[tokio::test(start_paused = true)]
async fn whatever_client_and_handler_do() {
    const CLIENTS: [Client; 4] = [
        Client::Reads,
        Client::Floods,
        Client::NeverReads,
        Client::IgnoresTheClose,
    ];
    let mut table = Table::new();
    for over in Over::BOTH {
        for handler in HANDLERS {
            for client in CLIENTS {
                let live = Live::new(|sessions| sessions);
                live.grant("t0k", "alice", MINUTE);
                let socket = live.open(over, handler, "t0k").await;
                live.pass(MINUTE - 2 * SECOND).await;
                let client_task = tokio::spawn(behave(socket, client));
                live.pass(2 * SECOND - Duration::from_millis(100)).await;
                let row = (over, handler, client);
                table.row((row, "before"), 1, live.sessions.len());
                live.pass(Duration::from_millis(5_100)).await;
                table.row((row, "after"), 0, live.sessions.len());
                // A client whose own buffers are full of other things may not get to the code.
                let code = tokio::time::timeout(SECOND, client_task).await;
                let code = match code {
                    Ok(code) => code.unwrap(),
                    Err(_) => "open".to_owned(),
                };
                let expected = match (client, handler) {
                    (Client::NeverReads | Client::Floods, "/sends" | "/echo") if code == "gone" => {
                        "gone"
                    }
                    // The session is gone, and so is our socket. What the client has no window for
                    // stays in hyper's stream until the client reads it or goes.
                    (Client::Floods, "/sends") if over == Over::Http2 => "open",
                    _ => EXPIRED,
                };
                table.row((row, "close"), expected, code);
                let closed = live
                    .ledger
                    .all()
                    .into_iter()
                    .next_back()
                    .unwrap_or_default();
                let is_expired = closed.starts_with("closed alice: expired after 6");
                assert!(is_expired, "{row:?}: {closed}");
                live.assert_balanced();
            }
        }
    }
    table.finish();
}

/// An observer is the application's own code. If it panics, nobody's deadline goes with it.
#[tokio::test(start_paused = true)]
async fn an_observer_that_panics() {
    for over in Over::BOTH {
        let live = Live::new(|sessions| {
            sessions
                .warn_before(10 * SECOND)
                .observe(|_| panic!("the observer is broken"))
        });
        live.grant("t0k", "alice", MINUTE);
        let mut sockets = Vec::new();
        for _ in 0..3 {
            sockets.push(live.open(over, "/echo", "t0k").await);
        }
        live.pass(MINUTE).await;
        for socket in &mut sockets {
            assert_eq!(end_of(socket).await, EXPIRED, "{over:?}");
        }
        settle().await;
        assert_eq!(live.sessions.len(), 0, "{over:?}");
    }
}

/// Until the connection is gone; what the close frame said.
async fn behave(mut socket: TestSocket, client: Client) -> String {
    match client {
        Client::Reads => end_of(&mut socket).await,
        Client::Floods => {
            // Tokio's paused clock only goes on when nobody has anything to do.
            while socket.send(vec![0; 4 * 1024]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            end_of(&mut socket).await
        }
        Client::NeverReads => {
            tokio::time::sleep(Duration::from_secs(7)).await;
            end_of(&mut socket).await
        }
        Client::IgnoresTheClose => {
            // tungstenite answers a close when it is read on, and not before.
            let said = loop {
                match socket.recv().await {
                    Some(Ok(Message::Close(Some(frame)))) => {
                        break format!("{} {}", u16::from(frame.code), frame.reason);
                    }
                    Some(Ok(_)) => {}
                    _ => return "gone".to_owned(),
                }
            };
            tokio::time::sleep(Duration::from_secs(6)).await;
            match socket.send("still there?").await {
                Err(_) => said,
                Ok(()) => "open".to_owned(),
            }
        }
    }
}

/// When a session ends: `(name, expiry, settings)` and the second after which it is gone.
#[tokio::test(start_paused = true)]
async fn deadlines() {
    let mut table = Table::new();
    for over in Over::BOTH {
        let row = async |settings: fn(portcullis::session::SessionsBuilder) -> _,
                         identity: &dyn Fn(SystemTime) -> Identity| {
            let live = Live::new(settings);
            live.tokens.set("t0k", Ok(identity(live.clock.now())));
            let mut socket = live.open(over, "/echo", "t0k").await;
            let before = live.sessions.list()[0].deadline;
            let deadline = before.duration_since(live.clock.now()).unwrap_or_default();
            // The session itself agrees with what it says.
            live.pass(deadline.saturating_sub(SECOND).min(2 * 24 * 60 * MINUTE))
                .await;
            let open = live.sessions.len();
            live.pass(2 * SECOND).await;
            let end = end_of(&mut socket).await;
            assert_eq!(
                (open, end.as_str()),
                (usize::from(deadline > SECOND), EXPIRED)
            );
            settle().await;
            live.assert_balanced();
            deadline.as_secs()
        };
        let ends = |after: u64| {
            move |now: SystemTime| {
                Identity::builder("alice")
                    .expires_at(now + Duration::from_secs(after))
                    .build()
            }
        };
        table.row((over, "expiry"), 60, row(|it| it, &ends(60)).await);
        table.row(
            (over, "leeway"),
            70,
            row(|it| it.leeway(Duration::from_secs(10)), &ends(60)).await,
        );
        table.row(
            (over, "max"),
            30,
            row(|it| it.max_lifetime(Duration::from_secs(30)), &ends(60)).await,
        );
        table.row(
            (over, "max, no expiry"),
            30,
            row(|it| it.max_lifetime(Duration::from_secs(30)), &|_| {
                Identity::new("alice")
            })
            .await,
        );
        let told = |now: SystemTime| {
            Identity::builder("alice")
                .session_ends_at(now + Duration::from_secs(20))
                .expires_at(now + MINUTE)
                .build()
        };
        table.row(
            (over, "the verifier said"),
            20,
            row(|it| it.leeway(Duration::from_secs(10)), &told).await,
        );
        // No clock tells these times, and none of them lasts for ever.
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
            table.row((over, end), 40, row(settings, &identity).await);
        }
    }
    table.finish();
}

/// A credential that has ended lets nobody in, unless its verifier has a leeway. Then the session
/// ends with it all the same.
#[tokio::test(start_paused = true)]
async fn ends_in_the_past() {
    let epoch = SystemTime::UNIX_EPOCH;
    for over in Over::BOTH {
        for end in [epoch - Duration::from_secs(3_600), epoch, epoch + MINUTE] {
            let live = Live::new(|sessions| sessions);
            let identity = Identity::builder("alice").expires_at(end).build();
            live.tokens.set("t0k", Ok(identity));
            assert_eq!(
                live.try_open(over, "/echo", "t0k")
                    .await
                    .unwrap_err()
                    .status(),
                401,
                "{end:?}"
            );
            // What the verifier says about the connection is not looked at before.
            let identity = Identity::builder("alice").session_ends_at(end).build();
            live.tokens.set("t0k", Ok(identity));
            let mut socket = live.open(over, "/echo", "t0k").await;
            live.pass(SECOND).await;
            assert_eq!(end_of(&mut socket).await, EXPIRED, "{end:?}");
            settle().await;
            live.assert_balanced();
            assert!(live.sessions.is_empty());
        }
        // Within the leeway of a verifier.
        let live = Live::new(|sessions| sessions);
        let late = live.clock.now() - Duration::from_secs(30);
        live.tokens.set(
            "t0k",
            Ok(Identity::builder("alice").expires_at(late).build()),
        );
        let mut socket = live.open(over, "/asleep", "t0k").await;
        live.pass(SECOND).await;
        assert_eq!(end_of(&mut socket).await, EXPIRED);
    }
}

/// A lifetime without an end is not one that panics.
#[tokio::test(start_paused = true)]
async fn never() {
    for over in Over::BOTH {
        let live = Live::new(|sessions| {
            let forever = Duration::MAX;
            sessions
                .max_lifetime(forever)
                .leeway(forever)
                .warn_before(forever)
                .jitter(0.5)
        });
        live.tokens.set("t0k", Ok(Identity::new("alice")));
        let mut socket = live.open(over, "/echo", "t0k").await;
        live.pass(MINUTE).await;
        assert_eq!(live.sessions.list().len(), 1);
        socket.send("hello").await.unwrap();
        assert_eq!(socket.text().await, "hello");
    }
}

/// The wall clock jumps, as after a suspend: a session notices within a second that its time is
/// over, and one that has time again goes on.
#[tokio::test(start_paused = true)]
async fn the_clock_jumps() {
    for over in Over::BOTH {
        let live = Live::new(|sessions| sessions);
        live.grant("t0k", "alice", MINUTE);
        let mut socket = live.open(over, "/asleep", "t0k").await;
        live.pass(SECOND).await;
        live.clock.advance(MINUTE);
        tokio::time::sleep(SECOND + Duration::from_millis(10)).await;
        assert_eq!(end_of(&mut socket).await, EXPIRED);

        live.grant("t0k", "alice", MINUTE);
        let mut socket = live.open(over, "/echo", "t0k").await;
        let start = live.clock.now();
        live.pass(59 * SECOND).await;
        live.clock.set(start);
        tokio::time::sleep(10 * SECOND).await;
        socket.send("hello").await.unwrap();
        assert_eq!(socket.text().await, "hello", "the minute has begun anew");
        live.clock.set(start + MINUTE);
        tokio::time::sleep(SECOND + Duration::from_millis(10)).await;
        assert_eq!(end_of(&mut socket).await, EXPIRED);
        settle().await;
        live.assert_balanced();
    }
}

/// Jitter shortens, by its part at most, and not always by the same.
#[tokio::test(start_paused = true)]
async fn jitter_is_downwards() {
    let live = Live::new(|sessions| sessions.jitter(0.1));
    live.grant("t0k", "alice", 1_000 * SECOND);
    let mut sockets = Vec::new();
    for _ in 0..32 {
        sockets.push(live.open(Over::Http1, "/asleep", "t0k").await);
    }
    let start = live.clock.now();
    let mut lifetimes: Vec<_> = live
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

/// The handler, the page's own messages and the events hear of it before it happens.
#[tokio::test(start_paused = true)]
async fn warning() {
    for over in Over::BOTH {
        let live = Live::new(|sessions| sessions.warn_before(10 * SECOND));
        live.grant("t0k", "alice", MINUTE);
        let mut socket = live.open(over, "/watch", "t0k").await;
        live.pass(49 * SECOND).await;
        assert_eq!(live.ledger.take(), ["opened alice"]);
        live.pass(2 * SECOND).await;
        assert_eq!(live.ledger.take(), ["expiring alice"], "once");
        let told = socket.text().await;
        assert!(
            ["expiring in 9 s", "expiring in 10 s"].contains(&&*told),
            "{told}"
        );
        live.pass(10 * SECOND).await;
        assert_eq!(end_of(&mut socket).await, EXPIRED);
        settle().await;
        assert_eq!(
            live.ledger.take(),
            ["closed alice: expired after 61 s"],
            "when the socket is gone"
        );
    }
}
