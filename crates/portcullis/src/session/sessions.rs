use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, SystemTime};

use futures_core::Stream;
use portcullis_core::{Credential, Identity, Revocation, Revoked, StoreError, VerifyError};
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

use super::builder::{ErasedStore, LagPolicy, SessionsBuilder, Settings};
use super::closing::{Closing, close_all};
use super::entry::{Entry, Evict, Recheck};
use super::feed::{Feed, Listen};
use super::registry::{NotRegistered, Registry};
use super::revocations::Revocations;
use super::sync::lock;
use super::timers::Timers;
use super::{
    CloseCause, CloseFrame, Policy, RenewError, Session, SessionEvent, SessionId, SessionInfo,
    keeper,
};

/// All sessions that share a fate: the handle to count, list, revoke and close them.
///
/// Give it to the [`AuthLayer`](crate::AuthLayer) whose sockets it shall hold, and keep a clone.
///
/// ```
/// use std::time::Duration;
/// use portcullis::{AuthLayer, Revocation, Sessions, StaticTokens};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let sessions = Sessions::builder().max_lifetime(Duration::from_secs(8 * 3600)).build();
/// let auth = AuthLayer::new(StaticTokens::new([("alice", "s3cret")])?).sessions(&sessions);
///
/// // Later, when Alice logs out:
/// let closed = sessions.revoke(Revocation::subject("alice")).await?;
/// assert_eq!(closed, 0);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// A clone is the same handle. It needs a tokio runtime: one task keeps the deadlines of all
/// sessions, however many there are.
pub struct Sessions<C = ()> {
    inner: Arc<Inner<C>>,
}

pub(super) struct Inner<C> {
    registry: Registry<C>,
    pub(super) settings: Settings<C>,
    store: Option<Arc<dyn ErasedStore>>,
    timers: Mutex<Timers>,
    /// What the keeper sleeps for, in milliseconds since 1970.
    pub(super) sleeps_until: AtomicU64,
    pub(super) wake: Arc<Notify>,
    is_kept: AtomicBool,
    events: broadcast::Sender<SessionEvent<C>>,
    started: Instant,
    /// When the store has last answered, in milliseconds since the start.
    heard_at: AtomicU64,
    synchronized: tokio::sync::watch::Sender<bool>,
    shutdown: tokio::sync::watch::Sender<bool>,
    /// Sockets whose client has not said who it is. They are no sessions yet.
    unidentified: AtomicUsize,
    emptied: Notify,
    pub(super) counts: Counts,
}

/// What went through, for who keeps books.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) opened: AtomicUsize,
    pub(super) closed: AtomicUsize,
}

