//! Credentials that are taken back: T35. Open sockets close, and nobody comes in with them again,
//! whatever is cached.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use portcullis::session::{LagPolicy, MemoryRevocations, RenewError};
use portcullis::testing::{Counting, TestSocket};
use portcullis::verify::{CacheConfig, VerifyExt};
use portcullis::{AuthLayer, Clock, Credential, GuardedUpgrade, Identity, Revocation, Sessions};

use crate::live::{Live, Tokens, end_of, far, settle};
use crate::site::Over;
use crate::table::Table;

const SECOND: Duration = Duration::from_secs(1);
const REVOKED: &str = "3003 credential revoked";

/// What is revoked, and which of these sockets close: alice by token `a1` and `a2`, bob by `b1`.
#[tokio::test(start_paused = true)]
async fn targets() {
    type Target = fn(&Live) -> Revocation;
    let rows: &[(&str, Target, [bool; 3])] = &[
        ("token", |_| Revocation::token("a1"), [true, false, false]),
        (
            "token of its issuer",
            |_| Revocation::token("a1").issuer("idp"),
            [true, false, false],
        ),
        (
            "token of another issuer",
            |_| Revocation::token("a1").issuer("x"),
            [false; 3],
        ),
        ("unknown token", |_| Revocation::token("c1"), [false; 3]),
        (
            "subject",
            |_| Revocation::subject("alice"),
            [true, true, false],
        ),
        (
            "subject before",
            |live| Revocation::subject("alice").issued_before(live.clock.now() - 5 * SECOND),
            [true, false, false],
        ),
        ("everything", |_| Revocation::everything(), [true; 3]),
        (
            "everything before",
            |live| Revocation::everything().issued_before(live.clock.now() - 5 * SECOND),
            [true, false, true],
        ),
        (
            "over",
            |live| Revocation::subject("alice").until(live.clock.now()),
            [false; 3],
        ),
    ];
    let mut table = Table::new();
    for over in Over::BOTH {
        for (name, target, expected) in rows {
            let live = Live::new(|sessions| sessions);
            let end = far(&live.clock);
            let identity = |subject: &str, token: &str| {
                Identity::builder(subject)
                    .issuer("idp")
                    .token_id(token)
                    .expires_at(end)
                    .issued_at(live.clock.now())
                    .build()
            };
            live.tokens.set("a1", Ok(identity("alice", "a1")));
            live.tokens.set("b1", Ok(identity("bob", "b1")));
            live.pass(10 * SECOND).await;
            live.tokens.set(
                "a2",
                Ok(Identity::builder("alice")
                    .issuer("idp")
                    .token_id("a2")
                    .expires_at(end)
                    .issued_at(live.clock.now())
                    .build()),
            );
            let mut sockets = Vec::new();
            for token in ["a1", "a2", "b1"] {
                sockets.push((token, live.open(over, "/asleep", token).await));
            }
            let closed = live.sessions.revoke(target(&live)).await.unwrap();
            table.row(
                (over, name, "closed"),
                expected.iter().filter(|it| **it).count(),
                closed,
            );
            for ((token, socket), closes) in sockets.iter_mut().zip(expected) {
                let end = match closes {
                    true => end_of(socket).await,
                    false => "open".to_owned(),
                };
                table.row(
                    (over, name, &token, "end"),
                    if *closes { REVOKED } else { "open" },
                    end,
                );
                let again = live.try_open(over, "/leaves", token).await;
                let status = again.map_or_else(|refused| refused.status().as_u16(), |_| 200);
                table.row(
                    (over, name, &token, "again"),
                    if *closes { 401 } else { 200 },
                    status,
                );
            }
            live.pass(5 * SECOND).await;
            let open = expected.iter().filter(|it| !**it).count();
            table.row((over, name, "left"), open, live.sessions.len());
            live.assert_balanced();
        }
    }
    table.finish();
}

