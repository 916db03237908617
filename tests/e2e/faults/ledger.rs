//! The books: what clients attempted and what came of it, tickets and sockets. Whatever is in them
//! has to agree with what the machines and the store say.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::machine::Way;

/// What a client attempts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Kind {
    Mint,
    Redeem(Way),
    Open,
    Renew,
    Revoke,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Outcome {
    Done,
    /// 401, and 3000 where a message says who it is.
    Refused,
    /// 429.
    Full,
    /// 503, and 1013.
    Unavailable,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    books: Mutex<Books>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct Books {
    /// At which machine.
    begun: BTreeMap<(usize, Kind), usize>,
    ended: BTreeMap<(usize, Kind, Outcome), usize>,
    tickets: HashMap<String, Ticket>,
    /// Which machine has opened which session, and whether that has ended.
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
    /// When something was last acknowledged about it.
    acknowledged: Instant,
    is_unsettled: bool,
}

/// What became of the tickets; each is one of these.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    pub(crate) issued: usize,
    /// They opened a socket.
    pub(crate) redeemed: usize,
    /// They came when their subject was revoked.
    pub(crate) revoked: usize,
    /// Nobody knows what became of them: the store has not answered when they came, or has lost a
    /// primary when they had just been minted.
    pub(crate) lost: usize,
    pub(crate) expired: usize,
    /// The store has them.
    pub(crate) live: usize,
}

impl Ledger {
    /// An attempt begins, at a machine. It has to end.
    pub(crate) fn begins(&self, machine: usize, kind: Kind) -> Attempt<'_> {
        self.write(|books| *books.begun.entry((machine, kind)).or_default() += 1);
        Attempt {
            ledger: self,
            machine,
            kind,
        }
    }

    /// Waits until so many attempts have ended from now on.
    pub(crate) async fn goes_on(&self, attempts: usize) {
        let goal = self.ended() + attempts;
        loop {
            let ended = self.ended.notified();
            if self.ended() >= goal {
                return;
            }
            ended.await;
        }
    }

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
            is_unsettled: false,
        };
        let before = self.write(|books| books.tickets.insert(ticket.to_owned(), issued));
        assert!(before.is_none(), "a ticket was issued twice");
    }

    /// The subject of a ticket is revoked: from now on it may be refused.
    pub(crate) fn revoked(&self, ticket: &str) {
        self.write(|books| books.ticket(ticket).is_revoked = true);
    }

    /// A primary dies, and a replica takes over: what was acknowledged just before may not have
    /// reached the replica.
    pub(crate) fn a_primary_dies(&self) {
        self.write(|books| {
            for ticket in books.tickets.values_mut() {
                ticket.is_unsettled |= ticket.acknowledged.elapsed() < REPLICATION;
            }
        });
    }

    /// Whether it may be refused: for its age, or because it is lost.
    pub(crate) fn may_be_gone(&self, ticket: &str) -> bool {
        self.write(|books| books.ticket(ticket).may_be_gone())
    }

    /// What became of an attempt to redeem a ticket.
    pub(crate) fn redeemed(&self, ticket: &str, outcome: Outcome) {
        let opened = self.write(|books| {
            let ticket = books.ticket(ticket);
            match outcome {
                Outcome::Done => {
                    ticket.opened += 1;
                    ticket.acknowledged = Instant::now();
                }
                Outcome::Refused => ticket.refused += 1,
                Outcome::Unavailable => ticket.unanswered += 1,
                Outcome::Full => panic!("nobody needs room to redeem a ticket"),
            }
            ticket.opened
        });
        assert!(opened <= 1, "a ticket opened {opened} sockets");
    }

    pub(crate) fn opened(&self, session: &str, machine: usize) {
        let entry = (machine, true);
        let before = self.write(|books| books.sessions.insert(session.to_owned(), entry));
        assert!(before.is_none(), "two sockets are session {session}");
    }

    pub(crate) fn closed(&self, session: &str) {
        let was_open = self.write(|books| {
            let (_, is_open) = books.sessions.get_mut(session).expect("it was opened");
            std::mem::take(is_open)
        });
        assert!(was_open, "session {session} was closed twice");
    }

    /// The sessions that are open at a machine.
    pub(crate) fn live(&self, machine: usize) -> BTreeSet<String> {
        self.write(|books| {
            let sessions = books.sessions.iter();
            let live = sessions.filter(|(_, state)| **state == (machine, true));
            live.map(|(id, _)| id.clone()).collect()
        })
    }

    /// The keys of those tickets that end soon after they were issued.
    pub(crate) fn short_lived(&self) -> BTreeSet<String> {
        self.write(|books| {
            let tickets = books.tickets.iter();
            let short = tickets.filter(|(_, ticket)| ticket.lifetime < MARGIN);
            short.map(|(ticket, _)| key_of(ticket)).collect()
        })
    }

    /// Those tickets that have opened no socket.
    pub(crate) fn unredeemed(&self) -> Vec<String> {
        self.write(|books| {
            let tickets = books.tickets.iter();
            let unredeemed = tickets.filter(|(_, ticket)| ticket.opened == 0);
            unredeemed.map(|(ticket, _)| ticket.clone()).collect()
        })
    }

    /// Sorts the tickets by what became of them; `keys` are those that the store has.
    pub(crate) fn sort_tickets(&self, keys: &BTreeSet<String>) -> Tickets {
        self.write(|books| {
            let mut sorted = Tickets::default();
            for (secret, ticket) in &books.tickets {
                let is_live = keys.contains(&key_of(secret));
                sorted.issued += 1;
                let became = if ticket.opened > 0 {
                    assert!(
                        !is_live || ticket.is_unsettled,
                        "the store has a ticket that was redeemed"
                    );
                    &mut sorted.redeemed
                } else if is_live {
                    &mut sorted.live
                } else if ticket.unanswered > 0 {
                    &mut sorted.lost
                } else if ticket.refused > 0 && ticket.is_revoked {
                    &mut sorted.revoked
                } else if ticket.may_have_ended() {
                    &mut sorted.expired
                } else {
                    assert!(ticket.is_unsettled, "a good ticket is gone: {ticket:?}");
                    &mut sorted.lost
                };
                *became += 1;
            }
            sorted
        })
    }

    /// How many keys of tickets the store has that nobody was told of.
    pub(crate) fn unknown(&self, keys: &BTreeSet<String>) -> usize {
        self.write(|books| {
            let known: BTreeSet<_> = books.tickets.keys().map(|it| key_of(it)).collect();
            keys.difference(&known).count()
        })
    }

    /// How many attempts have ended so, at any machine.
    pub(crate) fn count(&self, kind: Kind, outcome: Outcome) -> usize {
        self.write(|books| {
            let ended = books.ended.iter();
            let such = ended.filter(|((_, one, other), _)| (*one, *other) == (kind, outcome));
            such.map(|(_, count)| count).sum()
        })
    }

    /// How often a machine must have given which answer at which path.
    pub(crate) fn answers(&self, machine: usize) -> BTreeMap<(String, u16), usize> {
        self.write(|books| {
            let mut answers = BTreeMap::new();
            for ((at, kind, outcome), count) in &books.ended {
                if *at == machine {
                    let answer = (kind.path().to_owned(), kind.status(*outcome));
                    *answers.entry(answer).or_default() += count;
                }
            }
            answers
        })
    }

    /// Attempts and what came of them, for a person to read.
    pub(crate) fn summary(&self) -> String {
        self.write(|books| {
            let mut sums: BTreeMap<_, usize> = BTreeMap::new();
            for ((_, kind, outcome), count) in &books.ended {
                *sums.entry((kind, outcome)).or_default() += count;
            }
            format!("{sums:?}")
        })
    }

    /// Every attempt has one outcome.
    pub(crate) fn assert_balanced(&self) {
        self.write(|books| {
            let mut ended = BTreeMap::new();
            for ((machine, kind, _), count) in &books.ended {
                *ended.entry((*machine, *kind)).or_default() += count;
            }
            assert_eq!(books.begun, ended, "attempts, and those that have ended");
        });
    }

    fn ended(&self) -> usize {
        self.write(|books| books.ended.values().sum())
    }

    fn write<T>(&self, write: impl FnOnce(&mut Books) -> T) -> T {
        write(&mut self.books.lock().expect("nobody panics with the lock"))
    }
}

