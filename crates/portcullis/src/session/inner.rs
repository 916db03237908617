//! What all handles of one set of sessions share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use portcullis_core::{Credential, Identity, Revocation, Revoked, VerifyError};
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

use super::builder::{ErasedStore, LagPolicy, Settings};
use super::closing::{Closing, GRACE, close_all};
use super::entry::{Ended, Entry};
use super::feed::Listen;
use super::lifetime::{in_milliseconds, milliseconds};
use super::registry::Registry;
use super::sync::{Mutex, lock};
use super::timers::Timers;
use super::{CloseCause, SessionEvent, SessionId, keeper};

pub(super) struct Inner<C> {
    pub(super) registry: Registry<C>,
    pub(super) settings: Settings<C>,
    pub(super) store: Option<Arc<dyn ErasedStore>>,
    pub(super) timers: Mutex<Timers>,
    /// What the keeper sleeps for, in milliseconds since 1970.
    pub(super) sleeps_until: AtomicU64,
    pub(super) wake: Arc<Notify>,
    pub(super) is_kept: AtomicBool,
    pub(super) events: broadcast::Sender<SessionEvent<C>>,
    pub(super) started: Instant,
    /// When the store has last answered, in milliseconds since the start.
    pub(super) heard_at: AtomicU64,
    pub(super) synchronized: tokio::sync::watch::Sender<bool>,
    pub(super) shutdown: tokio::sync::watch::Sender<bool>,
    /// Sockets whose client has not said who it is. They are no sessions yet.
    pub(super) unidentified: AtomicUsize,
    pub(super) emptied: Notify,
}

impl<C> Inner<C> {
    pub(super) fn forget(&self, entry: &Entry<C>, cause: &CloseCause) {
        // First: whoever waits until all are gone may take the observer down with it.
        self.tell(|| SessionEvent::Closed {
            session: entry.info(),
            cause: cause.clone(),
            lasted: self
                .settings
                .clock
                .now()
                .duration_since(entry.since)
                .unwrap_or_default(),
        });
        self.release(entry);
    }

    pub(super) fn release(&self, entry: &Entry<C>) {
        self.registry.release(entry);
        if self.registry.len() == 0 {
            self.emptied.notify_waiters();
        }
    }

    /// The close frame was answered, or the time for it is over.
    pub(super) fn finished(&self, entry: &Entry<C>) {
        if let Some(cause) = entry.finish() {
            self.forget(entry, &cause);
        }
    }

    pub(super) fn tell(&self, event: impl FnOnce() -> SessionEvent<C>) {
        let read = self.events.receiver_count() > 0;
        if !read && self.settings.observer.is_none() {
            return;
        }
        let event = event();
        if let Some(observer) = &self.settings.observer {
            // It is the application's own, and may be called amid the deadlines of others. What it has
            // to say about it, the panic hook has said.
            let _ = catch_unwind(AssertUnwindSafe(|| observer(&event)));
        }
        if read {
            // Nobody listens any more, then.
            let _ = self.events.send(event);
        }
    }

    pub(super) fn schedule(&self, time: u64, id: SessionId) {
        let mut timers = lock(&self.timers);
        if timers.len() > 2 * self.registry.len() + SLACK {
            let live: std::collections::HashSet<_> =
                self.registry.all().iter().map(|entry| entry.id).collect();
            timers.retain(|id| live.contains(&id));
        }
        timers.push(time, id);
        drop(timers);
        if time < self.sleeps_until.load(Ordering::Acquire) {
            self.wake.notify_one();
        }
    }

    pub(super) fn next_timer(&self) -> Option<u64> {
        lock(&self.timers).next()
    }

    pub(super) fn complete(&self, revocation: Revocation, now: SystemTime) -> Revocation {
        let revocation = match (revocation.revoked(), revocation.covers_issued_before()) {
            (Revoked::Subject(_) | Revoked::Everything, None) => revocation.issued_before(now),
            _ => revocation,
        };
        match revocation.ends_at() {
            Some(_) => revocation,
            None => {
                let end = now.checked_add(self.settings.longest_credential);
                revocation.until(end.unwrap_or(now + FAR))
            }
        }
    }
}

