//! A new credential for an open session: T36. Same subject, later end; the socket does not notice,
//! whichever way the credential comes.

use std::time::Duration;

use portcullis::dialect::InBandRenewal;
use portcullis::session::{RenewError, SessionId};
use portcullis::testing::{Message, TestResponse, TestSocket};
use portcullis::{Clock, Credential, Identity, VerifyError};

use crate::live::{Live, end_of, settle};
use crate::site::Over;
use crate::table::Table;

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const EXPIRED: &str = "3000 credential expired";
const DOWN: VerifyError = VerifyError::Unavailable {
    retry_after: Some(SECOND),
};

/// The socket of a page with its first token, and the id of its session. The other tokens are what
/// may come after that.
pub(crate) async fn page(live: &Live, over: Over, path: &str) -> (TestSocket, SessionId) {
    tokens(live);
    let socket = live.open(over, path, "first").await;
    (socket, live.sessions.list()[0].id)
}

fn tokens(live: &Live) {
    let of_chat = |subject: &str, seconds, id: &str| {
        Identity::builder(subject)
            .audience("chat")
            .issuer("idp")
            .expires_at(live.clock.now() + Duration::from_secs(seconds))
            .token_id(id)
    };
    for (token, identity) in [
        ("first", of_chat("alice", 60, "t1")),
        ("later", of_chat("alice", 120, "t2")),
        ("earlier", of_chat("alice", 30, "t3")),
        ("same-end", of_chat("alice", 60, "t4")),
        ("audience", of_chat("alice", 120, "t5").audience("mail")),
        ("issuer", of_chat("alice", 120, "t6").issuer("other")),
        ("bob", of_chat("bob", 120, "t7")),
    ] {
        live.tokens.set(token, Ok(identity.build()));
    }
    for (token, why) in [
        ("past", VerifyError::Expired),
        ("forbidden", VerifyError::Forbidden),
        ("down", DOWN),
    ] {
        live.tokens.set(token, Err(why));
    }
}

/// How a new credential comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    /// By the handle to all sessions.
    Handle,
    /// By a `POST` with the credential in a carrier.
    Request,
    /// By a message on the socket itself.
    Message,
}

