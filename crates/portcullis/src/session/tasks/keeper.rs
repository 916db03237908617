//! The keeper: one task for the deadlines of all sessions.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use portcullis_core::Identity;
use tokio::sync::Notify;

use super::{Running, closing, recheck};
use crate::close::CloseCause;
use crate::session::builder::Settings;
use crate::session::registry::{Entry, Registry};
use crate::session::sessions::Sessions;
use crate::session::sync::{Mutex, lock};
use crate::session::{SessionEvent, SessionId};

/// Returns the deadline of a session that has been open since `since`, in milliseconds since 1970.
pub(crate) fn deadline(
    settings: &Settings,
    identity: &Identity,
    since: SystemTime,
    now: SystemTime,
) -> u64 {
    let expiry = identity
        .expires_at()
        .map(|end| unix_millis(end).saturating_add(millis(settings.leeway)));
    let session_end = identity.session_ends_at().map(unix_millis);
    let lifetime_end = unix_millis(since).saturating_add(millis(settings.max_lifetime));
    let end = [expiry, session_end]
        .into_iter()
        .flatten()
        .fold(lifetime_end, u64::min);
    if settings.jitter == 0.0 {
        return end;
    }
    let rest = end.saturating_sub(unix_millis(now));
    end - (rest as f64 * settings.jitter * random_part()) as u64
}

/// The times at which sessions have to be handled.
///
/// The old timer of a session that has ended or was renewed stays until it fires, or until there
/// are many more timers than sessions.
#[derive(Debug)]
pub(crate) struct Schedule {
    timers: Mutex<BinaryHeap<Reverse<Timer>>>,
    /// The time between warning and deadline, in milliseconds.
    warning: u64,
    /// The time until which the keeper sleeps.
    sleeps_until: AtomicU64,
    wake: Arc<Notify>,
}

/// A time in milliseconds since 1970, and the session that has to be handled then.
type Timer = (u64, SessionId);

impl Schedule {
    pub(crate) fn new(warning: Duration) -> Self {
        Self {
            timers: Mutex::default(),
            warning: millis(warning),
            sleeps_until: AtomicU64::new(0),
            wake: Arc::default(),
        }
    }

    /// Adds the next time of a session, and wakes the keeper if that is earlier than all others.
    pub(crate) fn add(&self, entry: &Entry, registry: &Registry) {
        let Some(time) = entry.next_wake(self.warning) else {
            return;
        };
        let most = 2 * registry.len() + SLACK;
        // Dropped after the lock is released: the last reference to a session may be in here.
        let mut all = Vec::new();
        let mut timers = lock(&self.timers);
        timers.push(Reverse((time, entry.id)));
        if timers.len() > most {
            // Under the lock, so that the timers of later calls are not lost.
            all = registry.all();
            let timer =
                |entry: &Arc<Entry>| Some(Reverse((entry.next_wake(self.warning)?, entry.id)));
            *timers = all.iter().filter_map(timer).collect();
        }
        drop(timers);
        drop(all);
        if time < self.sleeps_until.load(Ordering::Acquire) {
            self.wake.notify_one();
        }
    }

    /// Removes the timers of the sessions that are due, and returns each session once per time.
    pub(crate) fn due(&self, now: u64) -> Vec<SessionId> {
        let mut timers = lock(&self.timers);
        let mut due = Vec::new();
        while let Some(Reverse(timer)) = timers.peek().copied()
            && timer.0 <= now
        {
            timers.pop();
            // Equal timers are neighbours.
            if due.last() != Some(&timer) {
                due.push(timer);
            }
        }
        due.into_iter().map(|(_, id)| id).collect()
    }

    /// Returns how long the keeper may sleep; `None` if there are no timers.
    fn sleep(&self, now: u64, longest: Duration) -> Option<Duration> {
        // Until the new value is stored, every new timer wakes the keeper.
        self.sleeps_until.store(u64::MAX, Ordering::Release);
        let Reverse((next, _)) = lock(&self.timers).peek().copied()?;
        let sleep = Duration::from_millis(next.saturating_sub(now)).min(longest);
        let until = now.saturating_add(millis(sleep));
        self.sleeps_until.store(until, Ordering::Release);
        Some(sleep)
    }
}

/// Handles the deadlines of all sessions, until the last handle is dropped.
///
/// The keeper never sleeps for longer than a second while there is a deadline: the wall clock can
/// change, and the machine can be suspended.
pub(super) async fn keep(running: Running) {
    while let Some(sessions) = running.sessions.upgrade() {
        handle_due(&sessions);
        let inner = &sessions.inner;
        let sleep = inner.schedule.sleep(sessions.now_millis(), LONGEST_SLEEP);
        let sleep = sleep.unwrap_or(match inner.store {
            Some(_) => LONGEST_SLEEP,
            None => IDLE_SLEEP,
        });
        let wake = Arc::clone(&inner.schedule.wake);
        // The keeper holds no handle while it sleeps.
        drop(sessions);
        tokio::select! {
            () = wake.notified() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// Expires, warns and re-checks the sessions that are due.
pub(crate) fn handle_due(sessions: &Sessions) {
    let inner = &sessions.inner;
    let now = sessions.now_millis();
    let warning = inner.schedule.warning;
    let mut expired = Vec::new();
    let mut rechecks = Vec::new();
    let due = inner.schedule.due(now);
    for entry in due.into_iter().filter_map(|id| inner.registry.find(id)) {
        let deadline = entry.deadline();
        if deadline <= now {
            expired.push(entry);
            continue;
        }
        if warning > 0 && deadline.saturating_sub(warning) <= now && entry.warn() {
            let events = &inner.events;
            events.report(|| SessionEvent::Expiring(entry.info()));
        }
        if let Some(every) = inner.settings.recheck
            && let Some(credential) = entry.recheck_due(now, now.saturating_add(millis(every)))
        {
            rechecks.push((Arc::clone(&entry), credential));
        }
        sessions.schedule(&entry);
    }
    closing::end_if(expired, &CloseCause::Expired, |entry| entry.expire(now));
    if !rechecks.is_empty() {
        tokio::spawn(recheck(rechecks));
    }
    inner.registry.revocations.purge(sessions.now());
    if let Some(store) = &inner.store {
        store.check_lag(sessions);
    }
}

/// Returns a time in milliseconds since 1970; 0 for earlier times.
pub(crate) fn unix_millis(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, millis)
}

pub(super) fn millis(duration: Duration) -> u64 {
    // `Duration::as_millis` calculates with 128 bits.
    duration
        .as_secs()
        .saturating_mul(1000)
        .saturating_add(duration.subsec_millis().into())
}

/// Returns a random number between 0 and 1.
pub(super) fn random_part() -> f64 {
    // It only spreads load, so a constant is good enough if there are no random numbers.
    let random = getrandom::u32().unwrap_or(0);
    f64::from(random) / f64::from(u32::MAX)
}

/// The number of old timers that are kept, beyond one for each session.
pub(crate) const SLACK: usize = 1024;

/// The longest sleep while there is a deadline.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// The longest sleep while there is none.
pub(crate) const IDLE_SLEEP: Duration = Duration::from_secs(60);
