//! Revocation: open sockets close, and the revoked credentials are refused, whatever is cached.

use std::sync::Arc;

use axum::Router;
use portcullis::session::{LagPolicy, MemoryRevocations, RenewError};
use portcullis::testing::{Counting, TestSocket};
use portcullis::{
    AuthLayer, Credential, GuardedUpgrade, Identity, Sessions, clock::Clock, session::Revocation,
};
use portcullis::{VerifyExt, verify::CacheConfig};

use crate::support::{
    HOUR, HttpVersion, SECOND, Table, TestServer, Tokens, settle, wait_for_close,
};

const REVOKED: &str = "3003 credential revoked";

/// A revocation, and which sockets it closes: those of alice with the tokens `a1` and `a2`, and
/// that of bob with `b1`.
#[tokio::test(start_paused = true)]
async fn revocation_closes_the_sessions_that_it_covers() {
    type Target = fn(&TestServer) -> Revocation;
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
            |_| Revocation::subject("idp", "alice"),
            [true, true, false],
        ),
        (
            "subject, issued before",
            |server| {
                Revocation::subject("idp", "alice").issued_before(server.clock.now() - 5 * SECOND)
            },
            [true, false, false],
        ),
        ("everything", |_| Revocation::everything(), [true; 3]),
        (
            "everything, issued before",
            |server| Revocation::everything().issued_before(server.clock.now() - 5 * SECOND),
            [true, false, true],
        ),
        (
            "ended",
            |server| Revocation::subject("idp", "alice").until(server.clock.now()),
            [false; 3],
        ),
    ];
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        for (name, target, expected) in rows {
            let server = TestServer::new(|sessions| sessions);
            let end = server.clock.now() + HOUR;
            let identity = |subject: &str, token: &str| {
                Identity::builder(subject)
                    .issuer("idp")
                    .token_id(token)
                    .expires_at(end)
                    .issued_at(server.clock.now())
                    .build()
            };
            server.tokens.set("a1", Ok(identity("alice", "a1")));
            server.tokens.set("b1", Ok(identity("bob", "b1")));
            server.advance(10 * SECOND).await;
            server.tokens.set(
                "a2",
                Ok(Identity::builder("alice")
                    .issuer("idp")
                    .token_id("a2")
                    .expires_at(end)
                    .issued_at(server.clock.now())
                    .build()),
            );
            let mut sockets = Vec::new();
            for token in ["a1", "a2", "b1"] {
                sockets.push((token, server.open(version, "/idle", token).await));
            }
            let closed = server.sessions.revoke(target(&server)).await.unwrap();
            table.row(
                (version, name, "closed"),
                expected.iter().filter(|it| **it).count(),
                closed,
            );
            for ((token, socket), closes) in sockets.iter_mut().zip(expected) {
                let end = match closes {
                    true => wait_for_close(socket).await,
                    false => "open".to_owned(),
                };
                table.row(
                    (version, name, &token, "end"),
                    if *closes { REVOKED } else { "open" },
                    end,
                );
                let again = server.try_open(version, "/returns", token).await;
                let status = again.map_or_else(|refused| refused.status().as_u16(), |_| 200);
                table.row(
                    (version, name, &token, "again"),
                    if *closes { 401 } else { 200 },
                    status,
                );
            }
            server.advance(5 * SECOND).await;
            let open = expected.iter().filter(|it| !**it).count();
            table.row((version, name, "open"), open, server.sessions.len());
            server.assert_counts_match();
        }
    }
    table.finish();
}

