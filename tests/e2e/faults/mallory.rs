//! Who is revoked while the store fails.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::ledger::Outcome;
use super::machine::{Held, Machine, Way};
use super::site::Site;
use crate::guarded::LIMIT;

/// Who has sockets at both machines, and tickets, and is revoked at the first one.
pub(crate) struct Mallory<'a> {
    site: &'a Site,
    machines: &'a [Machine<'a>; 2],
    here: Vec<Held<'a>>,
    there: Vec<Held<'a>>,
    tickets: Vec<String>,
}

impl<'a> Mallory<'a> {
    /// Eve does too, and is revoked at once.
    pub(crate) async fn arrives(site: &'a Site, machines: &'a [Machine<'a>; 2]) -> Self {
        let [one, two] = machines;
        let eve = two.open(&site.eve).await.expect("eve is known");
        let began = Instant::now();
        while one.revoke("eve").await.1 != Outcome::Done {
            assert!(began.elapsed() < LIMIT, "the store does not hear of it");
        }
        eve.ends_revoked().await;
        let mut mallory = Self {
            site,
            machines,
            here: Vec::new(),
            there: Vec::new(),
            tickets: Vec::new(),
        };
        for _ in 0..2 {
            mallory.here.push(mallory.opens(one).await);
            mallory.there.push(mallory.opens(two).await);
            for machine in machines {
                mallory
                    .tickets
                    .push(machine.mint_in_time(&site.mallory).await);
            }
        }
        mallory
    }

    /// Without its store the first machine revokes all the same, and says that others may not know.
    /// Eve is known to both.
    pub(crate) async fn is_known_of_here_alone(&mut self) {
        assert_eq!(self.is_revoked().await, Outcome::Unavailable);
        for held in &mut self.there {
            held.echoes().await;
        }
        for machine in self.machines {
            let eve = machine.open(&self.site.eve).await;
            assert_eq!(eve.err(), Some(Outcome::Refused));
        }
    }

    /// Her sockets at the first machine are closed, and there are no others. Whether the store has
    /// acknowledged it.
    pub(crate) async fn is_revoked(&mut self) -> Outcome {
        let [one, _] = self.machines;
        let (closed, outcome) = one.revoke("mallory").await;
        for ticket in &self.tickets {
            one.ledger.revoked(ticket);
        }
        assert_eq!(closed, self.here.len() as u64);
        for held in self.here.drain(..) {
            held.ends_revoked().await;
        }
        let refused = one.open(&self.site.mallory).await;
        assert_eq!(refused.err(), Some(Outcome::Refused));
        outcome
    }

    /// The second machine, which has not heard of it, lets her in: by token, and by a ticket that it
    /// mints for her now.
    pub(crate) async fn comes_again(&mut self) {
        let [_, two] = self.machines;
        self.there.push(self.opens(two).await);
        let began = Instant::now();
        loop {
            let ticket = two.mint_in_time(&self.site.mallory).await;
            match two.redeem(&ticket, Way::Query).await {
                Ok(held) => return self.there.push(held),
                Err(other) => assert_eq!(other, Outcome::Unavailable),
            }
            assert!(began.elapsed() < LIMIT, "tickets are not redeemed");
        }
    }

    /// The second machine sends everybody away, and so her.
    pub(crate) async fn is_sent_away(&mut self) {
        for held in self.there.drain(..) {
            held.ends_unheard().await;
        }
    }

    pub(crate) async fn is_there_still(&mut self) {
        for held in &mut self.there {
            held.echoes().await;
        }
    }

    /// It is said until the store has heard it.
    pub(crate) async fn is_revoked_in_time(&mut self) {
        let began = Instant::now();
        while self.is_revoked().await != Outcome::Done {
            assert!(began.elapsed() < LIMIT, "the store does not hear of it");
        }
    }

    /// The same, and then no socket of hers is open anywhere.
    pub(crate) async fn vanishes(mut self) {
        self.is_revoked_in_time().await;
        self.vanishes_unasked().await;
    }

    /// Her sockets are closed at the second machine, and neither her token nor a ticket opens
    /// another one.
    pub(crate) async fn vanishes_unasked(self) {
        let close = async {
            for held in self.there {
                held.ends_revoked().await;
            }
        };
        timeout(LAG, close).await.expect("within the lag");
        for machine in self.machines {
            let refused = machine.open(&self.site.mallory).await;
            assert_eq!(refused.err(), Some(Outcome::Refused));
            let refused = machine.mint(&self.site.mallory).await;
            assert_eq!(refused, Err(Outcome::Refused));
        }
        for (turn, ticket) in self.tickets.iter().enumerate() {
            let refused = self.machines[turn % 2].redeem(ticket, Way::ALL[turn % 3]);
            let refused = refused.await.err();
            let expected = [Outcome::Refused, Outcome::Unavailable];
            assert!(
                refused.is_some_and(|it| expected.contains(&it)),
                "{refused:?}"
            );
        }
    }

    async fn opens(&self, machine: &Machine<'a>) -> Held<'a> {
        let opened = machine.open(&self.site.mallory).await;
        opened.expect("the machine has not heard of it")
    }
}

/// How long a revocation may take to be heard of, once the store is back: what sessions are told
/// unless they are told otherwise.
const LAG: Duration = Duration::from_secs(30);
