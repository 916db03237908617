//! Re-checks: the verifier is called again for open sessions, because a credential may become
//! invalid after admission.

use portcullis::{Credential, VerifyError};

use crate::support::{
    HttpVersion, MINUTE, SECOND, TestServer, renew_request, settle, wait_for_close,
};

const INVALID: &str = "3000 invalid credential";
const OTHER_SUBJECT: &str = "3003 credential of another subject";

/// If the verifier is unavailable at a re-check, the session closes after the grace period.
#[tokio::test(start_paused = true)]
async fn recheck_closes_sessions_of_rejected_credentials() {
    for version in HttpVersion::ALL {
        let server = TestServer::new(|it| it.recheck_every(10 * SECOND).recheck_grace(30 * SECOND));
        let lifetime = 1_000 * MINUTE;
        server.accept("valid", "alice", lifetime);
        server.accept("invalid", "bob", lifetime);
        server.accept("unavailable", "carol", lifetime);
        server.accept("other-subject", "dave", lifetime);
        let mut alice = server.open(version, "/echo", "valid").await;
        let mut bob = server.open(version, "/idle", "invalid").await;
        let mut carol = server.open(version, "/idle", "unavailable").await;
        let mut dave = server.open(version, "/idle", "other-subject").await;
        server.tokens.set(
            "ticket",
            Ok(server
                .identity("erin", lifetime)
                .to_builder()
                .single_use()
                .build()),
        );
        let mut erin = server.open(version, "/echo", "ticket").await;
        server.tokens.set("ticket", Err(VerifyError::Invalid));
        let before = server.tokens.calls();
        server.advance(11 * SECOND).await;
        assert_eq!(
            server.tokens.calls() - before,
            4,
            "each credential once, except the ticket"
        );
        assert_eq!(server.sessions.len(), 5);

        server.tokens.set("invalid", Err(VerifyError::Invalid));
        let unavailable = Err(VerifyError::unavailable());
        server.tokens.set("unavailable", unavailable.clone());
        let mallory = server.identity("mallory", lifetime);
        server.tokens.set("other-subject", Ok(mallory));
        server.advance(12 * SECOND).await;
        assert_eq!(wait_for_close(&mut bob).await, INVALID);
        assert_eq!(wait_for_close(&mut dave).await, OTHER_SUBJECT);
        settle().await;
        assert_eq!(server.sessions.len(), 3, "within the grace period");
        let carol_again = server.identity("carol", lifetime);
        server.tokens.set("unavailable", Ok(carol_again));
        server.advance(12 * SECOND).await;
        server.tokens.set("unavailable", unavailable);
        server.advance(20 * SECOND).await;
        assert_eq!(
            server.sessions.len(),
            3,
            "the grace period begins at the last answer"
        );
        server.advance(25 * SECOND).await;
        assert_eq!(
            wait_for_close(&mut carol).await,
            "1013 verifier unavailable"
        );
        for socket in [&mut alice, &mut erin] {
            socket.send("hello").await.unwrap();
            assert_eq!(socket.text().await, "hello");
        }
        server.assert_counts_match();
    }
}

#[tokio::test(start_paused = true)]
async fn recheck_uses_the_credential_of_the_latest_renewal() {
    for version in HttpVersion::ALL {
        for by_request in [false, true] {
            let server = TestServer::new(|it| it.recheck_every(10 * SECOND));
            server.accept("long", "alice", 1_000 * MINUTE);
            server.accept("longer", "alice", 2_000 * MINUTE);
            let mut socket = server.open(version, "/echo", "long").await;
            let id = server.sessions.list()[0].id;
            if by_request {
                let request = renew_request(&server.client(version), "longer", id);
                assert_eq!(request.send().await.status(), 200);
            } else {
                server
                    .sessions
                    .renew(id, Credential::bearer("longer"))
                    .await
                    .unwrap();
            }
            // The previous credential expires, which does not affect the session.
            server.tokens.set("long", Err(VerifyError::Expired));
            server.advance(25 * SECOND).await;
            socket.send("hello").await.unwrap();
            assert_eq!(socket.text().await, "hello");
            server.tokens.set("longer", Err(VerifyError::Invalid));
            server.advance(12 * SECOND).await;
            let end = wait_for_close(&mut socket).await;
            assert_eq!(end, INVALID, "by request: {by_request}");
        }
    }
}