impl<C: Send + Sync + 'static> Sessions<C> {
    /// Starts with the defaults: a day at most, no leeway, no warning.
    pub fn builder() -> SessionsBuilder<C> {
        SessionsBuilder::new()
    }

    pub(super) fn new(builder: SessionsBuilder<C>) -> Self {
        let SessionsBuilder {
            settings,
            limits,
            store,
        } = builder;
        let store: Option<Arc<dyn ErasedStore>> = store.map(Arc::from);
        let (events, _) = broadcast::channel(EVENTS);
        let has_store = store.is_some();
        let sessions = Self {
            inner: Arc::new(Inner {
                registry: Registry::new(limits, Arc::new(Revocations::default())),
                settings,
                store,
                timers: Mutex::default(),
                sleeps_until: AtomicU64::new(u64::MAX),
                wake: Arc::default(),
                is_kept: AtomicBool::new(false),
                events,
                started: Instant::now(),
                heard_at: AtomicU64::new(0),
                synchronized: tokio::sync::watch::Sender::new(!has_store),
                shutdown: tokio::sync::watch::Sender::new(false),
                unidentified: AtomicUsize::new(0),
                emptied: Notify::new(),
                counts: Counts::default(),
            }),
        };
        if has_store {
            sessions.keep();
        }
        sessions
    }

    /// How many there are: from the admission until the socket is gone.
    pub fn len(&self) -> usize {
        self.inner.registry.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every session there is, in no order.
    pub fn list(&self) -> Vec<SessionInfo<C>> {
        let all = self.inner.registry.all();
        all.iter().map(|entry| entry.info()).collect()
    }

    /// The session of this id, as long as it is open.
    pub fn find(&self, id: SessionId) -> Option<SessionInfo<C>> {
        self.inner.registry.find(id).map(|entry| entry.info())
    }

    /// Takes back credentials. Sessions that were opened with them close here before this returns
    /// and on every other machine that shares the store; admission refuses them from now on,
    /// whatever is cached.
    ///
    /// The number of sessions that it closes on this machine. They have their close frame on the
    /// way; [`len`](Self::len) counts them until their sockets are gone, a few seconds at most.
    ///
    /// # Errors
    ///
    /// If the store does not acknowledge it. On this machine it is in force all the same; call it
    /// again until the others have it, too.
    pub async fn revoke(&self, revocation: Revocation) -> Result<usize, RevokeError> {
        let now = self.inner.settings.clock.now();
        let revocation = self.inner.complete(revocation, now);
        let closed = self.inner.apply(std::slice::from_ref(&revocation), now);
        if let Some(store) = &self.inner.store {
            store
                .revoke(&revocation)
                .await
                .map_err(|store| RevokeError { closed, store })?;
        }
        Ok(closed)
    }

    /// Closes one session of this machine with a frame of the application's own. `false` if there
    /// is none of this id.
    pub fn close(&self, id: SessionId, frame: CloseFrame) -> bool {
        match self.inner.registry.find(id) {
            Some(entry) => self.end([entry], &CloseCause::Application(frame)) == 1,
            None => false,
        }
    }

    /// Brings a new credential for a session of this machine, which the verifier of its layer is
    /// asked about. How long the session has from now.
    ///
    /// # Errors
    ///
    /// If it does not renew the session; see [`RenewError`].
    pub async fn renew(
        &self,
        id: SessionId,
        credential: Credential,
    ) -> Result<Duration, RenewError> {
        let entry = self.inner.registry.find(id).ok_or(RenewError::Ended)?;
        self.renew_entry(&entry, credential).await
    }

    /// The same with an identity that was proven by a request of its own. Its credential is not
    /// known here, so the verifier is not [asked again](SessionsBuilder::recheck_every) about it;
    /// `renewal_handler` keeps it.
    ///
    /// # Errors
    ///
    /// If it does not renew the session; see [`RenewError`].
    pub fn renew_with(&self, id: SessionId, identity: Identity<C>) -> Result<Duration, RenewError> {
        self.renew_by(id, identity, None)
    }

    /// The same with the credential that it rests on, for those who ask the verifier again.
    pub(crate) fn renew_by(
        &self,
        id: SessionId,
        identity: Identity<C>,
        credential: Option<Credential>,
    ) -> Result<Duration, RenewError> {
        let entry = self.inner.registry.find(id).ok_or(RenewError::Ended)?;
        self.adopt(&entry, identity, credential)
    }

    /// What happens from now on. A reader that falls more than 1,024 events behind is told how many
    /// it has [missed](SessionEvent::Missed);
    /// [`observe`](SessionsBuilder::observe) misses none.
    pub fn events(&self) -> impl Stream<Item = SessionEvent<C>> + Send + use<C> {
        let receiver = self.inner.events.subscribe();
        futures_util::stream::unfold(receiver, async |mut receiver| {
            let event = match receiver.recv().await {
                Ok(event) => event,
                Err(broadcast::error::RecvError::Lagged(count)) => SessionEvent::Missed(count),
                Err(broadcast::error::RecvError::Closed) => return None,
            };
            Some((event, receiver))
        })
    }

    /// Lets nobody in any more and closes every session with 1001, and every socket whose client
    /// has not said who it is. Returns when the last one is gone, or after `limit`; how many are
    /// left then.
    ///
    /// It waits for three seconds for clients that do not answer the close, so a limit of five is
    /// a good one.
    pub async fn shutdown(&self, limit: Duration) -> usize {
        self.inner.registry.shut();
        self.inner.shutdown.send_replace(true);
        self.end(self.inner.registry.all(), &CloseCause::Shutdown);
        let left = || self.len() + self.inner.unidentified.load(Ordering::SeqCst);
        let empty = async {
            loop {
                let emptied = self.inner.emptied.notified();
                if left() == 0 {
                    return;
                }
                emptied.await;
            }
        };
        let _ = tokio::time::timeout(limit, empty).await;
        left()
    }

    /// Waits until nobody is let in any more.
    #[cfg(feature = "axum")]
    pub(crate) async fn is_shut(&self) {
        let mut shutdown = self.inner.shutdown.subscribe();
        // The sender is in `inner`, which we hold.
        let _ = shutdown.wait_for(|shut| *shut).await;
    }

    /// Counts a socket whose client has yet to say who it is, until the guard is dropped.
    #[cfg(feature = "axum")]
    pub(crate) fn unidentified(&self) -> Unidentified<C> {
        self.inner.unidentified.fetch_add(1, Ordering::SeqCst);
        Unidentified {
            inner: Arc::clone(&self.inner),
        }
    }

    /// Waits until the store of revocations has told everything for the first time, for a server
    /// that does not want to let anybody in before. At once without a store.
    pub async fn synchronized(&self) {
        let mut synchronized = self.inner.synchronized.subscribe();
        // The sender is in `inner`, which we hold.
        let _ = synchronized.wait_for(|done| *done).await;
    }

    /// Registers an admitted request.
    pub(crate) fn admit(
        &self,
        policy: &Arc<Policy<C>>,
        identity: Identity<C>,
        credential: Option<Credential>,
        peer: Option<SocketAddr>,
    ) -> Result<Session<C>, NotRegistered> {
        self.keep();
        let inner = &self.inner;
        let since = inner.settings.clock.now();
        let deadline = inner.settings.deadline(&identity, since, since);
        let recheck = inner.settings.recheck_of(&identity, credential);
        let entry = Arc::new(Entry::new(
            Arc::clone(policy),
            identity,
            recheck,
            since,
            deadline,
            peer,
        ));
        if let Err(why) = inner.registry.register(&entry) {
            // A shutdown may have counted it, and waits.
            inner.emptied.notify_waiters();
            return Err(why);
        }
        if let Some(wake) = entry.next_wake(inner.settings.warning_in_milliseconds()) {
            inner.schedule(wake, entry.id);
        }
        Ok(Session::admitted(entry))
    }

    pub(crate) fn opened(&self, entry: &Arc<Entry<C>>) {
        self.inner.counts.opened.fetch_add(1, Ordering::Relaxed);
        self.inner.tell(|| SessionEvent::Opened(entry.info()));
        // A revocation in between found no socket; `open` has told the guard.
    }

    /// Whether sessions ask the verifier again, and so need the credential.
    pub(crate) fn needs_credential(&self) -> bool {
        self.inner.settings.recheck.is_some()
    }

    pub(crate) fn revocations(&self) -> Arc<Revocations> {
        Arc::clone(&self.inner.registry.revocations)
    }

    pub(crate) async fn renew_entry(
        &self,
        entry: &Arc<Entry<C>>,
        credential: Credential,
    ) -> Result<Duration, RenewError> {
        self.bring(entry, credential).await.1
    }

    /// Renews a session, and tells whose the credential is, even if it renews nothing.
    pub(crate) async fn bring(
        &self,
        entry: &Arc<Entry<C>>,
        credential: Credential,
    ) -> (Option<Identity<C>>, Result<Duration, RenewError>) {
        match entry.policy.verifier.ask(&credential).await {
            Ok(identity) => {
                let renewed = self.adopt(entry, identity.clone(), Some(credential));
                (Some(identity), renewed)
            }
            Err(error) => {
                let why = RenewError::Unverified(error);
                self.refuse_renewal(entry, why);
                (None, Err(why))
            }
        }
    }

    fn adopt(
        &self,
        entry: &Arc<Entry<C>>,
        identity: Identity<C>,
        credential: Option<Credential>,
    ) -> Result<Duration, RenewError> {
        let inner = &self.inner;
        let now = inner.settings.clock.now();
        if inner.registry.revocations.cover(&identity) {
            self.refuse_renewal(entry, RenewError::Revoked);
            return Err(RenewError::Revoked);
        }
        let since = entry.since;
        let recheck = inner.settings.recheck_of(&identity, credential);
        let renewed = entry.renew(identity, recheck, |identity| {
            inner.settings.deadline(identity, since, now)
        });
        let deadline = match renewed {
            Ok(deadline) => deadline,
            Err(why) => {
                let why = RenewError::from(why);
                self.refuse_renewal(entry, why);
                if why == RenewError::OtherSubject {
                    self.end([Arc::clone(entry)], &CloseCause::OtherSubject);
                }
                return Err(why);
            }
        };
        // It may have been revoked since it was looked at; who revoked it has looked already.
        if entry.with_identity(|identity| inner.registry.revocations.cover(identity)) {
            self.end([Arc::clone(entry)], &CloseCause::Revoked);
            return Err(RenewError::Revoked);
        }
        if let Some(wake) = entry.next_wake(inner.settings.warning_in_milliseconds()) {
            inner.schedule(wake, entry.id);
        }
        inner.tell(|| SessionEvent::Renewed(entry.info()));
        Ok(Duration::from_millis(
            deadline.saturating_sub(milliseconds(now)),
        ))
    }

    fn refuse_renewal(&self, entry: &Arc<Entry<C>>, why: RenewError) {
        self.inner.tell(|| SessionEvent::RenewalRefused {
            session: entry.info(),
            why,
        });
    }

    /// Ends these sessions; how many of them were open until now.
    pub(crate) fn end(
        &self,
        entries: impl IntoIterator<Item = Arc<Entry<C>>>,
        cause: &CloseCause,
    ) -> usize {
        self.inner.end(entries, cause)
    }

    /// Starts the task that keeps the deadlines, unless it runs. Outside of a runtime there is none
    /// yet; the first admission is inside of one.
    fn keep(&self) {
        if self.inner.is_kept.load(Ordering::Acquire) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if self.inner.is_kept.swap(true, Ordering::AcqRel) {
            return;
        }
        let kept = Kept {
            inner: Arc::downgrade(&self.inner),
        };
        runtime.spawn(keeper::keep(kept));
        if let Some(store) = self.inner.store.clone() {
            let listener = Box::new(Arc::downgrade(&self.inner));
            runtime.spawn(async move { store.follow(Feed { listener }).await });
        }
    }
}

