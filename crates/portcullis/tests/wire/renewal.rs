//! A new credential for an open session: T36. Same subject, later end; the socket does not notice.

use std::time::Duration;

use axum::Router;
use axum::routing::post;
use portcullis::dialect::InBandRenewal;
use portcullis::session::{RenewError, SessionId};
use portcullis::testing::{Message, TestSocket};
use portcullis::{AuthLayer, Clock, Credential, Identity, VerifyError, renewal_handler};

use crate::live::{Live, end_of, settle};
use crate::site::Over;
use crate::table::Table;

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const EXPIRED: &str = "3000 credential expired";
const OTHER_SUBJECT: &str = "3003 credential of another subject";

const DOWN: VerifyError = VerifyError::Unavailable {
    retry_after: Some(SECOND),
};

/// The tokens of a page: its own, and what may come after it.
fn tokens(live: &Live) {
    let ends = |seconds| live.clock.now() + Duration::from_secs(seconds);
    let alice = || Identity::builder("alice").audience("chat").issuer("idp");
    let rows = [
        (
            "first",
            Ok(alice().expires_at(ends(60)).token_id("t1").build()),
        ),
        (
            "later",
            Ok(alice().expires_at(ends(120)).token_id("t2").build()),
        ),
        (
            "earlier",
            Ok(alice().expires_at(ends(30)).token_id("t3").build()),
        ),
        (
            "same-end",
            Ok(alice().expires_at(ends(60)).token_id("t4").build()),
        ),
        (
            "audience",
            Ok(alice().audience("mail").expires_at(ends(120)).build()),
        ),
        (
            "issuer",
            Ok(alice().issuer("other").expires_at(ends(120)).build()),
        ),
        (
            "bob",
            Ok(Identity::builder("bob")
                .audience("chat")
                .issuer("idp")
                .expires_at(ends(120))
                .build()),
        ),
        ("past", Err(VerifyError::Expired)),
        ("forbidden", Err(VerifyError::Forbidden)),
        ("down", Err(DOWN)),
    ];
    for (token, answer) in rows {
        live.tokens.set(token, answer);
    }
}

/// A token, what renewing with it says, and how the session ends.
const ROWS: &[(&str, Result<u64, RenewError>, &str)] = &[
    (
        "later",
        Ok(120),
        "alice t2, 3000 credential expired after 120 s",
    ),
    (
        "earlier",
        Err(RenewError::NotLater),
        "alice t1, 3000 credential expired after 60 s",
    ),
    (
        "same-end",
        Err(RenewError::NotLater),
        "alice t1, 3000 credential expired after 60 s",
    ),
    (
        "audience",
        Err(RenewError::OtherAudience),
        "alice t1, 3000 credential expired after 60 s",
    ),
    (
        "issuer",
        Err(RenewError::OtherSubject),
        "3003 credential of another subject after 0 s",
    ),
    (
        "bob",
        Err(RenewError::OtherSubject),
        "3003 credential of another subject after 0 s",
    ),
    (
        "past",
        Err(RenewError::Unverified(VerifyError::Expired)),
        "alice t1, 3000 credential expired after 60 s",
    ),
    (
        "unknown",
        Err(RenewError::Unverified(VerifyError::Invalid)),
        "alice t1, 3000 credential expired after 60 s",
    ),
    (
        "forbidden",
        Err(RenewError::Unverified(VerifyError::Forbidden)),
        "alice t1, 3000 credential expired after 60 s",
    ),
    (
        "down",
        Err(RenewError::Unverified(DOWN)),
        "alice t1, 3000 credential expired after 60 s",
    ),
];

