//! The handle to all sessions, and the steps that change them.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use futures_core::Stream;
use portcullis_core::{Credential, Identity, Revocation, Revoked, StoreError};

use super::builder::{SessionsBuilder, Settings};
use super::event::Events;
use super::handle::SessionContext;
use super::registry::{Entry, RegisterError, Registry, Revocations};
use super::tasks::follow::Following;
use super::tasks::keeper::{self, Schedule, unix_millis};
use super::tasks::{self, Tasks, closing};
use super::{RenewError, SessionEvent, SessionId, SessionInfo};
use crate::close::{CloseCause, CloseFrame};

/// A handle to a set of sessions, to count, list, revoke and close them.
///
/// Pass it to one or more [`AuthLayer`](crate::AuthLayer)s: their sockets become the sessions of
/// the set. Keep a clone to manage them.
///
/// ```
/// use std::time::Duration;
/// use portcullis::{AuthLayer, Sessions, StaticTokens, session::Revocation};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let sessions = Sessions::builder().max_lifetime(Duration::from_secs(8 * 3600)).build();
/// let auth = AuthLayer::new(StaticTokens::new([("alice", "s3cret")])?).sessions(&sessions);
///
/// // Later, when Alice logs out:
/// let closed = sessions.revoke(Revocation::subject(None, "alice")).await?;
/// assert_eq!(closed, 0);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// Clones refer to the same set. Sessions need a tokio runtime: one task handles the deadlines of
/// all of them. Methods that are not `async` also work outside of the runtime.
#[derive(Clone)]
pub struct Sessions {
    pub(super) inner: Arc<Inner>,
}

/// The state that all clones of a [`Sessions`] share.
pub(super) struct Inner {
    pub(super) settings: Settings,
    pub(super) registry: Registry,
    pub(super) schedule: Schedule,
    pub(super) tasks: Tasks,
    pub(super) store: Option<Following>,
    pub(super) events: Events,
}

impl Sessions {
    /// Returns a builder with the defaults: a maximum lifetime of a day, no leeway, no warning.
    pub fn builder() -> SessionsBuilder {
        SessionsBuilder::new()
    }

    pub(super) fn new(builder: SessionsBuilder) -> Self {
        let inner = Inner {
            registry: Registry::new(builder.limits, Arc::new(Revocations::default())),
            schedule: Schedule::new(builder.settings.warning),
            tasks: Tasks::default(),
            store: builder.store.map(Following::new),
            events: Events::new(builder.observer),
            settings: builder.settings,
        };
        let sessions = Self {
            inner: Arc::new(inner),
        };
        if sessions.inner.store.is_some() {
            tasks::start(&sessions);
        }
        sessions
    }

    /// Returns the number of sessions. A session counts from admission until its socket is closed.
    pub fn len(&self) -> usize {
        self.inner.registry.len()
    }

    /// Returns whether there are no sessions.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns every session, in no particular order.
    pub fn list(&self) -> Vec<SessionInfo> {
        let all = self.inner.registry.all();
        all.iter().map(|entry| entry.info()).collect()
    }

