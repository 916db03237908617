//! The machines of a test.

use std::time::Duration;

use http::StatusCode;
use portcullis_e2e::new_secret;

use super::machine::Machine;
use super::record::Record;
use crate::guarded::Guarded;

/// Two machines with one store, and a third machine with short-lived tickets.
pub(crate) struct Setup {
    guarded: [Guarded; 2],
    short_lived: Guarded,
    /// The token of a subject that is revoked during the fault.
    pub(crate) mallory: String,
    /// The token of a subject that is revoked before the fault.
    pub(crate) eve: String,
}

impl Setup {
    /// Starts the machines. `store` is the URL of the store, `urls` are the URLs for the two machines,
    /// and `arguments` are further arguments for these.
    pub(crate) fn start(store: &str, urls: [String; 2], arguments: &[&str]) -> Self {
        let [mallory, eve] = [new_secret(), new_secret()];
        let start = |url: &str, more: &[&str]| start(url, &mallory, &eve, more);
        Self {
            guarded: urls.map(|url| start(&url, arguments)),
            short_lived: start(store, &["--token-lifetime", "2"]),
            mallory,
            eve,
        }
    }

    /// Mints tickets that expire during the fault.
    pub(crate) async fn mint_short_lived_tickets(&self, record: &Record) {
        let machine = Machine {
            index: self.guarded.len(),
            guarded: &self.short_lived,
            record,
        };
        for _ in 0..SHORT_LIVED {
            let ticket = machine.mint(machine.guarded.alice()).await;
            assert!(ticket.is_ok(), "{ticket:?}");
        }
    }

    /// Asserts that a machine that starts after the revocations applies them.
    pub(crate) async fn assert_new_machine_refuses_revoked(&self, store: &str) {
        let new = start(store, &self.mallory, &self.eve, &[]);
        for token in [&self.mallory, &self.eve] {
            // The server starts without the revocations if the store is slow to answer.
            let refused = async {
                let open = async || new.try_open_as("ws/header", token).await.err();
                while open().await != Some(StatusCode::UNAUTHORIZED) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            let refused = tokio::time::timeout(Duration::from_secs(60), refused).await;
            assert!(refused.is_ok(), "a revoked token is admitted");
        }
    }

    pub(crate) fn machines<'a>(&'a self, record: &'a Record) -> [Machine<'a>; 2] {
        [0, 1].map(|index| Machine {
            index,
            guarded: &self.guarded[index],
            record,
        })
    }
}

fn start(url: &str, mallory: &str, eve: &str, more: &[&str]) -> Guarded {
    let [first, second] = [format!("mallory={mallory}"), format!("eve={eve}")];
    let mut arguments = vec!["--redis", url, "--user", &first, "--user", &second];
    arguments.extend(more);
    let guarded = Guarded::start(&arguments);
    guarded.server.keep_secret(mallory);
    guarded.server.keep_secret(eve);
    guarded
}

/// The number of short-lived tickets in each test.
pub(crate) const SHORT_LIVED: usize = 5;
