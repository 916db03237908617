//! The verifier is asked again about open sessions, for what it hears of a credential after it was
//! let in.

use std::time::Duration;

use portcullis::{Credential, VerifyError};

use crate::live::{Live, end_of, settle};
use crate::renewal::renew_by_request;
use crate::site::Over;

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const NOT_ACCEPTED: &str = "3000 credential not accepted";
const OTHER_SUBJECT: &str = "3003 credential of another subject";

/// The verifier is asked again about every session, and closes what it no longer knows. One that
/// cannot tell is given time.
#[tokio::test(start_paused = true)]
async fn asked_again() {
    for over in Over::BOTH {
        let live = Live::new(|it| it.recheck_every(10 * SECOND).recheck_grace(30 * SECOND));
        let forever = 1_000 * MINUTE;
        live.grant("stays", "alice", forever);
        live.grant("goes", "bob", forever);
        live.grant("cannot-tell", "carol", forever);
        live.grant("is-another", "dave", forever);
        let mut alice = live.open(over, "/echo", "stays").await;
        let mut bob = live.open(over, "/asleep", "goes").await;
        let mut carol = live.open(over, "/asleep", "cannot-tell").await;
        let mut dave = live.open(over, "/asleep", "is-another").await;
        live.tokens.set(
            "ticket",
            Ok(live
                .identity("erin", forever)
                .to_builder()
                .single_use()
                .build()),
        );
        let mut erin = live.open(over, "/echo", "ticket").await;
        live.tokens.set("ticket", Err(VerifyError::Invalid));
        let asked = live.tokens.asked();
        live.pass(11 * SECOND).await;
        assert_eq!(
            live.tokens.asked() - asked,
            4,
            "each once, and the ticket never"
        );
        assert_eq!(live.sessions.len(), 5);

        live.tokens.set("goes", Err(VerifyError::Invalid));
        live.tokens
            .set("cannot-tell", Err(VerifyError::unavailable()));
        live.tokens
            .set("is-another", Ok(live.identity("mallory", forever)));
        live.pass(12 * SECOND).await;
        assert_eq!(end_of(&mut bob).await, NOT_ACCEPTED);
        assert_eq!(end_of(&mut dave).await, OTHER_SUBJECT);
        settle().await;
        assert_eq!(live.sessions.len(), 3, "carol has half a minute");
        live.tokens
            .set("cannot-tell", Ok(live.identity("carol", forever)));
        live.pass(12 * SECOND).await;
        live.tokens
            .set("cannot-tell", Err(VerifyError::unavailable()));
        live.pass(20 * SECOND).await;
        assert_eq!(live.sessions.len(), 3, "counted from the last answer");
        live.pass(25 * SECOND).await;
        assert_eq!(
            end_of(&mut carol).await,
            "1013 cannot be verified at the moment"
        );
        for socket in [&mut alice, &mut erin] {
            socket.send("hello").await.unwrap();
            assert_eq!(socket.text().await, "hello");
        }
        live.assert_balanced();
    }
}

/// A renewal by request brings a credential, too, and that one is asked about from then on.
#[tokio::test(start_paused = true)]
async fn asked_again_after_a_renewal() {
    for over in Over::BOTH {
        for by_request in [false, true] {
            let live = Live::new(|it| it.recheck_every(10 * SECOND));
            live.grant("long", "alice", 1_000 * MINUTE);
            live.grant("longer", "alice", 2_000 * MINUTE);
            let mut socket = live.open(over, "/echo", "long").await;
            let id = live.sessions.list()[0].id;
            if by_request {
                let response = renew_by_request(&live, over, "longer", id).await;
                assert_eq!(response.status(), 200);
            } else {
                live.sessions
                    .renew(id, Credential::bearer("longer"))
                    .await
                    .unwrap();
            }
            // The one before it ends, which is no concern of the session any more.
            live.tokens.set("long", Err(VerifyError::Expired));
            live.pass(25 * SECOND).await;
            socket.send("hello").await.unwrap();
            assert_eq!(socket.text().await, "hello");
            live.tokens.set("longer", Err(VerifyError::Invalid));
            live.pass(12 * SECOND).await;
            let end = end_of(&mut socket).await;
            assert_eq!(end, NOT_ACCEPTED, "by request: {by_request}");
        }
    }
}
