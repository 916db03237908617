//! Renewal: an open session receives a new credential with the same subject and a later expiry. The
//! rules are the same for the handle, the endpoint and messages.

use std::time::Duration;

use portcullis::dialect::InBandRenewal;
use portcullis::session::{RenewError, SessionId};
use portcullis::testing::{Message, TestSocket};
use portcullis::{Credential, Identity, VerifyError, clock::Clock};

use crate::support::{
    HttpVersion, MINUTE, SECOND, Table, TestServer, describe_close, renew_request, settle,
    wait_for_close,
};

const EXPIRED: &str = "3000 credential expired";
const UNAVAILABLE: VerifyError = VerifyError::Unavailable {
    retry_after: Some(SECOND),
};

/// Opens a socket with the token `first`, and sets the answers for the tokens of this module.
pub(crate) async fn open(
    server: &TestServer,
    version: HttpVersion,
    path: &str,
) -> (TestSocket, SessionId) {
    set_tokens(server);
    let socket = server.open(version, path, "first").await;
    (socket, server.sessions.list()[0].id)
}

fn set_tokens(server: &TestServer) {
    let chat = |subject: &str, seconds, id: &str| {
        Identity::builder(subject)
            .audience("chat")
            .issuer("idp")
            .expires_at(server.clock.now() + Duration::from_secs(seconds))
            .token_id(id)
    };
    for (token, identity) in [
        ("first", chat("alice", 60, "t1")),
        ("later", chat("alice", 120, "t2")),
        ("earlier", chat("alice", 30, "t3")),
        ("same-end", chat("alice", 60, "t4")),
        ("audience", chat("alice", 120, "t5").audience("mail")),
        ("issuer", chat("alice", 120, "t6").issuer("other")),
        ("bob", chat("bob", 120, "t7")),
    ] {
        server.tokens.set(token, Ok(identity.build()));
    }
    for (token, error) in [
        ("expired", VerifyError::Expired),
        ("forbidden", VerifyError::Forbidden),
        ("unavailable", UNAVAILABLE),
    ] {
        server.tokens.set(token, Err(error));
    }
}

/// How the new credential is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Method {
    /// `Sessions::renew`.
    Handle,
    /// A `POST` with the credential in a carrier.
    Request,
    /// A message on the socket.
    Message,
}

/// A token; the result of `Sessions::renew`, the status of a request and the reply to a message;
/// the identity after that, and how the session ends.
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
    // The socket closes without a reply.
    ("issuer", Err(RenewError::OtherSubject), 403, "", OTHER_SUBJECT),
    ("bob", Err(RenewError::OtherSubject), 403, "", OTHER_SUBJECT),
    ("expired", Err(RenewError::Unverified(VerifyError::Expired)), 401, INVALID, AS_BEFORE),
    ("unknown", Err(RenewError::Unverified(VerifyError::Invalid)), 401, INVALID, AS_BEFORE),
    ("forbidden", Err(RenewError::Unverified(VerifyError::Forbidden)), 403, INVALID, AS_BEFORE),
    ("unavailable", Err(RenewError::Unverified(UNAVAILABLE)), 503,
        r#"{"error":"verifier unavailable","type":"auth"}"#, AS_BEFORE),
];

const NOT_LATER: &str =
    r#"{"error":"the new credential does not end later than the present one","type":"auth"}"#;
const INVALID: &str = r#"{"error":"invalid token","type":"auth"}"#;
const AS_BEFORE: &str = "alice t1, 3000 credential expired after 60 s";
const OTHER_SUBJECT: &str = "3003 credential of another subject";

