use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::SessionId;
use super::registry::Registry;
use super::sync::{Mutex, lock};

/// When which session wants attention, in milliseconds since 1970.
///
/// A session that ended stays in here until its time, or until the ended ones are more than the
/// others: then who is left is gone through once.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    timers: Mutex<BinaryHeap<Reverse<(u64, SessionId)>>>,
    /// What the keeper sleeps for.
    sleeps_until: AtomicU64,
    wake: Arc<Notify>,
}

impl Schedule {
    pub(super) fn add<C>(&self, time: u64, id: SessionId, registry: &Registry<C>) {
        let mut timers = lock(&self.timers);
        if timers.len() > 2 * registry.len() + SLACK {
            // Under the lock, since who is registered later brings a timer that would be lost.
            let all = registry.all();
            let live: HashSet<_> = all.iter().map(|entry| entry.id).collect();
            timers.retain(|Reverse((_, id))| live.contains(id));
            let room = 2 * timers.len();
            timers.shrink_to(room);
        }
        timers.push(Reverse((time, id)));
        drop(timers);
        if time < self.sleeps_until.load(Ordering::Acquire) {
            self.wake.notify_one();
        }
    }

    /// Those whose time has come.
    pub(super) fn due(&self, now: u64) -> Vec<SessionId> {
        let mut timers = lock(&self.timers);
        let mut due = Vec::new();
        while let Some(Reverse((time, id))) = timers.peek().copied()
            && time <= now
        {
            timers.pop();
            due.push(id);
        }
        due
    }

    /// How long the keeper may sleep from `now`, but not for longer than `longest`; `None` if there
    /// is nothing to wait for.
    pub(super) fn sleep(&self, now: u64, longest: Duration) -> Option<Duration> {
        // Whoever comes from here on wakes the keeper, until it is said what it sleeps for.
        self.sleeps_until.store(u64::MAX, Ordering::Release);
        let Reverse((next, _)) = lock(&self.timers).peek().copied()?;
        let sleep = Duration::from_millis(next.saturating_sub(now)).min(longest);
        let until = now.saturating_add(sleep.as_millis() as u64);
        self.sleeps_until.store(until, Ordering::Release);
        Some(sleep)
    }

    /// Is told when there is something earlier than what the keeper sleeps for.
    pub(super) fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }
}

/// How many timers of ended sessions are kept before they are looked for.
const SLACK: usize = 1024;
