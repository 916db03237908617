//! The attempts of all clients and their outcomes, with the tickets and the sessions. At the end a
//! test compares this record with the machines and the store.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::machine::Way;

/// The kinds of attempts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Kind {
    Mint,
    Redeem(Way),
    Open,
    Renew,
    Revoke,
}

/// The outcomes of attempts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Outcome {
    Done,
    /// Status 401, or close code 3000 after a first message.
    Refused,
    /// Status 429.
    Full,
    /// Status 503, or close code 1013.
    Unavailable,
}

#[derive(Debug, Default)]
pub(crate) struct Record {
    entries: Mutex<Entries>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    /// The number of attempts at each machine.
    begun: BTreeMap<(usize, Kind), usize>,
    ended: BTreeMap<(usize, Kind, Outcome), usize>,
    tickets: HashMap<String, Ticket>,
    /// The machine of each session, and whether the session is open.
    sessions: HashMap<String, (usize, bool)>,
}

#[derive(Debug)]
struct Ticket {
    issued: Instant,
    lifetime: Duration,
    opened: usize,
    refused: usize,
    unanswered: usize,
    is_revoked: bool,
    /// The time of the last change that the store acknowledged.
    acknowledged: Instant,
    /// Whether the last change may not have reached the replica that took over.
    may_be_unreplicated: bool,
}

/// The number of tickets in each state.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    pub(crate) issued: usize,
    /// Opened a socket.
    pub(crate) redeemed: usize,
    /// Refused after the revocation of the subject.
    pub(crate) revoked: usize,
    /// In an unknown state: the store did not respond to a redemption, or lost a primary right after
    /// the ticket was minted.
    pub(crate) lost: usize,
    pub(crate) expired: usize,
    /// Present in the store.
    pub(crate) live: usize,
}