impl Kind {
    /// Where it is attempted.
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

    /// With what status it ends so.
    fn status(self, outcome: Outcome) -> u16 {
        match (self, outcome) {
            // What comes of a first message, a message tells.
            (Self::Redeem(Way::FirstMessage), _)
            | (Self::Redeem(_) | Self::Open, Outcome::Done) => 101,
            (_, Outcome::Done) => 200,
            (_, Outcome::Refused) => 401,
            (_, Outcome::Full) => 429,
            (_, Outcome::Unavailable) => 503,
        }
    }
}

impl Books {
    fn ticket(&mut self, ticket: &str) -> &mut Ticket {
        self.tickets.get_mut(ticket).expect("it was issued")
    }
}

impl Ticket {
    fn may_be_gone(&self) -> bool {
        self.is_unsettled || self.may_have_ended()
    }

    /// We were told of it a moment after it was issued, and in whole seconds.
    fn may_have_ended(&self) -> bool {
        self.issued.elapsed() + MARGIN >= self.lifetime
    }
}

/// Something that a client has begun.
#[must_use = "it has to end"]
pub(crate) struct Attempt<'a> {
    ledger: &'a Ledger,
    machine: usize,
    kind: Kind,
}

impl Attempt<'_> {
    pub(crate) fn ends(self, outcome: Outcome) -> Outcome {
        let entry = (self.machine, self.kind, outcome);
        self.ledger
            .write(|books| *books.ended.entry(entry).or_default() += 1);
        self.ledger.ended.notify_waiters();
        outcome
    }
}

/// The key of a ticket in the store, which has its digest and never sees the ticket.
pub(crate) fn key_of(ticket: &str) -> String {
    let digest = blake3::hash(ticket.as_bytes());
    format!("portcullis:ticket:{}", digest.to_hex())
}

const MARGIN: Duration = Duration::from_secs(5);

/// Longer than what a primary has acknowledged is on its way to a replica, on a busy machine too.
const REPLICATION: Duration = Duration::from_secs(1);
