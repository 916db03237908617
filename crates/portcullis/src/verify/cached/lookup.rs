use std::collections::HashMap;
use std::collections::hash_map;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portcullis_core::VerifyError;
use tokio::sync::watch;

use super::Answer;
use super::key::{BuildKeyHasher, Key};

/// The lookups under way, at most one for each credential and epoch.
#[derive(Debug)]
pub(super) struct Lookups {
    under_way: Mutex<HashMap<Question, Waiter, BuildKeyHasher>>,
    max: usize,
}

/// About which credential, and in which epoch: who asks after an invalidation does not wait for an
/// answer from before it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Question {
    pub(super) key: Key,
    pub(super) epoch: u64,
}

impl Lookups {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            under_way: Mutex::default(),
            max,
        })
    }

    /// Waits for a lookup that is under way, or has a new one to be started by the caller.
    pub(super) fn join(self: &Arc<Self>, question: Question) -> Joined {
        let mut under_way = self.lock();
        let is_full = under_way.len() >= self.max;
        match under_way.entry(question) {
            hash_map::Entry::Occupied(other) => Joined::Follows(other.get().clone()),
            hash_map::Entry::Vacant(_) if is_full => Joined::Full,
            hash_map::Entry::Vacant(vacant) => {
                let (sender, receiver) = watch::channel(None);
                let waiter = vacant.insert(Waiter(receiver)).clone();
                let lookup = Lookup {
                    question,
                    outcome: None,
                    sender,
                    lookups: Arc::clone(self),
                };
                Joined::Leads(lookup, waiter)
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// No code of a user runs under this lock, so nothing panics there and leaves half a change.
    fn lock(&self) -> MutexGuard<'_, HashMap<Question, Waiter, BuildKeyHasher>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) enum Joined {
    Follows(Waiter),
    Full,
    Leads(Lookup, Waiter),
}

/// One lookup. It ends when this is dropped, in whatever way that happens.
pub(super) struct Lookup {
    question: Question,
    outcome: Option<Outcome>,
    sender: watch::Sender<Option<Outcome>>,
    lookups: Arc<Lookups>,
}

impl Lookup {
    pub(super) fn question(&self) -> Question {
        self.question
    }

    pub(super) fn answer(mut self, answer: Answer) {
        self.outcome = Some(Outcome::Answered(answer));
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        // First it leaves, then it tells: who asks after hearing the answer asks anew.
        let left = self.lookups.lock().remove(&self.question);
        drop(left);
        let outcome = match self.outcome.take() {
            None if std::thread::panicking() => Some(Outcome::Panicked),
            outcome => outcome,
        };
        self.sender.send_replace(outcome);
    }
}

#[derive(Debug)]
enum Outcome {
    Answered(Answer),
    Panicked,
}

/// Somebody who waits for a lookup.
#[derive(Debug)]
pub(super) struct Waiter(watch::Receiver<Option<Outcome>>);

impl Waiter {
    /// The answer.
    ///
    /// # Panics
    ///
    /// If the verifier did: to everybody who waited it is as if they had asked it themselves.
    pub(super) async fn wait(mut self) -> Answer {
        let outcome = match self.0.wait_for(Option::is_some).await {
            Ok(outcome) => match &*outcome {
                Some(Outcome::Answered(answer)) => Some(answer.clone()),
                Some(Outcome::Panicked) => None,
                None => Some(Err(VerifyError::unavailable())),
            },
            // It was dropped by its runtime, which is shutting down.
            Err(_) => Some(Err(VerifyError::unavailable())),
        };
        // Not `panic!`: the one panic that happened has been reported already.
        outcome.unwrap_or_else(|| resume_unwind(Box::new("the verifier panicked")))
    }
}

// Written out, since a derive would ask for `C: Clone`.
impl Clone for Waiter {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
