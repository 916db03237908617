use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::SessionId;
use super::entry::Entry;
use super::shared::Shared;
use super::sync::{Mutex, lock};

/// When which session wants attention, in milliseconds since 1970.
///
/// A session that has ended, or has another deadline by now, leaves a timer in here until its time,
/// or until these are more than the others. Then all sessions are asked, under the lock of this; it
/// is taken under no other one.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    timers: Mutex<BTreeSet<(u64, SessionId)>>,
    /// What the keeper sleeps for.
    sleeps_until: AtomicU64,
    wake: Arc<Notify>,
}

impl<C> Shared<C> {
    /// Sees to it that the keeper attends to a session when something is to be done for it.
    pub(super) fn schedule(&self, entry: &Entry<C>) {
        let warning = self.settings.warning_in_milliseconds();
        let timer = |entry: &Entry<C>| Some((entry.next_wake(warning)?, entry.id));
        let Some(next) = timer(entry) else { return };
        let all;
        let mut timers = lock(&self.schedule.timers);
        timers.insert(next);
        if timers.len() > 2 * self.registry.len() + SLACK {
            // Under the lock: whoever has a new deadline after this brings a timer of its own.
            all = self.registry.all();
            *timers = all.iter().filter_map(|entry| timer(entry)).collect();
        }
        drop(timers);
        let (time, _) = next;
        if time < self.schedule.sleeps_until.load(Ordering::Acquire) {
            self.schedule.wake.notify_one();
        }
    }
}

impl Schedule {
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

/// How many timers that nobody needs are kept before they are looked for.
const SLACK: usize = 1024;

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use portcullis_core::Identity;

    use super::super::{Sessions, policy};
    use super::*;

    /// However often a session is renewed, it leaves few timers behind, and has one.
    #[tokio::test]
    async fn a_renewal_moves_a_timer() {
        let sessions = Sessions::default();
        let shared = &sessions.shared;
        let in_an_hour = SystemTime::now() + Duration::from_secs(3_600);
        let alice = |later| {
            let end = in_an_hour + Duration::from_secs(later);
            Identity::builder("alice").expires_at(end).build()
        };
        let policy = policy::of(&sessions);
        let entry = shared.admit(&policy, alice(0), None, None).unwrap();
        for later in 1..10_000 {
            shared.adopt(&entry, alice(later), None).unwrap();
            assert!(lock(&shared.schedule.timers).len() <= 2 + SLACK);
        }
        let last = shared.schedule.due(u64::MAX).pop();
        assert_eq!(last, Some(entry.id), "its own is among them");
    }
}
