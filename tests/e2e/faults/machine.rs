//! The requests of a client to one of the machines.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use http::{Response, StatusCode};
use portcullis_e2e::Server;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::record::{Kind, Outcome, Record};
use crate::guarded::{Guarded, LIMIT, Socket, json_of};

const REVOKED: u16 = 3003;

const TRY_AGAIN_LATER: u16 = 1013;

/// A machine, with the record of all requests.
pub(crate) struct Machine<'a> {
    pub(crate) index: usize,
    pub(crate) guarded: &'a Guarded,
    pub(crate) record: &'a Record,
}

/// The carriers of a ticket.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Way {
    Query,
    Subprotocol,
    FirstMessage,
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Query, Self::Subprotocol, Self::FirstMessage];
}

impl<'a> Machine<'a> {
    /// Mints a ticket with a token.
    pub(crate) async fn mint(&self, token: &str) -> Result<String, Outcome> {
        let attempt = self.record.begin(self.index, Kind::Mint);
        let answer = self
            .guarded
            .request("POST", "ticket", token, &json!({}))
            .await;
        match attempt.end(outcome(answer.status())) {
            Outcome::Done => {
                let answer = json_of(&answer);
                let ticket = answer["ticket"].as_str().expect("a ticket").to_owned();
                let lifetime = answer["expires_in"].as_u64().expect("seconds");
                self.record.issued(&ticket, Duration::from_secs(lifetime));
                Ok(ticket)
            }
            other => Err(other),
        }
    }

    /// Mints a ticket with a healthy store. A busy machine can need several attempts.
    pub(crate) async fn mint_in_time(&self, token: &str) -> String {
        let began = Instant::now();
        loop {
            match self.mint(token).await {
                Ok(ticket) => return ticket,
                Err(other) => assert_eq!(other, Outcome::Unavailable),
            }
            assert!(began.elapsed() < LIMIT, "tickets cannot be minted");
        }
    }

    /// Redeems a ticket.
    pub(crate) async fn redeem(&self, ticket: &str, way: Way) -> Result<OpenSocket<'a>, Outcome> {
        let attempt = self.record.begin(self.index, Kind::Redeem(way));
        let opened = match way {
            Way::Query => {
                let path = format!("ws/ticket?ticket={ticket}");
                let opened = self.guarded.try_open(&path).await;
                self.record_session(opened.map_err(outcome)).await
            }
            Way::Subprotocol => {
                let offer = format!("v1.ticket, v1.ticket.{ticket}");
                let headers = [("sec-websocket-protocol", offer.as_str())];
                let url = self.guarded.websocket_url("ws/ticket");
                let opened = Socket::open(&url, &headers).await;
                self.record_session(opened.map_err(outcome)).await
            }
            Way::FirstMessage => {
                let mut socket = self.guarded.pending("ws/first-message").await;
                socket.send_text(ticket).await;
                self.record_session(Ok(socket)).await
            }
        };
        let ended = attempt.end(*opened.as_ref().err().unwrap_or(&Outcome::Done));
        self.record.redeemed(ticket, ended);
        opened
    }

    /// Opens a socket with the token in the `Authorization` header.
    pub(crate) async fn open(&self, token: &str) -> Result<OpenSocket<'a>, Outcome> {
        let attempt = self.record.begin(self.index, Kind::Open);
        let opened = self.guarded.try_open_as("ws/header", token).await;
        let opened = self.record_session(opened.map_err(outcome)).await;
        attempt.end(*opened.as_ref().err().unwrap_or(&Outcome::Done));
        opened
    }

    /// Opens a socket as soon as the machine admits clients again.
    pub(crate) async fn open_in_time(&self, token: &str) -> OpenSocket<'a> {
        let began = Instant::now();
        loop {
            match self.open(token).await {
                Ok(socket) => return socket,
                Err(other) => assert_eq!(other, Outcome::Unavailable),
            }
            assert!(began.elapsed() < LIMIT, "no client is admitted");
        }
    }

    /// Revokes a subject as root. Returns the number of closed sockets, and whether the store has
    /// acknowledged the revocation.
    pub(crate) async fn revoke(&self, subject: &str) -> (u64, Outcome) {
        let attempt = self.record.begin(self.index, Kind::Revoke);
        let what = json!({ "subject": subject });
        let root = &self.guarded.root;
        let answer = self.guarded.request("POST", "revoke", root, &what).await;
        let closed = json_of(&answer)["closed"].as_u64().expect("a number");
        (closed, attempt.end(outcome(answer.status())))
    }

    /// Waits until the machine lists the recorded sessions, and has logged the recorded responses and
    /// no others.
    pub(crate) async fn wait_until_it_matches_the_record(&self) {
        let sessions = self.record.live(self.index);
        let responses = self.record.responses(self.index);
        let began = Instant::now();
        loop {
            let (listed, logged) = (self.listed_sessions().await, self.logged_responses());
            if (&listed, &logged) == (&sessions, &responses) {
                return;
            }
            assert!(
                began.elapsed() < LIMIT,
                "machine {} lists {listed:#?} and has logged {logged:#?}; \
                 expected {sessions:#?} and {responses:#?}",
                self.index
            );
        }
    }

    fn logged_responses(&self) -> BTreeMap<(String, u16), usize> {
        let mut logged = logged_responses(&self.guarded.server);
        logged.retain(|(path, _), _| path != "/sessions");
        logged
    }

    async fn listed_sessions(&self) -> BTreeSet<String> {
        let root = &self.guarded.root;
        let answer = self
            .guarded
            .request("GET", "sessions", root, &Value::Null)
            .await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        let sessions = json_of(&answer);
        let sessions = sessions.as_array().expect("a list").iter();
        sessions.map(|it| text(&it["id"])).collect()
    }

    /// Records the session of a new socket. The first message contains its id, unless the server closes
    /// the socket because of a refused first message.
    async fn record_session(
        &self,
        socket: Result<Socket, Outcome>,
    ) -> Result<OpenSocket<'a>, Outcome> {
        let mut socket = socket?;
        let hello: Value = match socket.next().await {
            Message::Text(hello) => serde_json::from_str(&hello).expect("JSON"),
            Message::Close(Some(frame)) => {
                return Err(match frame.code.into() {
                    3000_u16 => Outcome::Refused,
                    TRY_AGAIN_LATER => Outcome::Unavailable,
                    other => panic!("closed with {other}"),
                });
            }
            other => panic!("{other:?}"),
        };
        let session = text(&hello["session"]);
        self.record.opened(&session, self.index);
        Ok(OpenSocket {
            machine: self.index,
            guarded: self.guarded,
            record: self.record,
            socket,
            session,
        })
    }
}

