//! A subject that is revoked while the store fails.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::machine::{Machine, OpenSocket, Way};
use super::record::Outcome;
use super::setup::Setup;
use crate::guarded::LIMIT;

/// The sockets and tickets of the subject `mallory`, which is revoked at the first machine.
pub(crate) struct Mallory<'a> {
    setup: &'a Setup,
    machines: &'a [Machine<'a>; 2],
    at_first: Vec<OpenSocket<'a>>,
    at_second: Vec<OpenSocket<'a>>,
    tickets: Vec<String>,
}

impl<'a> Mallory<'a> {
    /// Opens sockets and mints tickets at both machines. Before, the subject `eve` is revoked.
    pub(crate) async fn connect(setup: &'a Setup, machines: &'a [Machine<'a>; 2]) -> Self {
        let [one, two] = machines;
        let eve = two.open(&setup.eve).await.expect("eve is admitted");
        let began = Instant::now();
        while one.revoke("eve").await.1 != Outcome::Done {
            assert!(began.elapsed() < LIMIT, "the revocation is not stored");
        }
        eve.expect_revoked_close().await;
        let mut mallory = Self {
            setup,
            machines,
            at_first: Vec::new(),
            at_second: Vec::new(),
            tickets: Vec::new(),
        };
        for _ in 0..2 {
            mallory.at_first.push(mallory.open(one).await);
            mallory.at_second.push(mallory.open(two).await);
            for machine in machines {
                mallory
                    .tickets
                    .push(machine.mint_in_time(&setup.mallory).await);
            }
        }
        mallory
    }

    /// Revokes the subject without the store: the first machine applies the revocation, and reports
    /// that it is not shared. Both machines still apply the revocation of `eve`.
    pub(crate) async fn revoke_at_first_machine_only(&mut self) {
        assert_eq!(self.revoke().await, Outcome::Unavailable);
        self.assert_connected_at_second_machine().await;
        for machine in self.machines {
            let eve = machine.open(&self.setup.eve).await;
            assert_eq!(eve.err(), Some(Outcome::Refused));
        }
    }

    /// Revokes the subject at the first machine, which closes its sockets there. Returns whether the
    /// store acknowledged the revocation.
    async fn revoke(&mut self) -> Outcome {
        let [one, _] = self.machines;
        let (closed, outcome) = one.revoke("mallory").await;
        for ticket in &self.tickets {
            one.record.revoked(ticket);
        }
        assert_eq!(closed, self.at_first.len() as u64);
        for socket in self.at_first.drain(..) {
            socket.expect_revoked_close().await;
        }
        let refused = one.open(&self.setup.mallory).await;
        assert_eq!(refused.err(), Some(Outcome::Refused));
        outcome
    }

    /// Opens sockets at the second machine, which has not received the revocation: with the token, and
    /// with a new ticket.
    pub(crate) async fn open_more_at_second_machine(&mut self) {
        let [_, two] = self.machines;
        self.at_second.push(self.open(two).await);
        let began = Instant::now();
        loop {
            let ticket = two.mint_in_time(&self.setup.mallory).await;
            match two.redeem(&ticket, Way::Query).await {
                Ok(socket) => return self.at_second.push(socket),
                Err(other) => assert_eq!(other, Outcome::Unavailable),
            }
            assert!(began.elapsed() < LIMIT, "tickets cannot be redeemed");
        }
    }

    /// Asserts that the second machine closes the sockets with 1013.
    pub(crate) async fn expect_unavailable_close(&mut self) {
        for socket in self.at_second.drain(..) {
            socket.expect_unavailable_close().await;
        }
    }

    pub(crate) async fn assert_connected_at_second_machine(&mut self) {
        for socket in &mut self.at_second {
            socket.assert_echoes().await;
        }
    }

    /// Revokes the subject until the store has acknowledged the revocation.
    pub(crate) async fn revoke_until_stored(&mut self) {
        let began = Instant::now();
        while self.revoke().await != Outcome::Done {
            assert!(began.elapsed() < LIMIT, "the revocation is not stored");
        }
    }

    /// Revokes the subject, and asserts that it has no open socket at any machine.
    pub(crate) async fn revoke_and_assert_disconnected(mut self) {
        self.revoke_until_stored().await;
        self.assert_disconnected().await;
    }

    /// Asserts that the second machine closes the sockets, and that neither the token nor a ticket
    /// opens another one.
    pub(crate) async fn assert_disconnected(self) {
        let close = async {
            for socket in self.at_second {
                socket.expect_revoked_close().await;
            }
        };
        timeout(LAG, close).await.expect("within the lag");
        for machine in self.machines {
            let refused = machine.open(&self.setup.mallory).await;
            assert_eq!(refused.err(), Some(Outcome::Refused));
            let refused = machine.mint(&self.setup.mallory).await;
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

    async fn open(&self, machine: &Machine<'a>) -> OpenSocket<'a> {
        let opened = machine.open(&self.setup.mallory).await;
        opened.expect("the machine has not received the revocation")
    }
}

/// The time limit for a revocation to arrive after the store has recovered: the default of the
/// library.
const LAG: Duration = Duration::from_secs(30);