impl<C> Sessions<C> {
    /// The socket is gone.
    pub(crate) fn forget(&self, entry: &Entry<C>, cause: &CloseCause) {
        self.inner.forget(entry, cause);
    }

    pub(crate) fn release(&self, entry: &Entry<C>) {
        self.inner.release(entry);
    }

    pub(crate) fn now_in_milliseconds(&self) -> u64 {
        milliseconds(self.inner.settings.clock.now())
    }

    /// A socket that came when its session had ended.
    pub(crate) fn close_late(
        &self,
        entry: &Arc<Entry<C>>,
        closing: Pin<Box<dyn Future<Output = ()> + Send>>,
    ) where
        C: Send + Sync + 'static,
    {
        self.inner.counts.opened.fetch_add(1, Ordering::Relaxed);
        self.inner.tell(|| SessionEvent::Opened(entry.info()));
        let entry = Arc::clone(entry);
        close_all(&self.inner, vec![Closing { entry, closing }]);
    }
}

impl<C> Inner<C> {
    fn forget(&self, entry: &Entry<C>, cause: &CloseCause) {
        self.counts.closed.fetch_add(1, Ordering::Relaxed);
        self.release(entry);
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
    }

    fn release(&self, entry: &Entry<C>) {
        self.registry.release(entry);
        if self.registry.len() == 0 {
            self.emptied.notify_waiters();
        }
    }