impl Record {
    /// Records the begin of an attempt at a machine.
    pub(crate) fn begin(&self, machine: usize, kind: Kind) -> Attempt<'_> {
        self.write(|entries| *entries.begun.entry((machine, kind)).or_default() += 1);
        Attempt {
            record: self,
            machine,
            kind,
        }
    }

    /// Waits until this many more attempts have ended.
    pub(crate) async fn wait_for_attempts(&self, attempts: usize) {
        let goal = self.ended() + attempts;
        loop {
            let ended = self.ended.notified();
            if self.ended() >= goal {
                return;
            }
            ended.await;
        }
    }

    /// Records a new ticket.
    pub(crate) fn issued(&self, ticket: &str, lifetime: Duration) {
        let now = Instant::now();
        let issued = Ticket {
            issued: now,
            lifetime,
            opened: 0,
            refused: 0,
            unanswered: 0,
            is_revoked: false,
            acknowledged: now,
            may_be_unreplicated: false,
        };
        let before = self.write(|entries| entries.tickets.insert(ticket.to_owned(), issued));
        assert!(before.is_none(), "a ticket was issued twice");
    }

    /// Records that the subject of a ticket is revoked, so that the ticket may be refused.
    pub(crate) fn revoked(&self, ticket: &str) {
        self.write(|entries| entries.ticket(ticket).is_revoked = true);
    }

    /// Records that a primary failed: the last acknowledged changes may not have reached the replica.
    pub(crate) fn primary_failed(&self) {
        self.write(|entries| {
            for ticket in entries.tickets.values_mut() {
                ticket.may_be_unreplicated |= ticket.acknowledged.elapsed() < REPLICATION;
            }
        });
    }

    /// Returns whether a ticket may be refused because it has expired or is lost.
    pub(crate) fn may_be_gone(&self, ticket: &str) -> bool {
        self.write(|entries| entries.ticket(ticket).may_be_gone())
    }

    /// Records the outcome of an attempt to redeem a ticket.
    pub(crate) fn redeemed(&self, ticket: &str, outcome: Outcome) {
        let opened = self.write(|entries| {
            let ticket = entries.ticket(ticket);
            match outcome {
                Outcome::Done => {
                    ticket.opened += 1;
                    ticket.acknowledged = Instant::now();
                }
                Outcome::Refused => ticket.refused += 1,
                Outcome::Unavailable => ticket.unanswered += 1,
                Outcome::Full => panic!("a redemption needs no memory"),
            }
            ticket.opened
        });
        assert!(opened <= 1, "a ticket opened {opened} sockets");
    }

    /// Records a new session.
    pub(crate) fn opened(&self, session: &str, machine: usize) {
        let entry = (machine, true);
        let before = self.write(|entries| entries.sessions.insert(session.to_owned(), entry));
        assert!(before.is_none(), "two sockets have the session {session}");
    }

    /// Records the end of a session.
    pub(crate) fn closed(&self, session: &str) {
        let was_open = self.write(|entries| {
            let (_, is_open) = entries.sessions.get_mut(session).expect("it was opened");
            std::mem::take(is_open)
        });
        assert!(was_open, "session {session} was closed twice");
    }

    /// Returns the open sessions of a machine.
    pub(crate) fn live(&self, machine: usize) -> BTreeSet<String> {
        self.write(|entries| {
            let sessions = entries.sessions.iter();
            let live = sessions.filter(|(_, state)| **state == (machine, true));
            live.map(|(id, _)| id.clone()).collect()
        })
    }

    /// Returns the keys of the tickets with a short lifetime.
    pub(crate) fn short_lived(&self) -> BTreeSet<String> {
        self.write(|entries| {
            let tickets = entries.tickets.iter();
            let short = tickets.filter(|(_, ticket)| ticket.lifetime < MARGIN);
            short.map(|(ticket, _)| key_of(ticket)).collect()
        })
    }

    /// Returns the tickets that have opened no socket.
    pub(crate) fn unredeemed(&self) -> Vec<String> {
        self.write(|entries| {
            let tickets = entries.tickets.iter();
            let unredeemed = tickets.filter(|(_, ticket)| ticket.opened == 0);
            unredeemed.map(|(ticket, _)| ticket.clone()).collect()
        })
    }

    /// Counts the tickets by their state. `keys` are the keys in the store.
    pub(crate) fn classify_tickets(&self, keys: &BTreeSet<String>) -> Tickets {
        self.write(|entries| {
            let mut counts = Tickets::default();
            for (secret, ticket) in &entries.tickets {
                let is_live = keys.contains(&key_of(secret));
                counts.issued += 1;
                let count = if ticket.opened > 0 {
                    assert!(
                        !is_live || ticket.may_be_unreplicated,
                        "the store has a ticket that was redeemed"
                    );
                    &mut counts.redeemed
                } else if is_live {
                    &mut counts.live
                } else if ticket.unanswered > 0 {
                    &mut counts.lost
                } else if ticket.refused > 0 && ticket.is_revoked {
                    &mut counts.revoked
                } else if ticket.may_have_expired() {
                    &mut counts.expired
                } else {
                    assert!(
                        ticket.may_be_unreplicated,
                        "the store has lost a valid ticket: {ticket:?}"
                    );
                    &mut counts.lost
                };
                *count += 1;
            }
            counts
        })
    }

    /// Returns the number of keys in the store that belong to no issued ticket.
    pub(crate) fn unknown(&self, keys: &BTreeSet<String>) -> usize {
        self.write(|entries| {
            let known: BTreeSet<_> = entries.tickets.keys().map(|it| key_of(it)).collect();
            keys.difference(&known).count()
        })
    }

    /// Returns the number of attempts with this outcome at all machines.
    pub(crate) fn count(&self, kind: Kind, outcome: Outcome) -> usize {
        self.write(|entries| {
            let ended = entries.ended.iter();
            let such = ended.filter(|((_, one, other), _)| (*one, *other) == (kind, outcome));
            such.map(|(_, count)| count).sum()
        })
    }

    /// Returns the number of responses of a machine for each path and status.
    pub(crate) fn responses(&self, machine: usize) -> BTreeMap<(String, u16), usize> {
        self.write(|entries| {
            let mut responses = BTreeMap::new();
            for ((at, kind, outcome), count) in &entries.ended {
                if *at == machine {
                    let response = (kind.path().to_owned(), kind.status(*outcome));
                    *responses.entry(response).or_default() += count;
                }
            }
            responses
        })
    }

    /// Returns the number of attempts with each outcome as text.
    pub(crate) fn summary(&self) -> String {
        self.write(|entries| {
            let mut sums: BTreeMap<_, usize> = BTreeMap::new();
            for ((_, kind, outcome), count) in &entries.ended {
                *sums.entry((kind, outcome)).or_default() += count;
            }
            format!("{sums:?}")
        })
    }

    /// Asserts that every attempt has one outcome.
    pub(crate) fn assert_every_attempt_has_ended(&self) {
        self.write(|entries| {
            let mut ended = BTreeMap::new();
            for ((machine, kind, _), count) in &entries.ended {
                *ended.entry((*machine, *kind)).or_default() += count;
            }
            assert_eq!(
                entries.begun, ended,
                "attempts, and attempts that have ended"
            );
        });
    }

    fn ended(&self) -> usize {
        self.write(|entries| entries.ended.values().sum())
    }

    fn write<T>(&self, write: impl FnOnce(&mut Entries) -> T) -> T {
        let entries = self.entries.lock();
        write(&mut entries.expect("no test panics with the lock"))
    }
}

