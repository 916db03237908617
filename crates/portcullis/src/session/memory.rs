use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use portcullis_core::{Clock, Follower, Revocation, RevocationStore, StoreError, SystemClock};
use tokio::sync::broadcast;

/// Revocations shared by the [`Sessions`](super::Sessions) of one process: of two servers in one
/// program, say, or of a test.
///
/// Sessions that share nothing need no store. Put an `Arc` of it into each
/// [`SessionsBuilder::revocations`](super::SessionsBuilder::revocations).
///
/// ```
/// use std::sync::Arc;
/// use portcullis::{session::{MemoryRevocations, Revocation}, Sessions};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let store = Arc::new(MemoryRevocations::new());
/// let first: Sessions = Sessions::builder().revocations(Arc::clone(&store)).build();
/// let second: Sessions = Sessions::builder().revocations(store).build();
/// second.synchronized().await;
/// first.revoke(Revocation::subject(None, "alice")).await?;
/// # Ok::<_, portcullis::session::RevokeError>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct MemoryRevocations<K = SystemClock> {
    kept: Mutex<Vec<Revocation>>,
    told: broadcast::Sender<Revocation>,
    clock: K,
}

impl MemoryRevocations {
    /// Nothing is revoked.
    pub fn new() -> Self {
        Self::with_clock(SystemClock)
    }
}

impl<K: Clock> MemoryRevocations<K> {
    /// The same with a clock of one's own, which tells when a revocation may be forgotten.
    pub fn with_clock(clock: K) -> Self {
        Self {
            kept: Mutex::default(),
            told: broadcast::Sender::new(BACKLOG),
            clock,
        }
    }

    /// All that is in force, and what comes after it.
    fn subscribe(&self) -> (Vec<Revocation>, broadcast::Receiver<Revocation>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.forget_ended(&mut kept);
        (kept.clone(), self.told.subscribe())
    }

    fn forget_ended(&self, kept: &mut Vec<Revocation>) {
        let now = self.clock.now();
        kept.retain(|one| one.ends_at().is_none_or(|end| now < end));
    }
}

impl Default for MemoryRevocations {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Clock> RevocationStore for MemoryRevocations<K> {
    async fn revoke(&self, revocation: &Revocation) -> Result<(), StoreError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.forget_ended(&mut kept);
        if !kept.iter().any(|one| one.includes(revocation)) {
            kept.retain(|one| !revocation.includes(one));
            kept.push(revocation.clone());
        }
        // Under the lock, so that a follower gets it either with the picture or after it. Without
        // a follower nobody has to hear it.
        let _ = self.told.send(revocation.clone());
        Ok(())
    }

    async fn follow(&self, mut follower: impl Follower) {
        loop {
            let (kept, mut told) = self.subscribe();
            follower.synchronized(kept);
            loop {
                match tokio::time::timeout(BREATH, told.recv()).await {
                    Ok(Ok(revocation)) => follower.revoked(revocation),
                    // Memory does not go away.
                    Err(_) => follower.alive(),
                    // It has fallen behind, and begins anew.
                    Ok(Err(_)) => break,
                }
            }
        }
    }
}

/// How many revocations a follower may be behind before it reads everything again.
const BACKLOG: usize = 1024;

/// How often a follower hears that the store is there.
const BREATH: Duration = Duration::from_secs(1);
