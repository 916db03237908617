//! `Session::changes`: a reader that polls late or rarely still receives every relevant change.

use std::time::Duration;

use axum::Router;
use axum::response::Response;
use axum::routing::any;
use futures_util::FutureExt;
use portcullis::session::{Change, Changes};
use portcullis::{GuardedUpgrade, Identity, Session, clock::Clock, session::Revocation};
use tokio::sync::mpsc;

use crate::support::{HttpVersion, SECOND, TestServer, settle};

#[tokio::test(start_paused = true)]
async fn late_reader_receives_the_latest_changes() {
    for version in HttpVersion::ALL {
        let (server, mut sessions) = server();
        let _socket = server.open(version, "/ws", "t0k").await;
        let session = sessions.recv().await.unwrap();
        let mut changes = session.changes();
        assert_eq!(found(&mut changes), [""; 0]);

        renew(&server, &session, "second", 60 * SECOND);
        renew(&server, &session, "third", 70 * SECOND);
        assert_eq!(found(&mut changes), ["renewed third"], "the latest");
        assert_eq!(found(&mut changes), [""; 0], "once");

        server.advance(62 * SECOND).await;
        assert_eq!(found(&mut changes), ["expiring in 8 s"]);
        let mut late = session.changes();
        assert_eq!(found(&mut late), ["expiring in 8 s"], "still expiring");
        renew(&server, &session, "fourth", 60 * SECOND);
        assert_eq!(found(&mut late), ["renewed fourth"]);

        server.advance(51 * SECOND).await;
        renew(&server, &session, "fifth", 60 * SECOND);
        // The warning before this renewal no longer applies.
        assert_eq!(found(&mut late), ["renewed fifth"]);

        renew(&server, &session, "sixth", 70 * SECOND);
        let revoked = server
            .sessions
            .revoke(Revocation::subject(None, "alice"))
            .await;
        assert_eq!(revoked.unwrap(), 1);
        for changes in [&mut changes, &mut late] {
            assert_eq!(found(changes), ["renewed sixth", "revoked", "end"]);
        }
        assert_eq!(found(&mut session.changes()), ["revoked", "end"]);
        assert_eq!(session.closed().await.as_str(), "revoked");
    }
}

/// The future of `next` is dropped again and again before it is ready.
#[tokio::test(start_paused = true)]
async fn busy_reader_misses_no_change() {
    for version in HttpVersion::ALL {
        let (server, mut sessions) = server();
        let _socket = server.open(version, "/ws", "t0k").await;
        let session = sessions.recv().await.unwrap();
        let mut changes = session.changes();
        let watcher = tokio::spawn(async move {
            let mut received = Vec::new();
            loop {
                tokio::select! {
                    change = changes.next() => match change {
                        Some(change) => received.push(name(change)),
                        None => return received,
                    },
                    () = tokio::time::sleep(Duration::from_millis(7)) => {
                        // The reader is busy and does not wait for a change.
                        tokio::time::sleep(Duration::from_millis(6)).await;
                    }
                }
            }
        });
        let mut expected = Vec::new();
        for number in 1..=50 {
            tokio::time::sleep(Duration::from_millis(13)).await;
            let token = number.to_string();
            renew(&server, &session, &token, 60 * SECOND + number * SECOND);
            expected.push(format!("renewed {token}"));
        }
        tokio::time::sleep(SECOND).await;
        server
            .sessions
            .revoke(Revocation::everything())
            .await
            .unwrap();
        settle().await;
        expected.push("revoked".to_owned());
        assert_eq!(watcher.await.unwrap(), expected, "{version:?}");
    }
}

/// A server that warns ten seconds before the deadline. Its handler sends each session to the test.
fn server() -> (TestServer, mpsc::UnboundedReceiver<Session>) {
    let (sender, sessions) = mpsc::unbounded_channel();
    let handler = async move |upgrade: GuardedUpgrade| -> Response {
        let sender = sender.clone();
        upgrade.on_upgrade(async move |mut socket| {
            sender.send(socket.session()).unwrap();
            while let Some(Ok(_)) = socket.recv().await {}
        })
    };
    let routes = Router::new().route("/ws", any(handler));
    let server = TestServer::with_handlers(routes, |it| it.warn_before(10 * SECOND), |auth| auth);
    server.accept("t0k", "alice", 50 * SECOND);
    (server, sessions)
}

fn renew(server: &TestServer, session: &Session, token: &str, lifetime: Duration) {
    let now = server.clock.now();
    let identity = Identity::builder("alice")
        .token_id(token)
        .issued_at(now)
        .expires_at(now + lifetime)
        .build();
    server.sessions.renew_with(session.id(), identity).unwrap();
}

/// The changes that are ready now.
fn found(changes: &mut Changes) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(change) = changes.next().now_or_never() {
        match change {
            Some(change) => found.push(name(change)),
            None => {
                found.push("end".to_owned());
                break;
            }
        }
    }
    found
}

fn name(change: Change) -> String {
    match change {
        Change::Renewed(identity) => format!("renewed {}", identity.token_id().unwrap()),
        Change::Expiring(remaining) => format!("expiring in {} s", remaining.as_secs()),
        Change::Ended(cause) => cause.to_string(),
        other => format!("{other:?}"),
    }
}
