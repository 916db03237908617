use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::SessionId;
use super::sync::{Mutex, lock};

/// When a session wants attention, in milliseconds since 1970, and which.
pub(super) type Timer = (u64, SessionId);

/// When which session wants attention.
///
/// A session that has ended, or has another deadline by now, leaves a timer in here until its time,
/// or until these are more than the others. Then all sessions are asked, under the lock of this; it
/// is taken under no other one.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    timers: Mutex<BTreeSet<Timer>>,
    /// What the keeper sleeps for.
    sleeps_until: AtomicU64,
    wake: Arc<Notify>,
}

impl Schedule {
    /// Adds a timer. If there are more than `most` of them then, those that are `needed` take the
    /// place of all.
    pub(super) fn add(&self, timer: Timer, most: usize, needed: impl FnOnce() -> BTreeSet<Timer>) {
        let mut timers = lock(&self.timers);
        timers.insert(timer);
        if timers.len() > most {
            // Under the lock: whoever needs another one after this adds it after this, too.
            *timers = needed();
        }
        drop(timers);
        let (time, _) = timer;
        if time < self.sleeps_until.load(Ordering::Acquire) {
            self.wake.notify_one();
        }
    }

    /// Those whose time has come.
    pub(super) fn due(&self, now: u64) -> Vec<SessionId> {
        let mut timers = lock(&self.timers);
        let mut due = Vec::new();
        while let Some((time, id)) = timers.first().copied()
            && time <= now
        {
            timers.pop_first();
            due.push(id);
        }
        due
    }

    /// How long the keeper may sleep from `now`, but not for longer than `longest`; `None` if there
    /// is nothing to wait for.
    pub(super) fn sleep(&self, now: u64, longest: Duration) -> Option<Duration> {
        // Whoever comes from here on wakes the keeper, until it is said what it sleeps for.
        self.sleeps_until.store(u64::MAX, Ordering::Release);
        let (next, _) = lock(&self.timers).first().copied()?;
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
