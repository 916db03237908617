//! What the store of revocations has to tell, and how long it has been silent.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use portcullis_core::{Follower, Revocation, RevocationStore, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;

use super::LagPolicy;
use super::lifetime::in_milliseconds;
use super::shared::Shared;
use crate::close::CloseCause;

/// A store that is followed.
pub(super) struct Followed {
    store: Arc<dyn Store>,
    started: Instant,
    /// When it has last answered, in milliseconds since the start.
    heard_at: AtomicU64,
    synchronized: watch::Sender<bool>,
}

/// A store of revocations without its type.
pub(super) trait Store: Send + Sync {
    fn revoke<'a>(&'a self, revocation: &'a Revocation) -> Task<'a, Result<(), StoreError>>;

    fn follow<'a>(&'a self, feed: Feed) -> Task<'a, ()>;
}

type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl<S: RevocationStore> Store for S {
    fn revoke<'a>(&'a self, revocation: &'a Revocation) -> Task<'a, Result<(), StoreError>> {
        Box::pin(RevocationStore::revoke(self, revocation))
    }

    fn follow<'a>(&'a self, feed: Feed) -> Task<'a, ()> {
        Box::pin(RevocationStore::follow(self, feed))
    }
}

impl Followed {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            started: Instant::now(),
            heard_at: AtomicU64::new(0),
            synchronized: watch::Sender::new(false),
        }
    }

    pub(super) async fn revoke(&self, revocation: &Revocation) -> Result<(), StoreError> {
        self.store.revoke(revocation).await
    }

    /// Waits until it has told everything for the first time.
    pub(super) async fn synchronized(&self) {
        let mut synchronized = self.synchronized.subscribe();
        // The sender is in `self`.
        let _ = synchronized.wait_for(|done| *done).await;
    }

    fn milliseconds_since_start(&self) -> u64 {
        in_milliseconds(self.started.elapsed())
    }
}

impl Followed {
    /// Brings all that it tells to the sessions.
    pub(super) fn follow(&self, shared: Weak<Shared>) -> impl Future<Output = ()> + Send + use<> {
        let store = Arc::clone(&self.store);
        async move { store.follow(Feed { shared }).await }
    }
}

/// Where the sessions hear of it.
pub(super) struct Feed {
    shared: Weak<Shared>,
}

impl Follower for Feed {
    fn synchronized(&mut self, revocations: Vec<Revocation>) {
        self.apply(&revocations);
        self.alive();
    }

    fn revoked(&mut self, revocation: Revocation) {
        self.apply(&[revocation]);
    }

    fn alive(&mut self) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        let Some(store) = &shared.store else { return };
        let now = store.milliseconds_since_start();
        store.heard_at.store(now, Ordering::Release);
        shared.registry.revocations.set_stale(false);
        store.synchronized.send_replace(true);
    }

    fn lost(&mut self) {
        tracing::warn!("the store of revocations does not answer");
    }
}

impl Feed {
    fn apply(&self, revocations: &[Revocation]) {
        if let Some(shared) = self.shared.upgrade() {
            shared.apply(revocations, shared.now());
        }
    }
}

impl Shared {
    /// How long the store has been silent, and what that means.
    pub(super) fn judge_lag(self: &Arc<Self>) {
        let Some(store) = &self.store else { return };
        if self.settings.lag_policy == LagPolicy::Stay {
            return;
        }
        let heard_at = store.heard_at.load(Ordering::Acquire);
        let silent = store.milliseconds_since_start().saturating_sub(heard_at);
        let stale = silent > in_milliseconds(self.settings.max_lag);
        self.registry.revocations.set_stale(stale);
        if stale {
            self.end(self.registry.all(), &CloseCause::Unavailable);
        }
    }
}