    /// Returns every session of one subject of one issuer, in no particular order. Pass `None` for
    /// identities without an issuer.
    pub fn list_of<'a>(
        &self,
        issuer: impl Into<Option<&'a str>>,
        subject: &str,
    ) -> Vec<SessionInfo> {
        let issuer = issuer.into();
        let all = self.inner.registry.all();
        let of_subject = all.iter().filter(|entry| {
            entry.with_identity(|identity| {
                identity.subject() == subject && identity.issuer() == issuer
            })
        });
        of_subject.map(|entry| entry.info()).collect()
    }

    /// Returns the session with this id, if it exists.
    pub fn find(&self, id: SessionId) -> Option<SessionInfo> {
        self.inner.registry.find(id).map(|entry| entry.info())
    }

    /// Revokes credentials, and closes the sessions that were opened with them.
    ///
    /// Sessions of this machine are closed before the call returns, and sessions of other machines
    /// as soon as they read the store. From now on admission refuses the credentials, cached or not.
    ///
    /// Returns the number of sessions that were closed on this machine. Their close frames are on
    /// the way. [`len`](Self::len) counts them until their sockets are closed, a few seconds at
    /// most.
    ///
    /// # Errors
    ///
    /// Returns an error if the store does not acknowledge the revocation. It is then in force on
    /// this machine only. Call `revoke` again until it succeeds.
    pub async fn revoke(&self, revocation: Revocation) -> Result<usize, RevokeError> {
        let now = self.now();
        let revocation = self.with_defaults(revocation, now);
        let closed = self.apply(std::slice::from_ref(&revocation), now);
        if let Some(store) = &self.inner.store {
            let stored = store.revoke(&revocation).await;
            stored.map_err(|store| RevokeError { closed, store })?;
        }
        Ok(closed)
    }

    /// Closes one session of this machine with a frame of the application. Returns `false` if no
    /// session with this id is open.
    pub fn close(&self, id: SessionId, frame: CloseFrame) -> bool {
        match self.inner.registry.find(id) {
            Some(entry) => closing::end([entry], &CloseCause::Application(frame)) == 1,
            None => false,
        }
    }

    /// Verifies a credential with the verifier of the session's layer, and renews the session with
    /// it. Returns the time until the new deadline.
    ///
    /// # Errors
    ///
    /// Returns an error if the credential does not renew the session; see [`RenewError`].
    pub async fn renew(
        &self,
        id: SessionId,
        credential: Credential,
    ) -> Result<Duration, RenewError> {
        let entry = self.inner.registry.find(id).ok_or(RenewError::Ended)?;
        self.verify_and_renew(&entry, credential).await.1
    }

    /// Renews a session with an identity that another request has proven. Returns the time until
    /// the new deadline.
    ///
    /// The session does not have the credential of the identity, so it is not
    /// [verified again](SessionsBuilder::recheck_every). `renewal_handler` passes the credential,
    /// too.
    ///
    /// # Errors
    ///
    /// Returns an error if the identity does not renew the session; see [`RenewError`].
    pub fn renew_with(&self, id: SessionId, identity: Identity) -> Result<Duration, RenewError> {
        self.renew_verified(id, identity, None)
    }

    /// Renews a session with an identity and the credential that proves it.
    pub(crate) fn renew_verified(
        &self,
        id: SessionId,
        identity: Identity,
        credential: Option<Credential>,
    ) -> Result<Duration, RenewError> {
        let entry = self.inner.registry.find(id).ok_or(RenewError::Ended)?;
        self.renew_entry(&entry, identity, credential)
    }

    /// Returns a stream of the events from now on. A reader that falls more than 1,024 events
    /// behind gets [`Missed`](SessionEvent::Missed) with their number.
    /// [`observe`](SessionsBuilder::observe) misses none.
    pub fn events(&self) -> impl Stream<Item = SessionEvent> + Send + use<> {
        self.inner.events.subscribe()
    }

    /// Closes every session and every pending socket with 1001, and admits no more sessions.
    ///
    /// Returns the number of sockets that are still open: zero as soon as all are closed, or their
    /// number after `limit`.
    ///
    /// Clients have three seconds to answer the close frame, so five seconds is a good limit.
    pub async fn shutdown(&self, limit: Duration) -> usize {
        self.begin_shutdown();
        let _ = tokio::time::timeout(limit, self.inner.registry.wait_until_empty()).await;
        self.inner.registry.sockets()
    }

    /// Waits until the store of revocations has been read for the first time, for servers that must
    /// not admit requests before. Returns at once if there is no store.
    pub async fn synchronized(&self) {
        if let Some(store) = &self.inner.store {
            store.synchronized().await;
        }
    }

    /// Registers an admitted request.
    pub(super) fn admit(
        &self,
        context: &Arc<SessionContext>,
        identity: Identity,
        credential: Option<Credential>,
        peer: Option<SocketAddr>,
    ) -> Result<Arc<Entry>, RegisterError> {
        tasks::start(self);
        let since = self.now();
        let deadline = keeper::deadline(&self.inner.settings, &identity, since, since);
        let recheck = tasks::first_recheck(&self.inner.settings, &identity, credential);
        let context = Arc::clone(context);
        let entry = Entry::new(context, identity, recheck, since, deadline, peer);
        let entry = Arc::new(entry);
        self.inner.registry.register(&entry)?;
        self.schedule(&entry);
        Ok(entry)
    }

    /// Verifies a credential and renews a session with it. Also returns the identity of a valid
    /// credential that does not renew the session.
    pub(super) async fn verify_and_renew(
        &self,
        entry: &Arc<Entry>,
        credential: Credential,
    ) -> (Option<Identity>, Result<Duration, RenewError>) {
        match entry.context.verifier.verify(&credential).await {
            Ok(identity) => {
                let renewed = self.renew_entry(entry, identity.clone(), Some(credential));
                (Some(identity), renewed)
            }
            Err(error) => {
                let why = RenewError::Unverified(error);
                self.report_renewal_refused(entry, why);
                (None, Err(why))
            }
        }
    }

    /// Renews a session with a proven identity.
    pub(super) fn renew_entry(
        &self,
        entry: &Arc<Entry>,
        identity: Identity,
        credential: Option<Credential>,
    ) -> Result<Duration, RenewError> {
        let now = self.now();
        let revocations = &self.inner.registry.revocations;
        if revocations.cover(&identity) {
            self.report_renewal_refused(entry, RenewError::Revoked);
            return Err(RenewError::Revoked);
        }
        let recheck = tasks::first_recheck(&self.inner.settings, &identity, credential);
        let renewed = entry.renew(identity, recheck, |identity| {
            keeper::deadline(&self.inner.settings, identity, entry.since, now)
        });
        let deadline = match renewed {
            Ok(deadline) => deadline,
            Err(why) => {
                self.report_renewal_refused(entry, why);
                if why == RenewError::OtherSubject {
                    closing::end([Arc::clone(entry)], &CloseCause::OtherSubject);
                }
                return Err(why);
            }
        };
        // A revocation since the first comparison has searched the sessions already.
        if entry.with_identity(|identity| revocations.cover(identity)) {
            closing::end([Arc::clone(entry)], &CloseCause::Revoked);
            return Err(RenewError::Revoked);
        }
        self.schedule(entry);
        self.inner
            .events
            .report(|| SessionEvent::Renewed(entry.info()));
        let left = deadline.saturating_sub(unix_millis(now));
        Ok(Duration::from_millis(left))
    }

    fn report_renewal_refused(&self, entry: &Entry, why: RenewError) {
        self.inner.events.report(|| SessionEvent::RenewalRefused {
            session: entry.info(),
            why,
        });
    }

    /// Limits a revocation to credentials issued until now, and sets its end, unless it has its own
    /// limits.
    fn with_defaults(&self, revocation: Revocation, now: SystemTime) -> Revocation {
        let revocation = match (revocation.revoked(), revocation.covers_issued_before()) {
            (
                Revoked::Subject { .. } | Revoked::SubjectAtAnyIssuer(_) | Revoked::Everything,
                None,
            ) => revocation.issued_before(now),
            _ => revocation,
        };
        match revocation.ends_at() {
            Some(_) => revocation,
            None => {
                let end = now.checked_add(self.inner.settings.max_credential_lifetime);
                revocation.until(end.unwrap_or(now + CENTURY))
            }
        }
    }

    /// Records revocations, and closes the sessions that they cover, in one pass.
    pub(super) fn apply(&self, revocations: &[Revocation], now: SystemTime) -> usize {
        let registry = &self.inner.registry;
        for revocation in revocations {
            registry.revocations.add(revocation, now);
        }
        let ids = revocations.iter().filter_map(|one| match one.revoked() {
            Revoked::Session(id) => id.parse::<SessionId>().ok(),
            _ => None,
        });
        let mut covered: Vec<_> = ids.filter_map(|id| registry.find(id)).collect();
        let of_credentials = |one: &Revocation| !matches!(one.revoked(), Revoked::Session(_));
        if revocations.iter().any(of_credentials) {
            covered.extend(registry.all().into_iter().filter(|entry| {
                entry.with_identity(|identity| registry.revocations.cover(identity))
            }));
        }
        closing::end(covered, &CloseCause::Revoked)
    }

    /// Admits no more sessions, and closes every session.
    pub(super) fn begin_shutdown(&self) {
        self.inner.registry.shut();
        closing::end(self.inner.registry.all(), &CloseCause::Shutdown);
    }

    /// Waits until [`shutdown`](Self::shutdown) is called.
    #[cfg(feature = "dialects")]
    pub(crate) async fn shutdown_started(&self) {
        self.inner.registry.wait_until_shut().await;
    }

    /// Counts a pending socket until the returned guard is dropped. A shutdown waits for it.
    #[cfg(feature = "dialects")]
    pub(crate) fn count_pending(&self) -> PendingSocket {
        self.inner.registry.add_pending();
        PendingSocket {
            sessions: self.clone(),
        }
    }

    /// Returns whether sessions keep their credentials, to verify them again.
    pub(crate) fn needs_credential(&self) -> bool {
        self.inner.settings.recheck.is_some()
    }

    pub(crate) fn revocations(&self) -> Arc<Revocations> {
        Arc::clone(&self.inner.registry.revocations)
    }

    /// Schedules the next time at which the keeper has to handle a session.
    pub(super) fn schedule(&self, entry: &Entry) {
        self.inner.schedule.add(entry, &self.inner.registry);
    }

    pub(super) fn now(&self) -> SystemTime {
        self.inner.settings.clock.now()
    }

    /// Returns the time in milliseconds since 1970.
    pub(super) fn now_millis(&self) -> u64 {
        unix_millis(self.now())
    }

    pub(super) fn downgrade(&self) -> WeakSessions {
        WeakSessions(Arc::downgrade(&self.inner))
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self::builder().build()
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// A handle for tasks, which end when all other handles are dropped.
#[derive(Clone)]
pub(super) struct WeakSessions(Weak<Inner>);

impl WeakSessions {
    pub(super) fn upgrade(&self) -> Option<Sessions> {
        self.0.upgrade().map(|inner| Sessions { inner })
    }
}

/// A pending socket, which has no session yet.
#[cfg(feature = "dialects")]
pub(crate) struct PendingSocket {
    sessions: Sessions,
}

#[cfg(feature = "dialects")]
impl Drop for PendingSocket {
    fn drop(&mut self) {
        self.sessions.inner.registry.remove_pending();
    }
}

/// The store did not acknowledge a revocation.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RevokeError {
    /// The number of sessions that were closed on this machine, where the revocation is in force.
    pub closed: usize,

    /// The error of the store.
    pub store: StoreError,
}

impl fmt::Display for RevokeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the revocation is in force on this machine, but the store did not acknowledge it: {}",
            self.store
        )
    }
}

impl std::error::Error for RevokeError {}

/// The end of a revocation if the clock cannot represent its own.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