    /// The close frame was answered, or the time for it is over.
    pub(super) fn finished(&self, entry: &Entry<C>) {
        if let Some(cause) = entry.finish(None) {
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
            observer(&event);
        }
        if read {
            // Nobody listens any more, then.
            let _ = self.events.send(event);
        }
    }

    fn schedule(&self, time: u64, id: SessionId) {
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

    fn complete(&self, revocation: Revocation, now: SystemTime) -> Revocation {
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
    fn end(
        self: &Arc<Self>,
        entries: impl IntoIterator<Item = Arc<Entry<C>>>,
        cause: &CloseCause,
    ) -> usize {
        self.end_with(entries, cause, |entry| entry.end(cause.clone()))
    }

    /// Ends those that `end` finds have to.
    fn end_with(
        self: &Arc<Self>,
        entries: impl IntoIterator<Item = Arc<Entry<C>>>,
        cause: &CloseCause,
        end: impl Fn(&Entry<C>) -> (bool, Option<Arc<dyn Evict>>),
    ) -> usize {
        let mut ended = 0;
        let mut closing = Vec::new();
        for entry in entries {
            let (ours, socket) = end(&entry);
            ended += usize::from(ours);
            let Some(socket) = socket else { continue };
            let frame = entry.policy.codes.frame(cause);
            // Only the client's and the handler's own ends have no frame.
            let frame = frame.unwrap_or_else(|| CloseFrame::new(1000, ""));
            closing.push(Closing {
                closing: socket.evict(frame),
                entry,
            });
        }
        close_all(self, closing);
        ended
    }

    /// Takes note of revocations and closes the sessions that they cover, in one pass.
    fn apply(self: &Arc<Self>, revocations: &[Revocation], now: SystemTime) -> usize {
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
    fn judge_lag(self: &Arc<Self>) {
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

impl<C> Settings<C> {
    /// When a session ends that has lasted since `since`, in milliseconds since 1970.
    fn deadline(&self, identity: &Identity<C>, since: SystemTime, now: SystemTime) -> u64 {
        let expiry = identity
            .expires_at()
            .map(|end| milliseconds(end).saturating_add(in_milliseconds(self.leeway)));
        let told = identity.session_ends_at().map(milliseconds);
        let longest = milliseconds(since).saturating_add(in_milliseconds(self.max_lifetime));
        let end = expiry
            .unwrap_or(u64::MAX)
            .min(told.unwrap_or(u64::MAX))
            .min(longest);
        let now = milliseconds(now);
        match self.jitter > 0.0 && end > now {
            true => end - ((end - now) as f64 * self.jitter * random_part()) as u64,
            false => end,
        }
    }

    fn recheck_of(
        &self,
        identity: &Identity<C>,
        credential: Option<Credential>,
    ) -> Option<Box<Recheck>> {
        let every = self.recheck?;
        let credential = credential?;
        if identity.is_single_use() {
            return None;
        }
        let now = milliseconds(self.clock.now());
        // Sessions that were opened together do not ask together.
        let first = in_milliseconds(every.mul_f64(1.0 - random_part() / 5.0));
        Some(Box::new(Recheck {
            credential,
            due: now.saturating_add(first),
            good_until: now.saturating_add(in_milliseconds(self.recheck_grace)),
        }))
    }

    fn warning_in_milliseconds(&self) -> u64 {
        in_milliseconds(self.warning)
    }
}

/// A socket without a session, which a shutdown waits for all the same.
#[cfg(feature = "axum")]
pub(crate) struct Unidentified<C> {
    inner: Arc<Inner<C>>,
}

#[cfg(feature = "axum")]
impl<C> Drop for Unidentified<C> {
    fn drop(&mut self) {
        self.inner.unidentified.fetch_sub(1, Ordering::SeqCst);
        self.inner.emptied.notify_waiters();
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

impl<C> Clone for Sessions<C> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<C: Send + Sync + 'static> Default for Sessions<C> {
    fn default() -> Self {
        Self::builder().build()
    }
}

impl<C> fmt::Debug for Sessions<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("len", &self.inner.registry.len())
            .finish_non_exhaustive()
    }
}

/// The store did not acknowledge a revocation.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RevokeError {
    /// How many sessions it has closed on this machine, where it is in force all the same.
    pub closed: usize,

    /// What the store says.
    pub store: StoreError,
}

impl fmt::Display for RevokeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "other machines may not know of the revocation: {}",
            self.store
        )
    }
}

impl std::error::Error for RevokeError {}

/// Since 1970; before it is 1970.
pub(super) fn milliseconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, in_milliseconds)
}

fn in_milliseconds(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

/// Between 0 and 1.
fn random_part() -> f64 {
    // Spreads load and keeps no secret: without randomness it spreads nothing.
    let random = getrandom::u32().unwrap_or(0);
    f64::from(random) / f64::from(u32::MAX)
}

/// How far behind a reader of events may be.
const EVENTS: usize = 1024;

/// How many timers of ended sessions are kept before they are looked for.
const SLACK: usize = 1024;

/// The end of a revocation whose end no clock can tell.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
