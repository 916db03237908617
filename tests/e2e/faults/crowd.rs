//! Clients of two machines that share a store: some stay, the others come, talk and go.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

use futures_util::future;

use super::ledger::Outcome;
use super::machine::{Held, Machine, Way};
use crate::guarded::LIMIT;

/// How many come in each round.
const CLIENTS: usize = 20;

/// How many stay at each machine.
const STAYING: usize = 4;

/// How the store is while a round goes on, and so what is promised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Store {
    /// Everything works. A call that takes longer than its deadline, as it may on a busy machine,
    /// is made again.
    Well,
    /// There are no tickets, and no other answer than that.
    Away,
    /// There are no new tickets.
    Full,
    /// It is one of the others, and becomes another one.
    Turning,
}

pub(crate) struct Crowd<'a> {
    machines: &'a [Machine<'a>; 2],
    /// Minted, and not tried.
    stock: Mutex<VecDeque<String>>,
    staying: Vec<(usize, Held<'a>)>,
    turns: usize,
}

impl<'a> Crowd<'a> {
    pub(crate) async fn gather(machines: &'a [Machine<'a>; 2]) -> Self {
        let mut staying = Vec::new();
        for (at, machine) in machines.iter().enumerate() {
            for _ in 0..STAYING {
                let held = machine.open(&machine.guarded.bob).await;
                staying.push((at, held.expect("bob is known")));
            }
        }
        Self {
            machines,
            stock: Mutex::default(),
            staying,
            turns: 0,
        }
    }

    /// Each client does all that there is to do, and those who stay are found alive.
    pub(crate) async fn round(&mut self, store: Store) {
        self.play(store, async {}).await;
    }

    /// The same while something happens to the store, in the midst of it.
    pub(crate) async fn round_while(&mut self, fault: impl FnOnce()) {
        let ledger = self.machines[0].ledger;
        let fault = async {
            // By then they have their tokens' sockets behind them, and are about to need the store.
            ledger.goes_on(CLIENTS * 5 / 2).await;
            fault();
        };
        self.play(Store::Turning, fault).await;
    }

    /// Waits until both machines have their store again.
    pub(crate) async fn has_its_store(&self) {
        for machine in self.machines {
            let ticket = machine.mint_in_time(machine.guarded.alice()).await;
            self.put_aside(ticket);
        }
    }

    /// Those who stay at one machine are told to come again later.
    pub(crate) async fn is_sent_away(&mut self, at: usize) {
        let sent = self.staying.extract_if(.., |(there, _)| *there == at);
        for (_, held) in sent {
            held.ends_unheard().await;
        }
    }

    /// They come again, as soon as they are let in.
    pub(crate) async fn comes_back(&mut self, at: usize) {
        let machine = &self.machines[at];
        for _ in 0..STAYING {
            let held = machine.open_in_time(&machine.guarded.bob).await;
            self.staying.push((at, held));
        }
    }

    /// Two want each of the tickets, one at each machine, until they are told. What is `live` is
    /// good for one of them, and all else for nobody.
    pub(crate) async fn try_at_both(&self, tickets: &[String], live: impl Fn(&str) -> bool) {
        for some in tickets.chunks(CLIENTS) {
            let tries = some.iter().map(|ticket| self.try_until_told(ticket));
            for (winners, ticket) in future::join_all(tries).await.into_iter().zip(some) {
                assert!(
                    winners == 0 || live(ticket),
                    "a ticket that was gone is good"
                );
            }
        }
    }

    async fn try_until_told(&self, ticket: &str) -> usize {
        let began = Instant::now();
        let mut winners = 0;
        loop {
            let outcomes = self.contend_for(ticket, Way::Query).await;
            winners += outcomes.iter().filter(|it| it.is_none()).count();
            if !outcomes.contains(&Some(Outcome::Unavailable)) {
                return winners;
            }
            assert!(began.elapsed() < LIMIT, "nobody is told");
        }
    }

    /// Those who stay go.
    pub(crate) async fn leave(self) {
        for (_, held) in self.staying {
            held.leave().await;
        }
    }

    async fn play(&mut self, store: Store, fault: impl Future<Output = ()>) {
        let turns = self.turns..self.turns + CLIENTS;
        self.turns = turns.end;
        let mut staying = std::mem::take(&mut self.staying);
        let this = &*self;
        let clients = future::join_all(turns.map(|turn| this.client(turn, store)));
        let stay = async {
            for (at, held) in &mut staying {
                held.echoes().await;
                held.renew(&this.machines[*at].guarded.bob).await;
                held.echoes().await;
            }
        };
        future::join3(clients, stay, fault).await;
        self.staying = staying;
    }

    /// What a client does depends on its turn: which machines, and which way in.
    async fn client(&self, turn: usize, store: Store) {
        let [here, there] = [turn % 2, turn / 2 % 2].map(|at| &self.machines[at]);
        let way = Way::ALL[turn % 3];
        // A token is not the store's business.
        let held = here.open(here.guarded.alice()).await;
        let_talk(held.expect("alice is known"), here).await;
        match store {
            Store::Well => {
                self.by_ticket_in_time(here, there, way).await;
                for _ in 0..3 {
                    let ticket = here.mint_in_time(here.guarded.alice()).await;
                    self.put_aside(ticket);
                }
            }
            Store::Away => {
                let minted = here.mint(here.guarded.alice()).await;
                assert_eq!(minted, Err(Outcome::Unavailable));
                let ticket = self.take();
                if turn.is_multiple_of(5) {
                    there.guarded.server.keep_secret(&ticket);
                }
                let opened = there.redeem(&ticket, way).await;
                assert_eq!(opened.err(), Some(Outcome::Unavailable));
            }
            Store::Full => {
                let minted = here.mint(here.guarded.alice()).await;
                assert_eq!(minted, Err(Outcome::Full));
                self.by_stock_in_time(there, way).await;
            }
            Store::Turning => {
                let fresh = async { here.mint(here.guarded.alice()).await.ok() };
                let ticket = match turn % 5 {
                    ..3 => fresh.await,
                    _ => Some(self.take()),
                };
                if let Some(ticket) = ticket {
                    match there.redeem(&ticket, way).await {
                        Ok(held) => let_talk(held, there).await,
                        Err(other) => self.assert_excused(other, &ticket),
                    }
                }
            }
        }
        if turn.is_multiple_of(4) {
            self.contend(store, way).await;
        }
    }

    /// Two want one ticket. While the store answers, one of them gets in.
    async fn contend(&self, store: Store, way: Way) {
        let ticket = self.take();
        let outcomes = self.contend_for(&ticket, way).await;
        let winners = outcomes.iter().filter(|it| it.is_none()).count();
        assert!(winners <= usize::from(store != Store::Away), "{outcomes:?}");
        if winners == 0 {
            let nobody_can_tell = outcomes.contains(&Some(Outcome::Unavailable));
            let ledger = self.machines[0].ledger;
            assert!(nobody_can_tell || ledger.may_be_gone(&ticket), "{store:?}");
        }
    }

    async fn contend_for(&self, ticket: &str, way: Way) -> [Option<Outcome>; 2] {
        let other = Way::ALL[(way as usize + 1) % 3];
        let [one, two] = self.machines;
        let both = future::join(one.redeem(ticket, way), two.redeem(ticket, other));
        let (first, second) = both.await;
        let mut outcomes = [None, None];
        for (at, opened) in [first, second].into_iter().enumerate() {
            match opened {
                Ok(held) => let_talk(held, &self.machines[at]).await,
                Err(outcome) => outcomes[at] = Some(outcome),
            }
        }
        outcomes
    }

    async fn by_ticket_in_time(&self, here: &Machine<'a>, there: &Machine<'a>, way: Way) {
        let began = Instant::now();
        loop {
            let ticket = here.mint_in_time(here.guarded.alice()).await;
            match there.redeem(&ticket, way).await {
                Ok(held) => return let_talk(held, there).await,
                Err(other) => self.assert_excused(other, &ticket),
            }
            assert!(began.elapsed() < LIMIT, "there are no tickets");
        }
    }

    async fn by_stock_in_time(&self, there: &Machine<'a>, way: Way) {
        let began = Instant::now();
        loop {
            let ticket = self.take();
            match there.redeem(&ticket, way).await {
                Ok(held) => return let_talk(held, there).await,
                Err(other) => self.assert_excused(other, &ticket),
            }
            assert!(began.elapsed() < LIMIT, "tickets are not redeemed");
        }
    }

    /// A good ticket opens a socket, unless nobody can tell.
    fn assert_excused(&self, outcome: Outcome, ticket: &str) {
        let ledger = self.machines[0].ledger;
        let is_excused = match outcome {
            Outcome::Unavailable => true,
            Outcome::Refused => ledger.may_be_gone(ticket),
            Outcome::Done | Outcome::Full => false,
        };
        assert!(is_excused, "{outcome:?}");
    }

    fn put_aside(&self, ticket: String) {
        self.stock
            .lock()
            .expect("nobody panics with the lock")
            .push_back(ticket);
    }

    fn take(&self) -> String {
        let ticket = self
            .stock
            .lock()
            .expect("nobody panics with the lock")
            .pop_front();
        ticket.expect("a round of a store that is well puts enough aside")
    }
}

/// What every socket is for.
async fn let_talk(mut held: Held<'_>, machine: &Machine<'_>) {
    held.echoes().await;
    held.renew(machine.guarded.alice()).await;
    held.echoes().await;
    held.leave().await;
}
