//! One machine of two, and what a client attempts there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use http::{Response, StatusCode};
use portcullis_e2e::Server;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::ledger::{Kind, Ledger, Outcome};
use crate::guarded::{Guarded, LIMIT, Socket, json_of};

const REVOKED: u16 = 3003;

const TRY_AGAIN_LATER: u16 = 1013;

/// A machine that clients know, and their books.
pub(crate) struct Machine<'a> {
    pub(crate) index: usize,
    pub(crate) guarded: &'a Guarded,
    pub(crate) ledger: &'a Ledger,
}

/// The ways to redeem a ticket.
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
    /// A ticket, for whoever has the token.
    pub(crate) async fn mint(&self, token: &str) -> Result<String, Outcome> {
        let attempt = self.ledger.begins(self.index, Kind::Mint);
        let answer = self
            .guarded
            .request("POST", "ticket", token, &json!({}))
            .await;
        match attempt.ends(outcome(answer.status())) {
            Outcome::Done => {
                let answer = json_of(&answer);
                let ticket = answer["ticket"].as_str().expect("a ticket").to_owned();
                let lifetime = answer["expires_in"].as_u64().expect("seconds");
                self.ledger.issued(&ticket, Duration::from_secs(lifetime));
                Ok(ticket)
            }
            other => Err(other),
        }
    }

    /// The same of a store that is well. Where the machine is busy, it may take a second attempt.
    pub(crate) async fn mint_in_time(&self, token: &str) -> String {
        let began = Instant::now();
        loop {
            match self.mint(token).await {
                Ok(ticket) => return ticket,
                Err(other) => assert_eq!(other, Outcome::Unavailable),
            }
            assert!(began.elapsed() < LIMIT, "there are no tickets");
        }
    }

    /// Redeems a ticket.
    pub(crate) async fn redeem(&self, ticket: &str, way: Way) -> Result<Held<'a>, Outcome> {
        let attempt = self.ledger.begins(self.index, Kind::Redeem(way));
        let opened = match way {
            Way::Query => {
                let path = format!("ws/ticket?ticket={ticket}");
                let opened = self.guarded.try_open(&path).await;
                self.held(opened.map_err(outcome)).await
            }
            Way::Subprotocol => {
                let offer = format!("v1.ticket, v1.ticket.{ticket}");
                let headers = [("sec-websocket-protocol", offer.as_str())];
                let url = self.guarded.websocket_url("ws/ticket");
                let opened = Socket::open(&url, &headers).await;
                self.held(opened.map_err(outcome)).await
            }
            Way::FirstMessage => {
                let mut socket = self.guarded.pending("ws/first-message").await;
                socket.say(ticket).await;
                self.held(Ok(socket)).await
            }
        };
        let ended = attempt.ends(*opened.as_ref().err().unwrap_or(&Outcome::Done));
        self.ledger.redeemed(ticket, ended);
        opened
    }

    /// A socket, with the token in the header.
    pub(crate) async fn open(&self, token: &str) -> Result<Held<'a>, Outcome> {
        let attempt = self.ledger.begins(self.index, Kind::Open);
        let opened = self.guarded.try_open_as("ws/header", token).await;
        let opened = self.held(opened.map_err(outcome)).await;
        attempt.ends(*opened.as_ref().err().unwrap_or(&Outcome::Done));
        opened
    }

    /// The same of a machine that is about to let people in again.
    pub(crate) async fn open_in_time(&self, token: &str) -> Held<'a> {
        let began = Instant::now();
        loop {
            match self.open(token).await {
                Ok(held) => return held,
                Err(other) => assert_eq!(other, Outcome::Unavailable),
            }
            assert!(began.elapsed() < LIMIT, "nobody is let in");
        }
    }

    /// Lets root take back a subject. How many sockets that closed here, and whether the store has
    /// acknowledged it.
    pub(crate) async fn revoke(&self, subject: &str) -> (u64, Outcome) {
        let attempt = self.ledger.begins(self.index, Kind::Revoke);
        let what = json!({ "subject": subject });
        let root = &self.guarded.root;
        let answer = self.guarded.request("POST", "revoke", root, &what).await;
        let closed = json_of(&answer)["closed"].as_u64().expect("a number");
        (closed, attempt.ends(outcome(answer.status())))
    }

    /// Waits until the machine lists the sessions of the books, and has given the answers of the
    /// books, and no others.
    pub(crate) async fn agrees(&self) {
        let (live, answers) = (
            self.ledger.live(self.index),
            self.ledger.answers(self.index),
        );
        let began = Instant::now();
        loop {
            let (listed, given) = (self.listed().await, self.given());
            if (&listed, &given) == (&live, &answers) {
                return;
            }
            assert!(
                began.elapsed() < LIMIT,
                "machine {} lists {listed:#?} and has given {given:#?}; \
                 in the books are {live:#?} and {answers:#?}",
                self.index
            );
        }
    }

    /// What it has printed that it has answered.
    fn given(&self) -> BTreeMap<(String, u16), usize> {
        let mut given = answers(&self.guarded.server);
        given.retain(|(path, _), _| path != "/sessions");
        given
    }

    async fn listed(&self) -> BTreeSet<String> {
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

    /// The first message tells the session, unless somebody has to be told who it is and does not
    /// like it.
    async fn held(&self, socket: Result<Socket, Outcome>) -> Result<Held<'a>, Outcome> {
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
        self.ledger.opened(&session, self.index);
        Ok(Held {
            machine: self.index,
            guarded: self.guarded,
            ledger: self.ledger,
            socket,
            session,
        })
    }
}

