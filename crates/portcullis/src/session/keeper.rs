//! The tasks behind the sessions, of which the first keeps their deadlines.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::lifetime::in_milliseconds;
use super::shared::Shared;
use super::{CloseCause, SessionEvent, pings, recheck};

impl<C: Send + Sync + 'static> Shared<C> {
    /// Starts the tasks, unless they run. Outside of a runtime there are none yet; the first
    /// admission is inside of one.
    pub(super) fn keep(self: &Arc<Self>) {
        if self.is_kept.load(Ordering::Acquire) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if self.is_kept.swap(true, Ordering::AcqRel) {
            return;
        }
        let kept = Kept {
            shared: Arc::downgrade(self),
        };
        runtime.spawn(keep(kept));
        if let Some(every) = self.settings.ping {
            runtime.spawn(pings::ping(Arc::downgrade(self), every));
        }
        if let Some(store) = &self.store {
            runtime.spawn(store.follow(Arc::downgrade(self)));
        }
    }

    /// Does what has come due.
    fn attend(self: &Arc<Self>) {
        let settings = &self.settings;
        let now = self.now_in_milliseconds();
        let warning = settings.warning_in_milliseconds();
        let mut expired = Vec::new();
        let mut rechecks = Vec::new();
        let due = self.schedule.due(now);
        for entry in due.into_iter().filter_map(|id| self.registry.find(id)) {
            let deadline = entry.deadline();
            if deadline <= now {
                expired.push(entry);
                continue;
            }
            if warning > 0 && deadline.saturating_sub(warning) <= now && entry.warn() {
                self.tell(|| SessionEvent::Expiring(entry.info()));
            }
            if let Some(credential) = settings
                .recheck
                .and_then(|every| entry.recheck_due(now, now + in_milliseconds(every)))
            {
                rechecks.push((Arc::clone(&entry), credential));
            }
            if let Some(wake) = entry.next_wake(warning) {
                // A warning that could not be given is not tried again and again.
                self.schedule
                    .add(wake.max(now + 1), entry.id, &self.registry);
            }
        }
        self.end_with(expired, &CloseCause::Expired, |entry| entry.expire(now));
        if !rechecks.is_empty() {
            tokio::spawn(recheck::recheck(Arc::clone(self), rechecks));
        }
        self.registry.revocations.purge(self.now());
        self.judge_lag();
    }

    /// How long the keeper may sleep.
    fn sleep(&self) -> Duration {
        let next = self.schedule.sleep(self.now_in_milliseconds(), PIECE);
        next.unwrap_or(match self.store {
            Some(_) => PIECE,
            None => IDLE,
        })
    }
}

/// Keeps the deadlines of all sessions, until the last handle is gone.
///
/// Deadlines are times of the wall clock, which may jump, and the machine may sleep; so it never
/// sleeps for longer than a second while there is something to wait for.
async fn keep<C: Send + Sync + 'static>(kept: Kept<C>) {
    while let Some(shared) = kept.shared.upgrade() {
        shared.attend();
        let (sleep, wake) = (shared.sleep(), shared.schedule.wake());
        // Whoever sleeps holds nothing, so that the last handle takes the sessions with it.
        drop(shared);
        tokio::select! {
            () = wake.notified() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// A task holds on to no session: when all handles are gone, it ends.
struct Kept<C> {
    shared: Weak<Shared<C>>,
}

/// The runtime of the task may end before the sessions do. The next admission starts another one.
impl<C> Drop for Kept<C> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.is_kept.store(false, Ordering::Release);
        }
    }
}

/// The longest sleep while a deadline is ahead.
const PIECE: Duration = Duration::from_secs(1);

/// The longest sleep while there is none.
const IDLE: Duration = Duration::from_secs(60);
