use std::collections::HashMap;
use std::collections::hash_map;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portcullis_core::VerifyError;
use tokio::sync::watch;

use super::VerifyResult;
use super::key::{BuildKeyHasher, Key};

/// The running lookups, at most one for each credential and epoch.
#[derive(Debug)]
pub(super) struct Lookups {
    running: Mutex<HashMap<LookupKey, Waiter, BuildKeyHasher>>,
    max: usize,
}

/// A credential and an epoch. A request after an invalidation does not join an earlier lookup.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct LookupKey {
    pub(super) key: Key,
    pub(super) epoch: u64,
}

impl Lookups {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            running: Mutex::default(),
            max,
        })
    }

    /// Joins a running lookup, or registers a new one that the caller starts.
    pub(super) fn join(self: &Arc<Self>, key: LookupKey) -> Joined {
        let mut running = self.lock();
        let is_full = running.len() >= self.max;
        match running.entry(key) {
            hash_map::Entry::Occupied(other) => Joined::Existing(other.get().clone()),
            hash_map::Entry::Vacant(_) if is_full => Joined::Full,
            hash_map::Entry::Vacant(vacant) => {
                let (sender, receiver) = watch::channel(None);
                let waiter = vacant.insert(Waiter(receiver)).clone();
                let lookup = Lookup {
                    key,
                    outcome: None,
                    sender,
                    lookups: Arc::clone(self),
                };
                Joined::New(lookup, waiter)
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Locks the table. No code of the application runs under this lock, so no panic leaves it
    /// inconsistent.
    fn lock(&self) -> MutexGuard<'_, HashMap<LookupKey, Waiter, BuildKeyHasher>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) enum Joined {
    Existing(Waiter),
    Full,
    New(Lookup, Waiter),
}

/// A running lookup. It ends when this value is dropped.
pub(super) struct Lookup {
    key: LookupKey,
    outcome: Option<Outcome>,
    sender: watch::Sender<Option<Outcome>>,
    lookups: Arc<Lookups>,
}

impl Lookup {
    pub(super) fn key(&self) -> LookupKey {
        self.key
    }

    pub(super) fn finish(mut self, result: VerifyResult) {
        self.outcome = Some(Outcome::Finished(result));
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        // Remove it before the result is sent, so that a later request starts a new lookup.
        let removed = self.lookups.lock().remove(&self.key);
        drop(removed);
        let outcome = match self.outcome.take() {
            None if std::thread::panicking() => Some(Outcome::Panicked),
            outcome => outcome,
        };
        self.sender.send_replace(outcome);
    }
}

#[derive(Debug)]
enum Outcome {
    Finished(VerifyResult),
    Panicked,
}

/// Waits for the result of a lookup.
#[derive(Clone, Debug)]
pub(super) struct Waiter(watch::Receiver<Option<Outcome>>);

impl Waiter {
    /// Returns the result of the lookup.
    ///
    /// # Panics
    ///
    /// Panics if the verifier panicked.
    pub(super) async fn wait(mut self) -> VerifyResult {
        let outcome = match self.0.wait_for(Option::is_some).await {
            Ok(outcome) => match &*outcome {
                Some(Outcome::Finished(result)) => Some(result.clone()),
                Some(Outcome::Panicked) => None,
                None => Some(Err(VerifyError::unavailable())),
            },
            // The runtime of the lookup dropped it during its shutdown.
            Err(_) => Some(Err(VerifyError::unavailable())),
        };
        // Not `panic!`, because the panic hook has already reported the panic of the verifier.
        outcome.unwrap_or_else(|| resume_unwind(Box::new("the verifier panicked")))
    }
}