#[tokio::test(start_paused = true)]
async fn revocation_of_a_session_keeps_its_credential_valid() {
    for version in HttpVersion::ALL {
        let server = TestServer::new(|sessions| sessions);
        server.accept("t0k", "alice", 60 * SECOND);
        let mut socket = server.open(version, "/idle", "t0k").await;
        let id = server.sessions.list()[0].id;
        let _other = server.open(version, "/idle", "t0k").await;
        let revocation = Revocation::session(id.to_string());
        assert_eq!(server.sessions.revoke(revocation.clone()).await.unwrap(), 1);
        assert_eq!(wait_for_close(&mut socket).await, REVOKED);
        settle().await;
        assert_eq!(server.sessions.len(), 1);
        assert_eq!(server.sessions.revoke(revocation).await.unwrap(), 0);
        let invalid = Revocation::session("not an id");
        assert_eq!(server.sessions.revoke(invalid).await.unwrap(), 0);
        server.open(version, "/echo", "t0k").await;
    }
}

#[tokio::test(start_paused = true)]
async fn revocation_ends_at_its_time() {
    for version in HttpVersion::ALL {
        let server = TestServer::new(|sessions| sessions);
        server.accept("t0k", "alice", 600 * SECOND);
        let until = server.clock.now() + 60 * SECOND;
        server
            .sessions
            .revoke(Revocation::subject(None, "alice").until(until))
            .await
            .unwrap();
        let status = async || {
            let response = server
                .client(version)
                .get("/renew")
                .bearer("t0k")
                .send()
                .await;
            response.status().as_u16()
        };
        server.advance(59 * SECOND).await;
        assert_eq!(status().await, 401);
        server.advance(2 * SECOND).await;
        // A new session wakes the task that removes expired revocations.
        server.accept("b0b", "bob", 600 * SECOND);
        let _socket = server.open(version, "/idle", "b0b").await;
        server.advance(2 * SECOND).await;
        // The request is admitted. The endpoint requires a POST.
        assert_eq!(status().await, 405);
    }
}

#[tokio::test(start_paused = true)]
async fn revocation_overrides_a_cached_verification() {
    async fn read(upgrade: GuardedUpgrade) -> axum::response::Response {
        upgrade.on_upgrade(async |mut socket| while let Some(Ok(_)) = socket.recv().await {})
    }
    let tokens = Tokens::default();
    let verifier = Counting::new(tokens.clone());
    let sessions = Sessions::builder().build();
    let config = CacheConfig::default().time_to_live(HOUR);
    let auth = AuthLayer::new(verifier.clone().cached(config)).sessions(&sessions);
    let app: Router = Router::new()
        .route("/ws", axum::routing::any(read))
        .route_layer(auth);
    tokens.set("t0k", Ok(Identity::builder("alice").token_id("t").build()));
    for version in HttpVersion::ALL {
        let client = version.client(app.clone());
        let connect = || client.websocket("/ws").bearer("t0k").connect();
        if version == HttpVersion::Http1 {
            let mut first = connect().await.unwrap();
            let _second = connect().await.unwrap();
            assert_eq!(verifier.calls(), 1, "cached");
            sessions.revoke(Revocation::token("t")).await.unwrap();
            assert_eq!(wait_for_close(&mut first).await, REVOKED);
        }
        assert_eq!(connect().await.unwrap_err().status(), 401);
        assert_eq!(verifier.calls(), 1, "still cached");
    }
}

#[tokio::test(start_paused = true)]
async fn revoked_credential_does_not_renew_a_session() {
    for version in HttpVersion::ALL {
        let server = TestServer::new(|sessions| sessions);
        server.accept("t0k", "alice", 60 * SECOND);
        let later = server
            .identity("alice", 120 * SECOND)
            .to_builder()
            .token_id("later")
            .build();
        server.tokens.set("later", Ok(later.clone()));
        let mut socket = server.open(version, "/echo", "t0k").await;
        let id = server.sessions.list()[0].id;
        server
            .sessions
            .revoke(Revocation::token("later"))
            .await
            .unwrap();
        assert!(
            server
                .sessions
                .renew(id, Credential::bearer("later"))
                .await
                .is_err()
        );
        assert_eq!(
            server.sessions.renew_with(id, later),
            Err(RenewError::Revoked)
        );
        socket.send("whoami").await.unwrap();
        assert_eq!(socket.text().await, "alice unnamed");
    }
}

