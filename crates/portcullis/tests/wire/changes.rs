//! `Session::changes`: whoever looks late, or seldom, hears all that still matters.

use std::time::Duration;

use axum::Router;
use axum::response::Response;
use axum::routing::any;
use futures_util::FutureExt;
use portcullis::session::{Change, Changes};
use portcullis::{Clock, GuardedUpgrade, Identity, Revocation, Session};
use tokio::sync::mpsc;

use crate::live::{Live, settle};
use crate::site::Over;

const SECOND: Duration = Duration::from_secs(1);

/// What a handler finds that looks at certain times only.
#[tokio::test(start_paused = true)]
async fn a_late_look() {
    for over in Over::BOTH {
        let (live, mut sessions) = live();
        let _socket = live.open(over, "/tells", "t0k").await;
        let session = sessions.recv().await.unwrap();
        let mut changes = session.changes();
        assert_eq!(found(&mut changes), [""; 0]);

        renew(&live, &session, "second", 60 * SECOND);
        renew(&live, &session, "third", 70 * SECOND);
        assert_eq!(found(&mut changes), ["renewed third"], "the latest");
        assert_eq!(found(&mut changes), [""; 0], "once");

        live.pass(62 * SECOND).await;
        assert_eq!(found(&mut changes), ["expiring in 8 s"]);
        let mut late = session.changes();
        assert_eq!(found(&mut late), ["expiring in 8 s"], "as long as it does");
        renew(&live, &session, "fourth", 60 * SECOND);
        assert_eq!(found(&mut late), ["renewed fourth"]);

        live.pass(51 * SECOND).await;
        renew(&live, &session, "fifth", 60 * SECOND);
        // It was warned in between, which holds no more.
        assert_eq!(found(&mut late), ["renewed fifth"]);

        renew(&live, &session, "sixth", 70 * SECOND);
        let revoked = live.sessions.revoke(Revocation::subject("alice")).await;
        assert_eq!(revoked.unwrap(), 1);
        for changes in [&mut changes, &mut late] {
            assert_eq!(found(changes), ["renewed sixth", "revoked", "over"]);
        }
        assert_eq!(found(&mut session.changes()), ["revoked", "over"]);
        assert_eq!(session.closed().await.as_str(), "revoked");
    }
}

/// A loop that does something else every moment hears of every change, too.
#[tokio::test(start_paused = true)]
async fn between_two_looks() {
    for over in Over::BOTH {
        let (live, mut sessions) = live();
        let _socket = live.open(over, "/tells", "t0k").await;
        let session = sessions.recv().await.unwrap();
        let mut changes = session.changes();
        let watcher = tokio::spawn(async move {
            let mut heard = Vec::new();
            loop {
                tokio::select! {
                    change = changes.next() => match change {
                        Some(change) => heard.push(name(change)),
                        None => return heard,
                    },
                    () = tokio::time::sleep(Duration::from_millis(7)) => {
                        // It is busy for a while, and does not wait meanwhile.
                        tokio::time::sleep(Duration::from_millis(6)).await;
                    }
                }
            }
        });
        let mut expected = Vec::new();
        for number in 1..=50 {
            tokio::time::sleep(Duration::from_millis(13)).await;
            let token = number.to_string();
            renew(&live, &session, &token, 60 * SECOND + number * SECOND);
            expected.push(format!("renewed {token}"));
        }
        tokio::time::sleep(SECOND).await;
        live.sessions
            .revoke(Revocation::everything())
            .await
            .unwrap();
        settle().await;
        expected.push("revoked".to_owned());
        assert_eq!(watcher.await.unwrap(), expected, "{over:?}");
    }
}

/// A server whose handler hands its session out, and warns ten seconds before the end.
fn live() -> (Live, mpsc::UnboundedReceiver<Session>) {
    let (told, sessions) = mpsc::unbounded_channel();
    let tells = async move |upgrade: GuardedUpgrade| -> Response {
        let told = told.clone();
        upgrade.on_upgrade(async move |mut socket| {
            told.send(socket.session()).unwrap();
            while let Some(Ok(_)) = socket.recv().await {}
        })
    };
    let routes = Router::new().route("/tells", any(tells));
    let live = Live::serving(routes, |it| it.warn_before(10 * SECOND), |auth| auth);
    live.grant("t0k", "alice", 50 * SECOND);
    (live, sessions)
}

fn renew(live: &Live, session: &Session, token: &str, lifetime: Duration) {
    let now = live.clock.now();
    let identity = Identity::builder("alice")
        .token_id(token)
        .issued_at(now)
        .expires_at(now + lifetime)
        .build();
    live.sessions.renew_with(session.id(), identity).unwrap();
}

/// All that is to be heard now.
fn found(changes: &mut Changes) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(change) = changes.next().now_or_never() {
        match change {
            Some(change) => found.push(name(change)),
            None => {
                found.push("over".to_owned());
                break;
            }
        }
    }
    found
}

fn name(change: Change) -> String {
    match change {
        Change::Renewed(identity) => format!("renewed {}", identity.token_id().unwrap()),
        Change::Expiring(left) => format!("expiring in {} s", left.as_secs()),
        Change::Ended(cause) => cause.to_string(),
        other => format!("{other:?}"),
    }
}