#[tokio::test(start_paused = true)]
async fn renewal_has_the_same_rules_for_handle_request_and_message() {
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        for method in [Method::Handle, Method::Request, Method::Message] {
            for (token, result, status, reply, end) in ROWS {
                let server = TestServer::with_layer(
                    |it| it,
                    |auth| match method {
                        Method::Message => auth.dialect(InBandRenewal::new()),
                        Method::Handle | Method::Request => auth,
                    },
                );
                let (mut socket, id) = open(&server, version, "/echo").await;
                let row = (version, method, token);
                match method {
                    Method::Handle => {
                        let renewed = server.sessions.renew(id, Credential::bearer(*token)).await;
                        let actual = renewed.map(|time| time.as_secs());
                        table.row(row, format!("{result:?}"), format!("{actual:?}"));
                    }
                    Method::Request => {
                        let request = renew_request(&server.client(version), token, id);
                        let response = request.send().await;
                        table.row(row, status, response.status().as_u16());
                        if let Ok(seconds) = result {
                            let body = format!(r#"{{"expires_in":{seconds}}}"#);
                            table.row((row, "body"), body, response.text());
                        }
                    }
                    Method::Message => {
                        let auth = format!(r#"{{"type":"auth","token":"{token}"}}"#);
                        // The messages of the application stay in order.
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
                table.row(
                    (row, "end"),
                    end,
                    identity_and_end(&server, &mut socket).await,
                );
                settle().await;
                let events = server.events.all();
                let refused = events.iter().filter(|line| line.starts_with("refused"));
                let expected = match (result, method) {
                    // The layer of the route refuses the request before it reaches the session.
                    (Err(RenewError::Unverified(_)), Method::Request) => 0,
                    _ => usize::from(result.is_err()),
                };
                table.row((row, "refused"), expected, refused.count());
                server.assert_counts_match();
                let again = server.sessions.renew(id, Credential::bearer("later")).await;
                assert_eq!(again, Err(RenewError::Ended));
            }
        }
    }
    table.finish();
}

/// The identity in the handler, and when and how the session ends; or the close frame if the socket
/// has closed.
async fn identity_and_end(server: &TestServer, socket: &mut TestSocket) -> String {
    let start = server.clock.now();
    // The socket may have closed already.
    let _ = socket.send("whoami").await;
    let identity = match socket.recv().await {
        Some(Ok(Message::Text(identity))) => identity,
        Some(Ok(Message::Close(Some(frame)))) => {
            wait_for_close(socket).await;
            return describe_close(&frame);
        }
        other => return format!("{other:?}"),
    };
    for seconds in [60, 120] {
        let until = start + Duration::from_secs(seconds);
        let remaining = until.duration_since(server.clock.now()).unwrap();
        server.advance(remaining - SECOND).await;
        assert_eq!(server.sessions.len(), 1, "closed before the deadline");
        server.advance(2 * SECOND).await;
        let now = server.clock.now();
        if server.sessions.list().iter().all(|it| it.deadline <= now) {
            let close = wait_for_close(socket).await;
            return format!("{identity}, {close} after {seconds} s");
        }
    }
    "open".to_owned()
}

/// The session is renewed a hundred times, alternately by a message and by the handle.
#[tokio::test(start_paused = true)]
async fn renewals_lose_and_duplicate_no_message() {
    for version in HttpVersion::ALL {
        let server = TestServer::with_layer(|it| it, |auth| auth.dialect(InBandRenewal::new()));
        server.accept("0", "alice", 2 * SECOND);
        let mut socket = server.open(version, "/echo", "0").await;
        let mut expected = 0;
        for round in 1..=100 {
            let token = round.to_string();
            server.accept(&token, "alice", 2 * SECOND);
            if round % 2 == 0 {
                let id = server.sessions.list()[0].id;
                server
                    .sessions
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
            let mut received = expected - 5;
            while received < expected {
                let text = socket.text().await;
                if !text.starts_with('{') {
                    assert_eq!(text, received.to_string());
                    received += 1;
                }
            }
            server.advance(SECOND).await;
        }
        assert_eq!(server.sessions.len(), 1, "fifty times its first lifetime");
        server.advance(2 * SECOND).await;
        assert_eq!(wait_for_close(&mut socket).await, EXPIRED);
    }
}

#[tokio::test(start_paused = true)]
async fn handler_receives_renewals_and_warnings_as_changes() {
    for version in HttpVersion::ALL {
        let server = TestServer::new(|sessions| sessions.warn_before(10 * SECOND));
        let (mut socket, id) = open(&server, version, "/changes").await;
        server.advance(51 * SECOND).await;
        assert!(socket.text().await.starts_with("expiring in"));
        server
            .sessions
            .renew(id, Credential::bearer("later"))
            .await
            .unwrap();
        assert_eq!(socket.text().await, "renewed t2");
        server.advance(60 * SECOND).await;
        assert!(
            socket.text().await.starts_with("expiring in"),
            "no second warning"
        );
        server.advance(10 * SECOND).await;
        assert_eq!(wait_for_close(&mut socket).await, EXPIRED);
    }
}

/// The dialect sends a warning even if the client sends nothing, and another one after a renewal by
/// the handle.
#[tokio::test(start_paused = true)]
async fn client_is_warned_before_each_deadline() {
    for version in HttpVersion::ALL {
        let server = TestServer::with_layer(
            |sessions| sessions.warn_before(10 * SECOND),
            |auth| auth.dialect(InBandRenewal::new()),
        );
        let (mut socket, id) = open(&server, version, "/echo").await;
        for token in ["later", "none"] {
            server.advance(51 * SECOND).await;
            let warning = tokio::time::timeout(SECOND, socket.text()).await;
            let warning = warning.unwrap_or_else(|_| panic!("no warning before `{token}`"));
            assert!(warning.starts_with(r#"{"expiring_in":"#), "{warning}");
            if token == "later" {
                server
                    .sessions
                    .renew(id, Credential::bearer(token))
                    .await
                    .unwrap();
                server.advance(9 * SECOND).await;
            }
        }
    }
}

/// A renewal after the deadline is refused, even if the session has not been closed yet.
#[tokio::test(start_paused = true)]
async fn renewal_is_accepted_until_the_deadline() {
    let millisecond = Duration::from_millis(1);
    for version in HttpVersion::ALL {
        let server = TestServer::new(|sessions| sessions);
        let (mut socket, id) = open(&server, version, "/echo").await;
        let deadline = server.sessions.list()[0].deadline;
        server.clock.set(deadline - millisecond);
        let renewed = server.sessions.renew(id, Credential::bearer("later")).await;
        assert!(renewed.is_ok());
        server.advance(30 * SECOND).await;
        socket.send("hello").await.unwrap();
        assert_eq!(socket.text().await, "hello");

        server
            .tokens
            .set("last", Ok(server.identity("alice", 10 * MINUTE)));
        let deadline = server.sessions.list()[0].deadline;
        server.clock.set(deadline + millisecond);
        server.advance(2 * SECOND).await;
        assert_eq!(wait_for_close(&mut socket).await, EXPIRED);
        let late = server.sessions.renew(id, Credential::bearer("last")).await;
        assert_eq!(late, Err(RenewError::Ended));
    }
}

#[tokio::test(start_paused = true)]
async fn renewal_does_not_extend_the_maximum_lifetime() {
    for version in HttpVersion::ALL {
        let server = TestServer::new(|sessions| sessions.max_lifetime(90 * SECOND));
        let (mut socket, id) = open(&server, version, "/echo").await;
        server.advance(30 * SECOND).await;
        let renewed = server.sessions.renew(id, Credential::bearer("later")).await;
        assert_eq!(renewed, Ok(60 * SECOND));
        server.advance(61 * SECOND).await;
        assert_eq!(wait_for_close(&mut socket).await, EXPIRED);
    }
}
