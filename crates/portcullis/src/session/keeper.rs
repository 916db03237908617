//! The tasks behind the sessions, of which the first keeps their deadlines.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::entry::Entry;
use super::lifetime::in_milliseconds;
use super::shared::Shared;
use super::sync::lock;
use super::{SessionEvent, pings, recheck};
use crate::close::CloseCause;

impl Shared {
    /// Starts the tasks, unless they run. Outside of a runtime there are none yet; the first
    /// admission is inside of one.
    pub(super) fn keep(self: &Arc<Self>) {
        if self.is_kept.load(Ordering::Acquire) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if self.is_kept.swap(true, Ordering::AcqRel) {
            return;
        }
        *lock(&self.runtime) = Some(runtime.clone());
        let shared = Arc::downgrade(self);
        let mut others = JoinSet::new();
        if let Some(every) = self.settings.ping {
            others.spawn_on(pings::ping(shared.clone(), every), &runtime);
        }
        if let Some(store) = &self.store {
            others.spawn_on(store.follow(shared.clone()), &runtime);
        }
        runtime.spawn(keep(Kept { shared, others }));
    }

    /// How long the keeper may sleep.
    fn sleep(&self) -> Duration {
        let next = self.schedule.sleep(self.now_in_milliseconds(), PIECE);
        next.unwrap_or(match self.store {
            Some(_) => PIECE,
            None => IDLE,
        })
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
            self.schedule(&entry);
        }
        self.end_with(expired, &CloseCause::Expired, |entry| entry.expire(now));
        if !rechecks.is_empty() {
            tokio::spawn(recheck::recheck(Arc::clone(self), rechecks));
        }
        self.registry.revocations.purge(self.now());
        self.judge_lag();
    }
}

impl Shared {
    /// The runtime of the keeper, for who is in none. If there is no keeper, that of the caller.
    pub(super) fn runtime(&self) -> Option<Handle> {
        let runtime = lock(&self.runtime).clone();
        runtime.or_else(|| Handle::try_current().ok())
    }

    /// Sees to it that the keeper attends to a session when something is to be done for it.
    pub(super) fn schedule(&self, entry: &Entry) {
        let warning = self.settings.warning_in_milliseconds();
        let timer = |entry: &Arc<Entry>| Some((entry.next_wake(warning)?, entry.id));
        let Some(time) = entry.next_wake(warning) else {
            return;
        };
        let most = 2 * self.registry.len() + SLACK;
        // They outlive the lock: the last reference to one may be here, and its drop is not ours.
        let mut all = Vec::new();
        self.schedule.add((time, entry.id), most, || {
            all = self.registry.all();
            all.iter().filter_map(timer).collect()
        });
    }
}

/// Keeps the deadlines of all sessions, until the last handle is gone.
///
/// Deadlines are times of the wall clock, which may jump, and the machine may sleep; so it never
/// sleeps for longer than a second while there is something to wait for.
async fn keep(kept: Kept) {
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

/// A task holds on to no session: when all handles are gone, it ends, and the others with it.
struct Kept {
    shared: Weak<Shared>,
    #[expect(dead_code, reason = "they end when it is dropped")]
    others: JoinSet<()>,
}

/// The runtime of the task may end before the sessions do. The next admission starts another one.
impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            let runtime = lock(&shared.runtime).take();
            shared.is_kept.store(false, Ordering::Release);
            drop(runtime);
        }
    }
}

/// How many timers that nobody needs are kept before they are looked for.
const SLACK: usize = 1024;

/// The longest sleep while a deadline is ahead.
const PIECE: Duration = Duration::from_secs(1);

/// The longest sleep while there is none.
const IDLE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize};
    use std::time::SystemTime;

    use portcullis_core::{Clock, Identity};

    use super::super::evict::Idle;
    use super::super::{MemoryRevocations, Sessions, context};
    use super::*;

    /// It is always 1970. Panics when it is told to.
    #[derive(Debug, Default)]
    struct Brittle {
        breaks: AtomicBool,
        asked: AtomicUsize,
    }

    impl Clock for Brittle {
        fn now(&self) -> SystemTime {
            self.asked.fetch_add(1, Ordering::SeqCst);
            assert!(!self.breaks.swap(false, Ordering::SeqCst), "on purpose");
            SystemTime::UNIX_EPOCH
        }
    }

    async fn tasks() -> usize {
        tokio::time::sleep(2 * PIECE).await;
        let runtime = tokio::runtime::Handle::current();
        runtime.metrics().num_alive_tasks()
    }

    /// Nobody follows the store of sessions that nobody has, and a task that is started again is
    /// not there twice.
    #[tokio::test(start_paused = true)]
    async fn tasks_begin_and_end_together() {
        let clock = Arc::new(Brittle::default());
        let builder = Sessions::builder().clock(Arc::clone(&clock));
        let store = MemoryRevocations::new();
        let sessions = builder.revocations(store).ping_every(IDLE).build();
        assert_eq!(tasks().await, 3);

        clock.breaks.store(true, Ordering::SeqCst);
        assert_eq!(tasks().await, 0, "the first of them panicked");
        sessions.shared.keep();
        assert_eq!(tasks().await, 3);
        drop(sessions);
        assert_eq!(tasks().await, 0);
    }

    /// A session whose socket has not come cannot be warned, and is not looked at for that. It is
    /// warned when the socket comes.
    #[tokio::test(start_paused = true)]
    async fn a_warning_waits_for_its_socket() {
        let clock = Arc::new(Brittle::default());
        let builder = Sessions::builder().clock(Arc::clone(&clock));
        let sessions = builder.warn_before(2 * IDLE).build();
        let end = SystemTime::UNIX_EPOCH + IDLE;
        let alice = Identity::builder("alice").expires_at(end).build();
        let context = context::of(&sessions);
        let session = sessions.admit(&context, alice, None, None).unwrap();
        tokio::time::sleep(10 * PIECE).await;
        let asked = clock.asked.load(Ordering::SeqCst);
        assert!(asked < 100, "{asked}");

        let entry = sessions.shared.registry.find(session.id()).unwrap();
        entry.open(Arc::new(Idle)).unwrap();
        sessions.shared.opened(&entry);
        tokio::task::yield_now().await;
        assert!(!entry.warn(), "it was warned");
    }

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
        let context = context::of(&sessions);
        let entry = shared.admit(&context, alice(0), None, None).unwrap();
        for later in 1..10_000 {
            shared.adopt(&entry, alice(later), None).unwrap();
        }
        let timers = shared.schedule.due(u64::MAX);
        assert!(timers.len() <= 2 + SLACK, "{}", timers.len());
        assert_eq!(timers.last(), Some(&entry.id), "its own is among them");
    }
}
