use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_core::Stream;
use portcullis_core::{Credential, Identity, Revocation, StoreError};
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

use super::builder::{ErasedStore, SessionsBuilder};
use super::closing::{Closing, GRACE, close_all};
use super::entry::Entry;
use super::evict::Evict;
use super::feed::Feed;
use super::inner::{Inner, Kept};
use super::lifetime::milliseconds;
use super::registry::{NotRegistered, Registry};
use super::revocations::Revocations;
use super::{
    CloseCause, CloseFrame, Policy, RenewError, Session, SessionEvent, SessionId, SessionInfo,
    keeper, pings,
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
                timers: Default::default(),
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
        if let Some(every) = self.inner.settings.ping {
            runtime.spawn(pings::ping(Arc::downgrade(&self.inner), every));
        }
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
    pub(super) fn close_late(&self, entry: &Arc<Entry<C>>, socket: &dyn Evict, cause: &CloseCause)
    where
        C: Send + Sync + 'static,
    {
        self.inner.tell(|| SessionEvent::Opened(entry.info()));
        let closing = Closing::of(Arc::clone(entry), socket, cause);
        close_all(&self.inner, vec![closing], GRACE);
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

/// How far behind a reader of events may be.
const EVENTS: usize = 1024;
