//! Two machines with one store.

use http::StatusCode;
use portcullis_e2e::new_secret;

use super::ledger::Ledger;
use super::machine::Machine;
use crate::guarded::Guarded;

/// Two machines with one store, and a third one whose tickets end soon.
pub(crate) struct Site {
    guarded: [Guarded; 2],
    hasty: Guarded,
    /// Who is revoked while the store fails.
    pub(crate) mallory: String,
    /// Who was revoked before.
    pub(crate) eve: String,
}

impl Site {
    /// `store` is the way to the store, `urls` are those that the two machines take, and `arguments`
    /// are what else these two are told.
    pub(crate) fn start(store: &str, urls: [String; 2], arguments: &[&str]) -> Self {
        let [mallory, eve] = [new_secret(), new_secret()];
        let start = |url: &str, more: &[&str]| start(url, &mallory, &eve, more);
        Self {
            guarded: urls.map(|url| start(&url, arguments)),
            hasty: start(store, &["--token-lifetime", "2"]),
            mallory,
            eve,
        }
    }

    /// They end while the store fails.
    pub(crate) async fn mint_some_that_end_soon(&self, ledger: &Ledger) {
        let hasty = Machine {
            index: self.guarded.len(),
            guarded: &self.hasty,
            ledger,
        };
        for _ in 0..SHORT_LIVED {
            let ticket = hasty.mint(hasty.guarded.alice()).await;
            assert!(ticket.is_ok(), "{ticket:?}");
        }
    }

    /// One that was not there when somebody was revoked.
    pub(crate) async fn one_that_starts_late_refuses_them(&self, store: &str) {
        let late = start(store, &self.mallory, &self.eve, &[]);
        for token in [&self.mallory, &self.eve] {
            let refused = late.try_open_as("ws/header", token).await;
            assert_eq!(refused.err(), Some(StatusCode::UNAUTHORIZED));
        }
    }

    pub(crate) fn machines<'a>(&'a self, ledger: &'a Ledger) -> [Machine<'a>; 2] {
        [0, 1].map(|index| Machine {
            index,
            guarded: &self.guarded[index],
            ledger,
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

/// How many tickets of each test end soon.
pub(crate) const SHORT_LIVED: usize = 5;