#[tokio::test(start_paused = true)]
async fn revocation_reaches_other_processes_through_the_store() {
    let store = Arc::new(MemoryRevocations::new());
    for version in HttpVersion::ALL {
        let here = TestServer::new(|sessions| sessions.revocations(Arc::clone(&store)));
        let there = TestServer::new(|sessions| sessions.revocations(Arc::clone(&store)));
        here.sessions.synchronized().await;
        there.sessions.synchronized().await;
        // The store uses the system clock.
        let until = std::time::SystemTime::now() + HOUR;
        let name = format!("{version:?}");
        here.accept("t0k", &name, HOUR);
        let mut socket: TestSocket = here.open(version, "/idle", "t0k").await;
        there
            .sessions
            .revoke(Revocation::subject(None, &*name).until(until))
            .await
            .unwrap();
        assert_eq!(wait_for_close(&mut socket).await, REVOKED);
        assert_eq!(
            here.try_open(version, "/echo", "t0k")
                .await
                .unwrap_err()
                .status(),
            401
        );
        // A process that starts later receives the revocation as well.
        let late = TestServer::new(|sessions| sessions.revocations(Arc::clone(&store)));
        late.sessions.synchronized().await;
        late.accept("t0k", &name, HOUR);
        assert_eq!(
            late.try_open(version, "/echo", "t0k")
                .await
                .unwrap_err()
                .status(),
            401
        );
    }
}

#[tokio::test(start_paused = true)]
async fn unreachable_store_keeps_or_closes_sessions_by_policy() {
    for version in HttpVersion::ALL {
        for (policy, stays) in [(LagPolicy::Stay, true), (LagPolicy::Close, false)] {
            let server = TestServer::new(|it| {
                it.revocations(SilentStore)
                    .revocation_lag(10 * SECOND, policy)
            });
            server.sessions.synchronized().await;
            server.accept("t0k", "alice", HOUR);
            let mut socket = server.open(version, "/idle", "t0k").await;
            server.advance(9 * SECOND).await;
            assert_eq!(server.sessions.len(), 1);
            server.advance(3 * SECOND).await;
            let again = server.try_open(version, "/returns", "t0k").await;
            if stays {
                assert_eq!(server.sessions.list().len(), 1);
                assert!(again.is_ok());
            } else {
                assert_eq!(
                    wait_for_close(&mut socket).await,
                    "1013 verifier unavailable"
                );
                assert_eq!(again.unwrap_err().status(), 503);
            }
            // A revocation is effective in this process, even if the store does not receive it.
            let error = server
                .sessions
                .revoke(Revocation::subject(None, "alice"))
                .await
                .unwrap_err();
            assert_eq!(error.closed, usize::from(stays));
        }
    }
}

/// Synchronizes once, then never again.
struct SilentStore;

impl portcullis::store::RevocationStore for SilentStore {
    async fn revoke(&self, _: &Revocation) -> Result<(), portcullis::store::StoreError> {
        Err(portcullis::store::StoreError::Unavailable)
    }

    async fn follow(&self, mut follower: impl portcullis::store::Follower) {
        follower.synchronized(Vec::new());
        std::future::pending::<()>().await;
    }
}

/// The clock of an issuer may be ahead. A revocation covers the tokens that it issued before.
#[tokio::test(start_paused = true)]
async fn revocation_covers_tokens_issued_in_the_near_future() {
    for version in HttpVersion::ALL {
        for revocation in [Revocation::subject(None, "alice"), Revocation::everything()] {
            let server = TestServer::new(|sessions| sessions);
            let alice = server.identity("alice", 60 * SECOND).to_builder();
            let ahead = alice.issued_at(server.clock.now() + 20 * SECOND).build();
            server.tokens.set("t0k", Ok(ahead));
            let mut socket = server.open(version, "/idle", "t0k").await;
            assert_eq!(server.sessions.revoke(revocation).await.unwrap(), 1);
            assert_eq!(wait_for_close(&mut socket).await, REVOKED);
        }
    }
}