impl<C: Send + Sync + 'static> Inner<C> {
    pub(super) fn end(
        self: &Arc<Self>,
        entries: impl IntoIterator<Item = Arc<Entry<C>>>,
        cause: &CloseCause,
    ) -> usize {
        self.end_with(entries, cause, |entry| entry.end(cause.clone()))
    }

    /// Ends those that `end` finds have to.
    pub(super) fn end_with(
        self: &Arc<Self>,
        entries: impl IntoIterator<Item = Arc<Entry<C>>>,
        cause: &CloseCause,
        end: impl Fn(&Entry<C>) -> Ended,
    ) -> usize {
        let mut ended = 0;
        let mut closing = Vec::new();
        for entry in entries {
            match end(&entry) {
                Ended::Not => continue,
                Ended::Early => {}
                Ended::With(socket) => closing.push(Closing::of(entry, &*socket, cause)),
            }
            ended += 1;
        }
        close_all(self, closing, self.grace(cause));
        ended
    }

    /// How long a client may take to answer its close.
    fn grace(&self, cause: &CloseCause) -> Duration {
        match (cause, self.settings.ping) {
            // It has had its time, but for what the pings have left of it.
            (CloseCause::Unresponsive, Some(every)) => GRACE.min(every / 16),
            _ => GRACE,
        }
    }

    /// Takes note of revocations and closes the sessions that they cover, in one pass.
    pub(super) fn apply(self: &Arc<Self>, revocations: &[Revocation], now: SystemTime) -> usize {
        for revocation in revocations {
            self.registry.revocations.add(revocation, now);
        }
        let named = revocations.iter().filter_map(|one| match one.revoked() {
            Revoked::Session(id) => id.parse::<SessionId>().ok(),
            _ => None,
        });
        let mut covered: Vec<_> = named.filter_map(|id| self.registry.find(id)).collect();
        let lasting = |one: &Revocation| !matches!(one.revoked(), Revoked::Session(_));
        if revocations.iter().any(lasting) {
            covered.extend(self.registry.all().into_iter().filter(|entry| {
                entry.with_identity(|identity| self.registry.revocations.cover(identity))
            }));
        }
        self.end(covered, &CloseCause::Revoked)
    }

    /// Does what has come due.
    pub(super) fn attend(self: &Arc<Self>) {
        let settings = &self.settings;
        let now = milliseconds(settings.clock.now());
        let due = lock(&self.timers).due(now);
        let mut expired = Vec::new();
        let mut rechecks = Vec::new();
        for entry in due.into_iter().filter_map(|id| self.registry.find(id)) {
            let deadline = entry.deadline();
            if deadline <= now {
                expired.push(entry);
                continue;
            }
            let warning = settings.warning_in_milliseconds();
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
                lock(&self.timers).push(wake.max(now + 1), entry.id);
            }
        }
        self.end_with(expired, &CloseCause::Expired, |entry| entry.expire(now));
        if !rechecks.is_empty() {
            tokio::spawn(keeper::recheck(Arc::clone(self), rechecks));
        }
        self.registry.revocations.purge(settings.clock.now());
        self.judge_lag();
    }

    /// What the verifier says about a session now.
    pub(super) fn rechecked(
        self: &Arc<Self>,
        entry: &Arc<Entry<C>>,
        credential: &Credential,
        answer: Result<Identity<C>, VerifyError>,
    ) {
        let now = milliseconds(self.settings.clock.now());
        let good_until = now.saturating_add(in_milliseconds(self.settings.recheck_grace));
        let cause = match answer {
            Ok(identity) if entry.with_identity(|known| known.subject() == identity.subject()) => {
                entry.recheck_answered(credential, now, Some(good_until));
                return;
            }
            Ok(_) => CloseCause::OtherSubject,
            Err(VerifyError::Unavailable { .. }) => {
                match entry.recheck_answered(credential, now, None) {
                    true => return,
                    false => CloseCause::Unavailable,
                }
            }
            Err(_) => CloseCause::Refused,
        };
        self.end_with([Arc::clone(entry)], &cause, |entry| {
            entry.disprove(credential, cause.clone())
        });
    }

    /// How long the store has been silent, and what that means.
    pub(super) fn judge_lag(self: &Arc<Self>) {
        if self.store.is_none() || self.settings.lag_policy == LagPolicy::Stay {
            return;
        }
        let since = self.started.elapsed().as_millis() as u64;
        let silent = since.saturating_sub(self.heard_at.load(Ordering::Acquire));
        let stale = silent > in_milliseconds(self.settings.max_lag);
        self.registry.revocations.set_stale(stale);
        if stale {
            self.end(self.registry.all(), &CloseCause::Unavailable);
        }
    }

    pub(super) fn has_store(&self) -> bool {
        self.store.is_some()
    }
}

impl<C: Send + Sync + 'static> Listen for Weak<Inner<C>> {
    fn revoked(&self, revocations: &[Revocation]) {
        if let Some(inner) = self.upgrade() {
            inner.apply(revocations, inner.settings.clock.now());
        }
    }

    fn alive(&self) {
        let Some(inner) = self.upgrade() else { return };
        let now = inner.started.elapsed().as_millis() as u64;
        inner.heard_at.store(now, Ordering::Release);
        inner.registry.revocations.set_stale(false);
        inner.synchronized.send_replace(true);
    }

    fn lost(&self) {
        tracing::warn!("the store of revocations does not answer");
    }
}

/// A task holds on to no session: when all handles are gone, it ends.
pub(super) struct Kept<C> {
    pub(super) inner: Weak<Inner<C>>,
}

/// The runtime of the task may end before the sessions do. The next admission starts another one.
impl<C> Drop for Kept<C> {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.upgrade() {
            inner.is_kept.store(false, Ordering::Release);
        }
    }
}

/// How many timers of ended sessions are kept before they are looked for.
const SLACK: usize = 1024;

/// The end of a revocation whose end no clock can tell.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