impl Kind {
    /// Returns the path of the request.
    fn path(self) -> &'static str {
        match self {
            Self::Mint => "/ticket",
            Self::Redeem(Way::FirstMessage) => "/ws/first-message",
            Self::Redeem(_) => "/ws/ticket",
            Self::Open => "/ws/header",
            Self::Renew => "/renew",
            Self::Revoke => "/revoke",
        }
    }

    /// Returns the status of the response.
    fn status(self, outcome: Outcome) -> u16 {
        match (self, outcome) {
            // The outcome of a first message is a message, after the 101.
            (Self::Redeem(Way::FirstMessage), _)
            | (Self::Redeem(_) | Self::Open, Outcome::Done) => 101,
            (_, Outcome::Done) => 200,
            (_, Outcome::Refused) => 401,
            (_, Outcome::Full) => 429,
            (_, Outcome::Unavailable) => 503,
        }
    }
}

impl Entries {
    fn ticket(&mut self, ticket: &str) -> &mut Ticket {
        self.tickets.get_mut(ticket).expect("it was issued")
    }
}

impl Ticket {
    fn may_be_gone(&self) -> bool {
        self.may_be_unreplicated || self.may_have_expired()
    }

    /// The client receives a ticket some time after it was issued, with a lifetime in whole seconds.
    fn may_have_expired(&self) -> bool {
        self.issued.elapsed() + MARGIN >= self.lifetime
    }
}

/// An attempt that has begun.
#[must_use = "it has to end"]
pub(crate) struct Attempt<'a> {
    record: &'a Record,
    machine: usize,
    kind: Kind,
}

impl Attempt<'_> {
    /// Records the outcome.
    pub(crate) fn end(self, outcome: Outcome) -> Outcome {
        let entry = (self.machine, self.kind, outcome);
        self.record
            .write(|entries| *entries.ended.entry(entry).or_default() += 1);
        self.record.ended.notify_waiters();
        outcome
    }
}

/// Returns the key of a ticket in the store, which contains only the digest of the ticket.
pub(crate) fn key_of(ticket: &str) -> String {
    let digest = blake3::hash(ticket.as_bytes());
    format!("portcullis:ticket:{}", digest.to_hex())
}

/// The uncertainty about the time at which a ticket expires.
const MARGIN: Duration = Duration::from_secs(5);

/// An upper limit of the delay of the replication, also on a busy machine.
const REPLICATION: Duration = Duration::from_secs(1);