/// An open socket, which is in the books.
pub(crate) struct Held<'a> {
    machine: usize,
    guarded: &'a Guarded,
    ledger: &'a Ledger,
    socket: Socket,
    session: String,
}

impl Held<'_> {
    /// It lives.
    pub(crate) async fn echoes(&mut self) {
        self.socket.assert_echoes().await;
    }

    /// Renews it.
    pub(crate) async fn renew(&self, token: &str) {
        let attempt = self.ledger.begins(self.machine, Kind::Renew);
        let session = json!({ "session": self.session });
        let answer: Response<String> = self.guarded.request("POST", "renew", token, &session).await;
        assert_eq!(
            attempt.ends(outcome(answer.status())),
            Outcome::Done,
            "{answer:?}"
        );
    }

    /// Its client closes it.
    pub(crate) async fn leave(self) {
        self.socket.leave().await;
        self.ledger.closed(&self.session);
    }

    /// The server closes it: its subject is revoked.
    pub(crate) async fn ends_revoked(self) {
        self.ends_with(REVOKED).await;
    }

    /// The server closes it: it would not hear that its subject is revoked.
    pub(crate) async fn ends_unheard(self) {
        self.ends_with(TRY_AGAIN_LATER).await;
    }

    async fn ends_with(mut self, code: u16) {
        assert_eq!(self.socket.close_code().await, code);
        self.ledger.closed(&self.session);
    }
}

/// How often a server has printed that it has given which answer at which path.
pub(crate) fn answers(server: &Server) -> BTreeMap<(String, u16), usize> {
    let mut answers = BTreeMap::new();
    for line in server.output().lines() {
        if !line.contains("finished processing request") {
            continue;
        }
        let [path, status] = ["uri=", "status="].map(|name| {
            let (_, value) = line.split_once(name).expect("a field of the span");
            value.split([' ', '?', '}']).next().expect("a value")
        });
        let answer = (path.to_owned(), status.parse().expect("a number"));
        *answers.entry(answer).or_default() += 1;
    }
    answers
}

fn outcome(status: StatusCode) -> Outcome {
    match status.as_u16() {
        200 => Outcome::Done,
        401 => Outcome::Refused,
        429 => Outcome::Full,
        503 => Outcome::Unavailable,
        other => panic!("{other} is no answer that anybody has promised"),
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