/// An open socket with a recorded session.
pub(crate) struct OpenSocket<'a> {
    machine: usize,
    guarded: &'a Guarded,
    record: &'a Record,
    socket: Socket,
    session: String,
}

impl OpenSocket<'_> {
    pub(crate) async fn assert_echoes(&mut self) {
        self.socket.assert_echoes().await;
    }

    /// Renews the session over HTTP.
    pub(crate) async fn renew(&self, token: &str) {
        let attempt = self.record.begin(self.machine, Kind::Renew);
        let session = json!({ "session": self.session });
        let answer: Response<String> = self.guarded.request("POST", "renew", token, &session).await;
        assert_eq!(
            attempt.end(outcome(answer.status())),
            Outcome::Done,
            "{answer:?}"
        );
    }

    /// Closes the socket as the client.
    pub(crate) async fn close(self) {
        self.socket.close().await;
        self.record.closed(&self.session);
    }

    /// Asserts that the server closes the socket because its subject is revoked.
    pub(crate) async fn expect_revoked_close(self) {
        self.expect_close(REVOKED).await;
    }

    /// Asserts that the server closes the socket because it receives no revocations.
    pub(crate) async fn expect_unavailable_close(self) {
        self.expect_close(TRY_AGAIN_LATER).await;
    }

    async fn expect_close(mut self, code: u16) {
        assert_eq!(self.socket.close_code().await, code);
        self.record.closed(&self.session);
    }
}

/// Returns the number of responses that a server has logged, for each path and status.
pub(crate) fn logged_responses(server: &Server) -> BTreeMap<(String, u16), usize> {
    let mut responses = BTreeMap::new();
    for line in server.output().lines() {
        if !line.contains("finished processing request") {
            continue;
        }
        let [path, status] = ["uri=", "status="].map(|name| {
            let (_, value) = line.split_once(name).expect("a field of the span");
            value.split([' ', '?', '}']).next().expect("a value")
        });
        let response = (path.to_owned(), status.parse().expect("a number"));
        *responses.entry(response).or_default() += 1;
    }
    responses
}

fn outcome(status: StatusCode) -> Outcome {
    match status.as_u16() {
        200 => Outcome::Done,
        401 => Outcome::Refused,
        429 => Outcome::Full,
        503 => Outcome::Unavailable,
        other => panic!("unexpected status {other}"),
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