/// A token; what renewing with it says to the handle, to a request and in a message; who is there
/// then, and how the session ends.
type Row = (
    &'static str,
    Result<u64, RenewError>,
    u16,
    &'static str,
    &'static str,
);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("later", Ok(120), 200, r#"{"expires_in":120,"type":"auth"}"#, "alice t2, 3000 credential expired after 120 s"),
    ("earlier", Err(RenewError::NotLater), 409, NOT_LATER, AS_BEFORE),
    ("same-end", Err(RenewError::NotLater), 409, NOT_LATER, AS_BEFORE),
    ("audience", Err(RenewError::OtherAudience), 403,
        r#"{"error":"the new credential is meant for another audience","type":"auth"}"#, AS_BEFORE),
    // The close is all that is said in a message.
    ("issuer", Err(RenewError::OtherSubject), 403, "", OTHER_SUBJECT),
    ("bob", Err(RenewError::OtherSubject), 403, "", OTHER_SUBJECT),
    ("past", Err(RenewError::Unverified(VerifyError::Expired)), 401, NOT_ACCEPTED, AS_BEFORE),
    ("unknown", Err(RenewError::Unverified(VerifyError::Invalid)), 401, NOT_ACCEPTED, AS_BEFORE),
    ("forbidden", Err(RenewError::Unverified(VerifyError::Forbidden)), 403, NOT_ACCEPTED, AS_BEFORE),
    ("down", Err(RenewError::Unverified(DOWN)), 503,
        r#"{"error":"the token cannot be verified at the moment","type":"auth"}"#, AS_BEFORE),
];

const NOT_LATER: &str =
    r#"{"error":"the new credential does not end later than the present one","type":"auth"}"#;
const NOT_ACCEPTED: &str = r#"{"error":"the token is not accepted","type":"auth"}"#;
const AS_BEFORE: &str = "alice t1, 3000 credential expired after 60 s";
const OTHER_SUBJECT: &str = "3003 credential of another subject";

#[tokio::test(start_paused = true)]
async fn whichever_way_it_comes() {
    let mut table = Table::new();
    for over in Over::BOTH {
        for way in [Way::Handle, Way::Request, Way::Message] {
            for (token, of_handle, status, reply, end) in ROWS {
                let live = Live::with(
                    |it| it,
                    |auth| match way {
                        Way::Message => auth.dialect(InBandRenewal::new()),
                        Way::Handle | Way::Request => auth,
                    },
                );
                let (mut socket, id) = page(&live, over, "/echo").await;
                let row = (over, way, token);
                match way {
                    Way::Handle => {
                        let renewed = live.sessions.renew(id, Credential::bearer(*token)).await;
                        let said = renewed.map(|time| time.as_secs());
                        table.row(row, format!("{of_handle:?}"), format!("{said:?}"));
                    }
                    Way::Request => {
                        let response = renew_by_request(&live, over, token, id).await;
                        table.row(row, status, response.status().as_u16());
                        if let Ok(seconds) = of_handle {
                            let body = format!(r#"{{"expires_in":{seconds}}}"#);
                            table.row((row, "body"), body, response.text());
                        }
                    }
                    Way::Message => {
                        let auth = format!(r#"{{"type":"auth","token":"{token}"}}"#);
                        // What the application gets before and after it stays in order.
                        for text in ["before", &auth, "after"] {
                            socket.send(text).await.unwrap();
                        }
                        assert_eq!(socket.text().await, "before");
                        if !reply.is_empty() {
                            table.row(row, reply, socket.text().await);
                            assert_eq!(socket.text().await, "after");
                        }
                    }
                }
                table.row((row, "end"), end, ends(&live, &mut socket).await);
                settle().await;
                let events = live.ledger.all();
                let refused = events.iter().filter(|line| line.starts_with("refused"));
                let expected = match (of_handle, way) {
                    // The layer in front of the route refuses it, and no session hears of it.
                    (Err(RenewError::Unverified(_)), Way::Request) => 0,
                    _ => usize::from(of_handle.is_err()),
                };
                table.row((row, "refused"), expected, refused.count());
                live.assert_balanced();
                let again = live.sessions.renew(id, Credential::bearer("later")).await;
                assert_eq!(again, Err(RenewError::Ended));
            }
        }
    }
    table.finish();
}

/// Renews a session with a token in the header.
pub(crate) async fn renew_by_request(
    live: &Live,
    over: Over,
    token: &str,
    id: SessionId,
) -> TestResponse {
    let request = live.client(over).post("/renew").bearer(token);
    let body = format!(r#"{{"session":"{id}"}}"#);
    request.body(body).send().await
}

/// Who the handler sees, and when and how the session ends; or the close frame that is the answer.
async fn ends(live: &Live, socket: &mut TestSocket) -> String {
    let start = live.clock.now();
    // It may be too late to ask.
    let _ = socket.send("who").await;
    let who = match socket.recv().await {
        Some(Ok(Message::Text(who))) => who,
        Some(Ok(Message::Close(Some(frame)))) => {
            let end = format!("{} {}", u16::from(frame.code), frame.reason);
            end_of(socket).await;
            return end;
        }
        other => return format!("{other:?}"),
    };
    for seconds in [60, 120] {
        let until = start + Duration::from_secs(seconds);
        let left = until.duration_since(live.clock.now()).unwrap();
        live.pass(left - SECOND).await;
        assert_eq!(live.sessions.len(), 1, "not before its time");
        live.pass(2 * SECOND).await;
        let now = live.clock.now();
        if live.sessions.list().iter().all(|it| it.deadline <= now) {
            return format!("{who}, {} after {seconds} s", end_of(socket).await);
        }
    }
    "open".to_owned()
}

/// Not one message is lost or doubled while a session is renewed a hundred times.
#[tokio::test(start_paused = true)]
async fn no_message_is_lost() {
    for over in Over::BOTH {
        let live = Live::with(|it| it, |auth| auth.dialect(InBandRenewal::new()));
        live.grant("0", "alice", 2 * SECOND);
        let mut socket = live.open(over, "/echo", "0").await;
        let mut expected = 0;
        for round in 1..=100 {
            let token = round.to_string();
            live.grant(&token, "alice", 2 * SECOND);
            if round % 2 == 0 {
                let id = live.sessions.list()[0].id;
                live.sessions
                    .renew(id, Credential::bearer(&*token))
                    .await
                    .unwrap();
            } else {
                let auth = format!(r#"{{"type":"auth","token":"{token}"}}"#);
                socket.send(auth).await.unwrap();
            }
            for _ in 0..5 {
                socket.send(format!("{expected}")).await.unwrap();
                expected += 1;
            }
            let mut heard = expected - 5;
            while heard < expected {
                let text = socket.text().await;
                if !text.starts_with('{') {
                    assert_eq!(text, heard.to_string());
                    heard += 1;
                }
            }
            live.pass(SECOND).await;
        }
        assert_eq!(live.sessions.len(), 1, "fifty times its first lifetime");
        live.pass(2 * SECOND).await;
        assert_eq!(end_of(&mut socket).await, EXPIRED);
    }
}

/// The handler is told, and sees the new identity from then on.
#[tokio::test(start_paused = true)]
async fn the_handler_hears_of_it() {
    for over in Over::BOTH {
        let live = Live::new(|sessions| sessions.warn_before(10 * SECOND));
        let (mut socket, id) = page(&live, over, "/watch").await;
        live.pass(51 * SECOND).await;
        assert!(socket.text().await.starts_with("expiring in"));
        live.sessions
            .renew(id, Credential::bearer("later"))
            .await
            .unwrap();
        assert_eq!(socket.text().await, "renewed t2");
        live.pass(60 * SECOND).await;
        assert!(
            socket.text().await.starts_with("expiring in"),
            "it is warned anew"
        );
        live.pass(10 * SECOND).await;
        assert_eq!(end_of(&mut socket).await, EXPIRED);
    }
}

/// A page that speaks the dialect is warned in it, before and after a renewal from outside, also
/// when it says nothing itself.
#[tokio::test(start_paused = true)]
async fn the_page_is_warned_each_time() {
    for over in Over::BOTH {
        let live = Live::with(
            |sessions| sessions.warn_before(10 * SECOND),
            |auth| auth.dialect(InBandRenewal::new()),
        );
        let (mut socket, id) = page(&live, over, "/echo").await;
        for token in ["later", "none"] {
            live.pass(51 * SECOND).await;
            let warning = tokio::time::timeout(SECOND, socket.text()).await;
            let warning = warning.unwrap_or_else(|_| panic!("no warning before `{token}`"));
            assert!(warning.starts_with(r#"{"expiring_in":"#), "{warning}");
            if token == "later" {
                live.sessions
                    .renew(id, Credential::bearer(token))
                    .await
                    .unwrap();
                live.pass(9 * SECOND).await;
            }
        }
    }
}

/// A renewal a moment before the end counts; one after it comes too late, however late the keeper
/// of the deadlines is.
#[tokio::test(start_paused = true)]
async fn at_the_last_moment() {
    let millisecond = Duration::from_millis(1);
    for over in Over::BOTH {
        let live = Live::new(|sessions| sessions);
        let (mut socket, id) = page(&live, over, "/echo").await;
        let deadline = live.sessions.list()[0].deadline;
        live.clock.set(deadline - millisecond);
        let renewed = live.sessions.renew(id, Credential::bearer("later")).await;
        assert!(renewed.is_ok());
        live.pass(30 * SECOND).await;
        socket.send("hello").await.unwrap();
        assert_eq!(socket.text().await, "hello");

        live.tokens
            .set("last", Ok(live.identity("alice", 10 * MINUTE)));
        let deadline = live.sessions.list()[0].deadline;
        live.clock.set(deadline + millisecond);
        live.pass(2 * SECOND).await;
        assert_eq!(end_of(&mut socket).await, EXPIRED);
        let late = live.sessions.renew(id, Credential::bearer("last")).await;
        assert_eq!(late, Err(RenewError::Ended));
    }
}

/// However often it is renewed, a session lasts no longer than one may.
#[tokio::test(start_paused = true)]
async fn no_renewal_beyond_the_longest_lifetime() {
    for over in Over::BOTH {
        let live = Live::new(|sessions| sessions.max_lifetime(90 * SECOND));
        let (mut socket, id) = page(&live, over, "/echo").await;
        live.pass(30 * SECOND).await;
        let renewed = live.sessions.renew(id, Credential::bearer("later")).await;
        assert_eq!(renewed, Ok(60 * SECOND));
        live.pass(61 * SECOND).await;
        assert_eq!(end_of(&mut socket).await, EXPIRED);
    }
}