/// By the handle to all sessions.
#[tokio::test(start_paused = true)]
async fn from_outside() {
    let mut table = Table::new();
    for over in Over::BOTH {
        for (token, said, end) in ROWS {
            let live = Live::new(|sessions| sessions);
            tokens(&live);
            let mut socket = live.open(over, "/echo", "first").await;
            let id = live.sessions.list()[0].id;
            let renewed = live.sessions.renew(id, Credential::bearer(*token)).await;
            let renewed = renewed.map(|time| time.as_secs());
            table.row(
                (over, token, "says"),
                format!("{said:?}"),
                format!("{renewed:?}"),
            );
            table.row((over, token, "end"), end, ends(&live, &mut socket).await);
            let refused = live
                .ledger
                .all()
                .iter()
                .filter(|line| line.starts_with("refused"))
                .count();
            table.row((over, token, "event"), usize::from(said.is_err()), refused);
            settle().await;
            live.assert_balanced();
            let again = live.sessions.renew(id, Credential::bearer("later")).await;
            assert_eq!(again, Err(RenewError::Ended));
        }
    }
    table.finish();
}

/// By a `POST` with the new credential in any carrier.
#[tokio::test(start_paused = true)]
async fn by_request() {
    let mut table = Table::new();
    for over in Over::BOTH {
        for (token, said, end) in ROWS {
            let live = Live::new(|sessions| sessions);
            tokens(&live);
            let mut socket = live.open(over, "/echo", "first").await;
            let id = live.sessions.list()[0].id;
            let request = live.client(over).post("/renew").bearer(token);
            let response = request
                .body(format!(r#"{{"session":"{id}"}}"#))
                .send()
                .await;
            let expected = match said {
                Ok(_) => 200,
                Err(RenewError::NotLater) => 409,
                Err(
                    RenewError::OtherAudience
                    | RenewError::OtherSubject
                    | RenewError::Unverified(VerifyError::Forbidden),
                ) => 403,
                Err(RenewError::Unverified(VerifyError::Unavailable { .. })) => 503,
                Err(_) => 401,
            };
            table.row(
                (over, token, "status"),
                expected,
                response.status().as_u16(),
            );
            if let Ok(seconds) = said {
                let body = format!(r#"{{"expires_in":{seconds}}}"#);
                table.row((over, token, "body"), body, response.text());
            }
            table.row((over, token, "end"), end, ends(&live, &mut socket).await);
        }
        let live = Live::new(|sessions| sessions);
        tokens(&live);
        let _socket = live.open(over, "/echo", "first").await;
        let id = live.sessions.list()[0].id;
        let unknown: SessionId = "AAAAAAAAAAAAAAAAAAAAAA".parse().unwrap();
        for (body, expected) in [
            (String::new(), 400),
            ("{}".to_owned(), 400),
            (format!(r#"{{"session":"{id}","more":1}}"#), 400),
            (format!(r#"{{"session":"{}"}}"#, "a".repeat(2_000)), 400),
            (r#"{"session":7}"#.to_owned(), 400),
            (r#"{"session":"x"}"#.to_owned(), 404),
            (format!(r#"{{"session":"{unknown}"}}"#), 404),
            (format!(r#"{{"session":"{id}"}}"#), 200),
        ] {
            let request = live.client(over).post("/renew").bearer("later");
            let response = request.body(body.clone()).send().await;
            table.row((over, body), expected, response.status().as_u16());
        }
        let anonymous = live.client(over).post("/renew").send().await;
        assert_eq!(anonymous.status(), 401);
    }
    table.finish();
}

/// By a message on the socket itself.
#[tokio::test(start_paused = true)]
async fn in_band() {
    let mut table = Table::new();
    for over in Over::BOTH {
        for (token, said, end) in ROWS {
            let live = Live::with(|it| it, |auth| auth.dialect(InBandRenewal::new()));
            tokens(&live);
            let mut socket = live.open(over, "/echo", "first").await;
            let auth = format!(r#"{{"type":"auth","token":"{token}"}}"#);
            // What the application gets before and after it stays in order.
            for text in ["before", &auth, "after"] {
                socket.send(text).await.unwrap();
            }
            assert_eq!(socket.text().await, "before");
            if matches!(said, Err(RenewError::OtherSubject)) {
                table.row(
                    (over, token, "end"),
                    OTHER_SUBJECT,
                    end_of(&mut socket).await,
                );
                continue;
            }
            let reply = socket.text().await;
            let expected = match said {
                Ok(seconds) => format!(r#"{{"expires_in":{seconds},"type":"auth"}}"#),
                Err(_) => r#""error":"#.to_owned(),
            };
            table.row((over, token, "reply"), true, reply.contains(&expected));
            assert_eq!(socket.text().await, "after");
            table.row((over, token, "end"), end, ends(&live, &mut socket).await);
        }
    }
    table.finish();
}

/// Who the handler sees, and when and how the session ends.
async fn ends(live: &Live, socket: &mut TestSocket) -> String {
    let start = live.clock.now();
    if socket.send("who").await.is_ok()
        && let Some(Ok(Message::Text(who))) = socket.recv().await
    {
        for left in [60, 120] {
            let until = start + Duration::from_secs(left);
            let time = until.duration_since(live.clock.now()).unwrap();
            live.pass(time - SECOND).await;
            assert_eq!(live.sessions.len(), 1, "not before its time");
            live.pass(2 * SECOND).await;
            let gone = live
                .sessions
                .list()
                .iter()
                .all(|it| it.deadline <= live.clock.now());
            if gone {
                let end = end_of(socket).await;
                return format!("{who}, {end} after {left} s");
            }
        }
        return "open".to_owned();
    }
    // The close frame was the answer, and was read with it.
    end_of(socket).await;
    settle().await;
    let closed = live
        .ledger
        .all()
        .into_iter()
        .next_back()
        .unwrap_or_default();
    match closed.contains("other-subject") {
        true => format!("{OTHER_SUBJECT} after 0 s"),
        false => closed,
    }
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
        tokens(&live);
        let mut socket = live.open(over, "/watch", "first").await;
        let id = live.sessions.list()[0].id;
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
        tokens(&live);
        let mut socket = live.open(over, "/echo", "first").await;
        let id = live.sessions.list()[0].id;
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
        tokens(&live);
        let mut socket = live.open(over, "/echo", "first").await;
        let id = live.sessions.list()[0].id;
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
        tokens(&live);
        let mut socket = live.open(over, "/echo", "first").await;
        let id = live.sessions.list()[0].id;
        live.pass(30 * SECOND).await;
        let renewed = live.sessions.renew(id, Credential::bearer("later")).await;
        assert_eq!(renewed, Ok(60 * SECOND));
        live.pass(61 * SECOND).await;
        assert_eq!(end_of(&mut socket).await, EXPIRED);
    }
}

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
        assert_eq!(end_of(&mut bob).await, "3000 credential not accepted");
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
            tokens(&live);
            live.grant("long", "alice", 1_000 * MINUTE);
            live.grant("longer", "alice", 2_000 * MINUTE);
            let mut socket = live.open(over, "/echo", "long").await;
            let id = live.sessions.list()[0].id;
            if by_request {
                let request = live.client(over).post("/renew").bearer("longer");
                let response = request
                    .body(format!(r#"{{"session":"{id}"}}"#))
                    .send()
                    .await;
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
            assert_eq!(
                end, "3000 credential not accepted",
                "by request: {by_request}"
            );
        }
    }
}

/// The renewal route may be behind a layer of its own.
#[tokio::test(start_paused = true)]
async fn a_route_of_its_own() {
    let live = Live::new(|sessions| sessions);
    tokens(&live);
    let mut socket = live.open(Over::Http1, "/echo", "first").await;
    let id = live.sessions.list()[0].id;
    let app: Router = Router::new()
        .route("/renew", post(renewal_handler(&live.sessions)))
        .route_layer(AuthLayer::new(live.tokens.clone()).clock(live.clock.clone()));
    for over in Over::BOTH {
        let request = over.client(app.clone()).post("/renew").bearer("bob");
        let body = format!(r#"{{"session":"{id}"}}"#);
        let response = request.body(body).send().await;
        let expected = if over == Over::Http1 { 403 } else { 404 };
        assert_eq!(
            response.status(),
            expected,
            "the id of another's session ends it, once"
        );
    }
    assert_eq!(end_of(&mut socket).await, OTHER_SUBJECT);
}
