//! Clients of two machines that share a store. Some of them stay connected, and the others open short
//! connections.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

use futures_util::future;

use super::machine::{Machine, OpenSocket, Way};
use super::record::Outcome;
use crate::guarded::LIMIT;

/// The number of short connections in each round.
const CLIENTS: usize = 20;

/// The number of clients that stay connected with each machine.
const LONG_LIVED: usize = 4;

/// The state of the store during a round, which decides the expected outcomes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Store {
    /// Everything works. A call that exceeds its deadline on a busy machine is repeated.
    Healthy,
    /// Tickets cannot be minted or redeemed.
    Unavailable,
    /// Tickets cannot be minted.
    OutOfMemory,
    /// The state changes during the round, so each outcome of another state is possible.
    Changing,
}

pub(crate) struct Clients<'a> {
    machines: &'a [Machine<'a>; 2],
    /// Tickets that no client has tried to redeem.
    unused: Mutex<VecDeque<String>>,
    /// Each with the index of its machine.
    long_lived: Vec<(usize, OpenSocket<'a>)>,
    turns: usize,
}

impl<'a> Clients<'a> {
    /// Opens the long-lived connections.
    pub(crate) async fn connect(machines: &'a [Machine<'a>; 2]) -> Self {
        let mut long_lived = Vec::new();
        for (at, machine) in machines.iter().enumerate() {
            for _ in 0..LONG_LIVED {
                let socket = machine.open(&machine.guarded.bob).await;
                long_lived.push((at, socket.expect("bob is admitted")));
            }
        }
        Self {
            machines,
            unused: Mutex::default(),
            long_lived,
            turns: 0,
        }
    }

    /// Runs all clients, and asserts that the long-lived connections are open.
    pub(crate) async fn run_round(&mut self, store: Store) {
        self.run(store, async {}).await;
    }

    /// Runs all clients, and calls `fault` in the middle of the round.
    pub(crate) async fn run_round_with_fault(&mut self, fault: impl FnOnce()) {
        let record = self.machines[0].record;
        let fault = async {
            // By then the clients have used their tokens, and are about to use the store.
            record.wait_for_attempts(CLIENTS * 5 / 2).await;
            fault();
        };
        self.run(Store::Changing, fault).await;
    }

    /// Waits until both machines can mint tickets.
    pub(crate) async fn wait_for_store(&self) {
        for machine in self.machines {
            let ticket = machine.mint_in_time(machine.guarded.alice()).await;
            self.keep(ticket);
        }
    }

    /// Asserts that a machine closes its long-lived connections with 1013.
    pub(crate) async fn expect_unavailable_close(&mut self, at: usize) {
        let closed = self
            .long_lived
            .extract_if(.., |(machine, _)| *machine == at);
        for (_, socket) in closed {
            socket.expect_unavailable_close().await;
        }
    }

    /// Opens the long-lived connections with a machine again, as soon as it admits them.
    pub(crate) async fn reconnect(&mut self, at: usize) {
        let machine = &self.machines[at];
        for _ in 0..LONG_LIVED {
            let socket = machine.open_in_time(&machine.guarded.bob).await;
            self.long_lived.push((at, socket));
        }
    }

    /// Redeems each ticket at both machines until the store has responded. A ticket that is `live`
    /// opens at most one socket, and any other ticket opens none.
    pub(crate) async fn redeem_at_both_machines(
        &self,
        tickets: &[String],
        live: impl Fn(&str) -> bool,
    ) {
        for some in tickets.chunks(CLIENTS) {
            let attempts = some.iter().map(|ticket| self.redeem_until_answered(ticket));
            for (opened, ticket) in future::join_all(attempts).await.into_iter().zip(some) {
                assert!(
                    opened == 0 || live(ticket),
                    "a ticket that is not in the store opened a socket"
                );
            }
        }
    }

    /// Returns the number of sockets that the ticket opened.
    async fn redeem_until_answered(&self, ticket: &str) -> usize {
        let began = Instant::now();
        let mut opened = 0;
        loop {
            let outcomes = self.redeem_concurrently(ticket, Way::Query).await;
            opened += outcomes.iter().filter(|it| it.is_none()).count();
            if !outcomes.contains(&Some(Outcome::Unavailable)) {
                return opened;
            }
            assert!(began.elapsed() < LIMIT, "the store does not respond");
        }
    }

    /// Closes the long-lived connections.
    pub(crate) async fn disconnect(self) {
        for (_, socket) in self.long_lived {
            socket.close().await;
        }
    }

    async fn run(&mut self, store: Store, fault: impl Future<Output = ()>) {
        let turns = self.turns..self.turns + CLIENTS;
        self.turns = turns.end;
        let mut long_lived = std::mem::take(&mut self.long_lived);
        let this = &*self;
        let clients = future::join_all(turns.map(|turn| this.run_client(turn, store)));
        let renew = async {
            for (at, socket) in &mut long_lived {
                socket.assert_echoes().await;
                socket.renew(&this.machines[*at].guarded.bob).await;
                socket.assert_echoes().await;
            }
        };
        future::join3(clients, renew, fault).await;
        self.long_lived = long_lived;
    }

    /// Runs one client. Its turn selects the machines and the carrier.
    async fn run_client(&self, turn: usize, store: Store) {
        let [here, there] = [turn % 2, turn / 2 % 2].map(|at| &self.machines[at]);
        let way = Way::ALL[turn % 3];
        // A token does not need the store.
        let socket = here.open(here.guarded.alice()).await;
        use_socket(socket.expect("alice is admitted"), here).await;
        match store {
            Store::Healthy => {
                self.mint_and_redeem_in_time(here, there, way).await;
                for _ in 0..3 {
                    let ticket = here.mint_in_time(here.guarded.alice()).await;
                    self.keep(ticket);
                }
            }
            Store::Unavailable => {
                let minted = here.mint(here.guarded.alice()).await;
                assert_eq!(minted, Err(Outcome::Unavailable));
                let ticket = self.take();
                if turn.is_multiple_of(5) {
                    there.guarded.server.keep_secret(&ticket);
                }
                let opened = there.redeem(&ticket, way).await;
                assert_eq!(opened.err(), Some(Outcome::Unavailable));
            }
            Store::OutOfMemory => {
                let minted = here.mint(here.guarded.alice()).await;
                assert_eq!(minted, Err(Outcome::Full));
                self.redeem_unused_in_time(there, way).await;
            }
            Store::Changing => {
                let fresh = async { here.mint(here.guarded.alice()).await.ok() };
                let ticket = match turn % 5 {
                    ..3 => fresh.await,
                    _ => Some(self.take()),
                };
                if let Some(ticket) = ticket {
                    match there.redeem(&ticket, way).await {
                        Ok(socket) => use_socket(socket, there).await,
                        Err(other) => self.assert_may_fail(other, &ticket),
                    }
                }
            }
        }
        if turn.is_multiple_of(4) {
            self.redeem_unused_concurrently(store, way).await;
        }
    }

    /// Redeems one ticket twice at the same time. While the store responds, it opens one socket.
    async fn redeem_unused_concurrently(&self, store: Store, way: Way) {
        let ticket = self.take();
        let outcomes = self.redeem_concurrently(&ticket, way).await;
        let opened = outcomes.iter().filter(|it| it.is_none()).count();
        let max = usize::from(store != Store::Unavailable);
        assert!(opened <= max, "{outcomes:?}");
        if opened == 0 {
            let is_unavailable = outcomes.contains(&Some(Outcome::Unavailable));
            let record = self.machines[0].record;
            assert!(is_unavailable || record.may_be_gone(&ticket), "{store:?}");
        }
    }

    /// Redeems a ticket at both machines. Returns the reason of each refusal.
    async fn redeem_concurrently(&self, ticket: &str, way: Way) -> [Option<Outcome>; 2] {
        let other = Way::ALL[(way as usize + 1) % 3];
        let [one, two] = self.machines;
        let both = future::join(one.redeem(ticket, way), two.redeem(ticket, other));
        let (first, second) = both.await;
        let mut outcomes = [None, None];
        for (at, opened) in [first, second].into_iter().enumerate() {
            match opened {
                Ok(socket) => use_socket(socket, &self.machines[at]).await,
                Err(outcome) => outcomes[at] = Some(outcome),
            }
        }
        outcomes
    }

    async fn mint_and_redeem_in_time(&self, here: &Machine<'a>, there: &Machine<'a>, way: Way) {
        let began = Instant::now();
        loop {
            let ticket = here.mint_in_time(here.guarded.alice()).await;
            match there.redeem(&ticket, way).await {
                Ok(socket) => return use_socket(socket, there).await,
                Err(other) => self.assert_may_fail(other, &ticket),
            }
            assert!(began.elapsed() < LIMIT, "tickets cannot be redeemed");
        }
    }

    async fn redeem_unused_in_time(&self, there: &Machine<'a>, way: Way) {
        let began = Instant::now();
        loop {
            let ticket = self.take();
            match there.redeem(&ticket, way).await {
                Ok(socket) => return use_socket(socket, there).await,
                Err(other) => self.assert_may_fail(other, &ticket),
            }
            assert!(began.elapsed() < LIMIT, "tickets cannot be redeemed");
        }
    }

    /// Asserts that a valid ticket was refused for an allowed reason.
    fn assert_may_fail(&self, outcome: Outcome, ticket: &str) {
        let record = self.machines[0].record;
        let may_fail = match outcome {
            Outcome::Unavailable => true,
            Outcome::Refused => record.may_be_gone(ticket),
            Outcome::Done | Outcome::Full => false,
        };
        assert!(may_fail, "{outcome:?}");
    }

    fn keep(&self, ticket: String) {
        let mut unused = self.unused.lock().expect("no test panics with the lock");
        unused.push_back(ticket);
    }

    fn take(&self) -> String {
        let mut unused = self.unused.lock().expect("no test panics with the lock");
        let ticket = unused.pop_front();
        ticket.expect("a round with a healthy store keeps enough tickets")
    }
}

/// Echoes, renews, and closes a socket.
async fn use_socket(mut socket: OpenSocket<'_>, machine: &Machine<'_>) {
    socket.assert_echoes().await;
    socket.renew(machine.guarded.alice()).await;
    socket.assert_echoes().await;
    socket.close().await;
}
