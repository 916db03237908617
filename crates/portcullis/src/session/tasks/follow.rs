//! Follows the store of revocations, and watches whether it is available.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use portcullis_core::{Follower, Revocation, RevocationStore, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;

use super::closing;
use super::keeper::millis;
use crate::close::CloseCause;
use crate::session::LagPolicy;
use crate::session::sessions::{Sessions, WeakSessions};

/// A store of revocations, without its type.
pub(crate) trait SharedStore: Send + Sync {
    fn revoke<'a>(&'a self, revocation: &'a Revocation) -> BoxFuture<'a, Result<(), StoreError>>;

    fn follow(&self, follower: SessionsFollower) -> BoxFuture<'_, ()>;
}

impl<S: RevocationStore> SharedStore for S {
    fn revoke<'a>(&'a self, revocation: &'a Revocation) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(RevocationStore::revoke(self, revocation))
    }

    fn follow(&self, follower: SessionsFollower) -> BoxFuture<'_, ()> {
        Box::pin(RevocationStore::follow(self, follower))
    }
}

/// The store that a set of sessions follows.
pub(crate) struct Following {
    store: Arc<dyn SharedStore>,
    started: Instant,
    /// When the store was last available, in milliseconds since the start.
    alive_at: AtomicU64,
    synchronized: watch::Sender<bool>,
}

impl Following {
    pub(crate) fn new(store: Arc<dyn SharedStore>) -> Self {
        Self {
            store,
            started: Instant::now(),
            alive_at: AtomicU64::new(0),
            synchronized: watch::Sender::new(false),
        }
    }

    pub(crate) async fn revoke(&self, revocation: &Revocation) -> Result<(), StoreError> {
        self.store.revoke(revocation).await
    }

    /// Waits until the store has been read for the first time.
    pub(crate) async fn synchronized(&self) {
        let mut synchronized = self.synchronized.subscribe();
        // The sender is in `self`, so this cannot fail.
        let _ = synchronized.wait_for(|done| *done).await;
    }

    /// Applies the revocations of the store to the sessions.
    pub(super) fn follow(&self, sessions: WeakSessions) -> impl Future<Output = ()> + Send + use<> {
        let store = Arc::clone(&self.store);
        async move { store.follow(SessionsFollower { sessions }).await }
    }

    /// Closes all sessions if the store has been unavailable for too long, and the settings say so.
    pub(super) fn check_lag(&self, sessions: &Sessions) {
        let inner = &sessions.inner;
        if inner.settings.lag_policy == LagPolicy::Stay {
            return;
        }
        let alive_at = self.alive_at.load(Ordering::Acquire);
        let lag = self.millis_since_start().saturating_sub(alive_at);
        let is_stale = lag > millis(inner.settings.max_lag);
        inner.registry.revocations.set_stale(is_stale);
        if is_stale {
            closing::end(inner.registry.all(), &CloseCause::Unavailable);
        }
    }

    fn millis_since_start(&self) -> u64 {
        millis(self.started.elapsed())
    }
}

/// Applies what the store reports.
pub(crate) struct SessionsFollower {
    sessions: WeakSessions,
}

impl SessionsFollower {
    fn apply(&self, revocations: &[Revocation]) {
        if let Some(sessions) = self.sessions.upgrade() {
            sessions.apply(revocations, sessions.now());
        }
    }
}

impl Follower for SessionsFollower {
    fn synchronized(&mut self, revocations: Vec<Revocation>) {
        self.apply(&revocations);
        self.alive();
    }

    fn revoked(&mut self, revocation: Revocation) {
        self.apply(&[revocation]);
    }

    fn alive(&mut self) {
        let Some(sessions) = self.sessions.upgrade() else {
            return;
        };
        let Some(store) = &sessions.inner.store else {
            return;
        };
        let now = store.millis_since_start();
        store.alive_at.store(now, Ordering::Release);
        sessions.inner.registry.revocations.set_stale(false);
        store.synchronized.send_replace(true);
    }

    fn lost(&mut self) {
        tracing::warn!("the store of revocations is unavailable");
    }
}
