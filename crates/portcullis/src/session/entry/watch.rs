use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};

use portcullis_core::Identity;

use super::Entry;
use crate::close::CloseCause;
use crate::session::sync::lock;

/// What somebody who watches a session has seen of it.
#[derive(Debug)]
pub(crate) struct Seen {
    watcher: u64,
    renewals: u32,
    warned: bool,
    ended: bool,
}

/// What somebody who watches a session has not seen yet.
#[derive(Debug)]
pub(crate) enum Changed {
    Renewed(Identity),

    /// The deadline is near, in milliseconds since 1970.
    Expiring(u64),

    Ended(CloseCause),
}

impl Entry {
    /// For who begins to watch: everything up to now, but for what still holds.
    pub(crate) fn seen(&self) -> Seen {
        Seen {
            watcher: WATCHERS.fetch_add(1, Ordering::Relaxed),
            renewals: lock(&self.life).renewals,
            warned: false,
            ended: false,
        }
    }

    /// The first change that was not seen, and sees it; `None` after the end. Wakes `waker` if there
    /// is one later.
    pub(crate) fn poll_change(&self, seen: &mut Seen, waker: &Waker) -> Poll<Option<Changed>> {
        let mut life = lock(&self.life);
        if life.renewals != seen.renewals {
            seen.renewals = life.renewals;
            seen.warned = false;
            return Poll::Ready(Some(Changed::Renewed(life.identity.clone())));
        }
        if let Some(cause) = life.state.cause() {
            let first = !mem::replace(&mut seen.ended, true);
            return Poll::Ready(first.then(|| Changed::Ended(cause.clone())));
        }
        if life.warned && !mem::replace(&mut seen.warned, true) {
            return Poll::Ready(Some(Changed::Expiring(life.deadline)));
        }
        let before = life.watchers.put(seen.watcher, waker);
        drop(life);
        drop(before);
        Poll::Pending
    }

    /// Whoever has seen this does not watch any more.
    pub(crate) fn unwatch(&self, seen: &Seen) {
        let mut life = lock(&self.life);
        let waker = life.watchers.remove(seen.watcher);
        drop(life);
        drop(waker);
    }
}

/// Those who wait for a change, each under a number of its own.
#[derive(Default)]
pub(super) struct Watchers(Vec<(u64, Waker)>);

impl Watchers {
    /// All of them wait no longer.
    pub(super) fn wake(self) {
        self.0.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Notes whom to wake, and gives back whom it was before. That is nearly always the same.
    fn put(&mut self, number: u64, waker: &Waker) -> Option<Waker> {
        let known = self.0.iter_mut().find(|(known, _)| *known == number);
        match known {
            Some((_, known)) if known.will_wake(waker) => None,
            Some((_, known)) => Some(mem::replace(known, waker.clone())),
            None => {
                self.0.push((number, waker.clone()));
                None
            }
        }
    }

    fn remove(&mut self, number: u64) -> Option<Waker> {
        let place = self.0.iter().position(|(known, _)| *known == number)?;
        Some(self.0.swap_remove(place).1)
    }
}

/// The numbers of all who watch.
static WATCHERS: AtomicU64 = AtomicU64::new(0);