/// One session, by its id; whose credential stays good.
#[tokio::test(start_paused = true)]
async fn one_session() {
    for over in Over::BOTH {
        let live = Live::new(|sessions| sessions);
        live.grant("t0k", "alice", 60 * SECOND);
        let mut socket = live.open(over, "/asleep", "t0k").await;
        let id = live.sessions.list()[0].id;
        let _other = live.open(over, "/asleep", "t0k").await;
        let revocation = Revocation::session(id.to_string());
        assert_eq!(live.sessions.revoke(revocation.clone()).await.unwrap(), 1);
        assert_eq!(end_of(&mut socket).await, REVOKED);
        settle().await;
        assert_eq!(live.sessions.len(), 1);
        assert_eq!(live.sessions.revoke(revocation).await.unwrap(), 0);
        let nonsense = Revocation::session("nonsense");
        assert_eq!(live.sessions.revoke(nonsense).await.unwrap(), 0);
        live.open(over, "/echo", "t0k").await;
    }
}

/// A revocation ends when no credential is good any more, and is forgotten then.
#[tokio::test(start_paused = true)]
async fn until() {
    for over in Over::BOTH {
        let live = Live::new(|sessions| sessions);
        live.grant("t0k", "alice", 600 * SECOND);
        let until = live.clock.now() + 60 * SECOND;
        live.sessions
            .revoke(Revocation::subject("alice").until(until))
            .await
            .unwrap();
        let ask = async || {
            let response = live.client(over).get("/renew").bearer("t0k").send().await;
            response.status().as_u16()
        };
        live.pass(59 * SECOND).await;
        assert_eq!(ask().await, 401);
        live.pass(2 * SECOND).await;
        // Whoever comes first after it wakes the keeper.
        live.grant("b0b", "bob", 600 * SECOND);
        let _socket = live.open(over, "/asleep", "b0b").await;
        live.pass(2 * SECOND).await;
        assert_eq!(ask().await, 405, "let in, where a POST is asked for");
    }
}

/// A cache in front of the verifier does not know of it, and need not.
#[tokio::test(start_paused = true)]
async fn beats_the_cache() {
    async fn echo(upgrade: GuardedUpgrade) -> axum::response::Response {
        upgrade.on_upgrade(async |mut socket| while let Some(Ok(_)) = socket.recv().await {})
    }
    let tokens = Tokens::default();
    let verifier = Counting::new(tokens.clone());
    let sessions = Sessions::builder().build();
    let config = CacheConfig::default().time_to_live(Duration::from_secs(3_600));
    let auth = AuthLayer::new(verifier.clone().cached(config)).sessions(&sessions);
    let app: Router = Router::new()
        .route("/ws", axum::routing::any(echo))
        .route_layer(auth);
    tokens.set("t0k", Ok(Identity::builder("alice").token_id("t").build()));
    for over in Over::BOTH {
        let client = over.client(app.clone());
        let connect = || client.websocket("/ws").bearer("t0k").connect();
        if over == Over::Http1 {
            let mut first = connect().await.unwrap();
            let _second = connect().await.unwrap();
            assert_eq!(verifier.calls(), 1, "cached");
            sessions.revoke(Revocation::token("t")).await.unwrap();
            assert_eq!(end_of(&mut first).await, REVOKED);
        }
        assert_eq!(connect().await.unwrap_err().status(), 401);
        assert_eq!(verifier.calls(), 1, "still cached");
    }
}

/// A renewal with what was taken back changes nothing.
#[tokio::test(start_paused = true)]
async fn no_renewal() {
    for over in Over::BOTH {
        let live = Live::new(|sessions| sessions);
        live.grant("t0k", "alice", 60 * SECOND);
        let later = live
            .identity("alice", 120 * SECOND)
            .to_builder()
            .token_id("later")
            .build();
        live.tokens.set("later", Ok(later.clone()));
        let mut socket = live.open(over, "/echo", "t0k").await;
        let id = live.sessions.list()[0].id;
        live.sessions
            .revoke(Revocation::token("later"))
            .await
            .unwrap();
        assert!(
            live.sessions
                .renew(id, Credential::bearer("later"))
                .await
                .is_err()
        );
        assert_eq!(
            live.sessions.renew_with(id, later),
            Err(RenewError::Revoked)
        );
        socket.send("who").await.unwrap();
        assert_eq!(socket.text().await, "alice unnamed");
    }
}

/// One machine tells the other, through a store.
#[tokio::test(start_paused = true)]
async fn another_machine() {
    let store = Arc::new(MemoryRevocations::new());
    for over in Over::BOTH {
        let here = Live::new(|sessions| sessions.revocations(Arc::clone(&store)));
        let there = Live::new(|sessions| sessions.revocations(Arc::clone(&store)));
        here.sessions.synchronized().await;
        there.sessions.synchronized().await;
        // The store has the machine's own clock.
        let until = std::time::SystemTime::now() + Duration::from_secs(3_600);
        let name = format!("{over:?}");
        here.grant("t0k", &name, 3_600 * SECOND);
        let mut socket: TestSocket = here.open(over, "/asleep", "t0k").await;
        there
            .sessions
            .revoke(Revocation::subject(&*name).until(until))
            .await
            .unwrap();
        assert_eq!(end_of(&mut socket).await, REVOKED);
        assert_eq!(
            here.try_open(over, "/echo", "t0k")
                .await
                .unwrap_err()
                .status(),
            401
        );
        // A machine that starts later knows it, too.
        let late = Live::new(|sessions| sessions.revocations(Arc::clone(&store)));
        late.sessions.synchronized().await;
        late.grant("t0k", &name, 3_600 * SECOND);
        assert_eq!(
            late.try_open(over, "/echo", "t0k")
                .await
                .unwrap_err()
                .status(),
            401
        );
    }
}

/// A store that is silent for too long: sessions stay, or close, as was chosen.
#[tokio::test(start_paused = true)]
async fn a_silent_store() {
    for over in Over::BOTH {
        for (policy, stays) in [(LagPolicy::Stay, true), (LagPolicy::Close, false)] {
            let live = Live::new(|it| {
                it.revocations(SilentStore)
                    .revocation_lag(10 * SECOND, policy)
            });
            live.sessions.synchronized().await;
            live.grant("t0k", "alice", 3_600 * SECOND);
            let mut socket = live.open(over, "/asleep", "t0k").await;
            live.pass(9 * SECOND).await;
            assert_eq!(live.sessions.len(), 1);
            live.pass(3 * SECOND).await;
            let again = live.try_open(over, "/leaves", "t0k").await;
            if stays {
                assert_eq!(live.sessions.list().len(), 1);
                assert!(again.is_ok());
            } else {
                assert_eq!(
                    end_of(&mut socket).await,
                    "1013 cannot be verified at the moment"
                );
                assert_eq!(again.unwrap_err().status(), 503);
            }
            // What is revoked here is in force here, though nobody else may know.
            let error = live
                .sessions
                .revoke(Revocation::subject("alice"))
                .await
                .unwrap_err();
            assert_eq!(error.closed, usize::from(stays));
        }
    }
}

/// It answers once, and never again.
struct SilentStore;

impl portcullis::RevocationStore for SilentStore {
    async fn revoke(&self, _: &Revocation) -> Result<(), portcullis::StoreError> {
        Err(portcullis::StoreError::Unavailable)
    }

    async fn follow(&self, mut follower: impl portcullis::Follower) {
        follower.synchronized(Vec::new());
        std::future::pending::<()>().await;
    }
}

/// An issuer whose clock is ahead dates its tokens later than they are. What was there before is
/// taken back all the same.
#[tokio::test(start_paused = true)]
async fn by_a_clock_that_is_ahead() {
    for over in Over::BOTH {
        for revocation in [Revocation::subject("alice"), Revocation::everything()] {
            let live = Live::new(|sessions| sessions);
            let alice = live.identity("alice", 60 * SECOND).to_builder();
            let ahead = alice.issued_at(live.clock.now() + 20 * SECOND).build();
            live.tokens.set("t0k", Ok(ahead));
            let mut socket = live.open(over, "/asleep", "t0k").await;
            assert_eq!(live.sessions.revoke(revocation).await.unwrap(), 1);
            assert_eq!(end_of(&mut socket).await, REVOKED);
        }
    }
}
