//! The revocations that this process knows, and a store for those that share a process.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use portcullis_core::{
    Clock, Follower, Identity, Revocation, RevocationStore, Revoked, StoreError, SystemClock,
};
use tokio::sync::broadcast;

use crate::session::sync::{AtomicBool, Ordering, RwLock, read, write};

/// The revocations in force.
///
/// Admission compares every identity with them, whether a cache returned it or a verifier. As long
/// as nothing is revoked, this loads one atomic.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    any: AtomicBool,
    stale: AtomicBool,
    in_force: RwLock<InForce>,
}

#[derive(Debug, Default)]
struct InForce {
    tokens: HashMap<Box<str>, Vec<Revocation>>,
    subjects: HashMap<Box<str>, Vec<Revocation>>,
    everything: Vec<Revocation>,
    /// The earliest end of a revocation.
    first_end: Option<SystemTime>,
}

impl Revocations {
    /// Returns whether the credential of `identity` is revoked.
    pub(crate) fn cover(&self, identity: &Identity) -> bool {
        if !self.any.load(Ordering::SeqCst) {
            return false;
        }
        let in_force = read(&self.in_force);
        let covered = |list: &Vec<Revocation>| list.iter().any(|one| one.covers(identity));
        let of_token = identity.token_id().and_then(|id| in_force.tokens.get(id));
        of_token.is_some_and(covered)
            || in_force
                .subjects
                .get(identity.subject())
                .is_some_and(covered)
            || covered(&in_force.everything)
    }

    /// Returns whether the store has been unavailable for so long that nothing is admitted.
    pub(crate) fn are_stale(&self) -> bool {
        self.stale.load(Ordering::SeqCst)
    }

    pub(crate) fn set_stale(&self, stale: bool) {
        self.stale.store(stale, Ordering::SeqCst);
    }

    /// Records a revocation, and removes those of the same kind that have ended by `now`.
    pub(crate) fn add(&self, revocation: &Revocation, now: SystemTime) {
        if matches!(revocation.revoked(), Revoked::Session(_)) || has_ended(revocation, now) {
            return;
        }
        let in_force = &mut *write(&self.in_force);
        let list = match revocation.revoked() {
            Revoked::Token(id) => in_force.tokens.entry(id.clone()).or_default(),
            Revoked::Subject { subject, .. } | Revoked::SubjectAtAnyIssuer(subject) => {
                in_force.subjects.entry(subject.clone()).or_default()
            }
            _ => &mut in_force.everything,
        };
        list.retain(|one| !has_ended(one, now));
        insert_unless_included(list, revocation);
        in_force.first_end = earlier(in_force.first_end, revocation.ends_at());
        self.any.store(true, Ordering::SeqCst);
    }

    /// Removes the revocations that have ended.
    pub(crate) fn purge(&self, now: SystemTime) {
        // Admission waits for the write lock, so take it only if there is something to remove.
        if read(&self.in_force).first_end.is_none_or(|end| now < end) {
            return;
        }
        let in_force = &mut *write(&self.in_force);
        let mut first_end = None;
        let mut lasts = |one: &Revocation| {
            let lasts = !has_ended(one, now);
            if lasts {
                first_end = earlier(first_end, one.ends_at());
            }
            lasts
        };
        for lists in [&mut in_force.tokens, &mut in_force.subjects] {
            lists.retain(|_, list| {
                list.retain(&mut lasts);
                !list.is_empty()
            });
        }
        in_force.everything.retain(&mut lasts);
        in_force.first_end = first_end;
        let lists = [in_force.tokens.len(), in_force.subjects.len()];
        let any = lists != [0, 0] || !in_force.everything.is_empty();
        self.any.store(any, Ordering::SeqCst);
    }
}

/// Inserts a revocation in place of those that it includes, so that a user that logs out often has
/// one entry.
fn insert_unless_included(list: &mut Vec<Revocation>, revocation: &Revocation) {
    if !list.iter().any(|one| one.includes(revocation)) {
        list.retain(|one| !revocation.includes(one));
        list.push(revocation.clone());
    }
}

/// Returns the earlier of two times, where `None` is no time.
fn earlier(one: Option<SystemTime>, other: Option<SystemTime>) -> Option<SystemTime> {
    one.into_iter().chain(other).min()
}

fn has_ended(revocation: &Revocation, now: SystemTime) -> bool {
    revocation.ends_at().is_some_and(|end| end <= now)
}

/// A store of revocations in memory, for several [`Sessions`](crate::Sessions) in one process.
///
/// A single `Sessions` needs no store. To share revocations between several, pass an `Arc` of one
/// store to each [`SessionsBuilder::revocations`](crate::session::SessionsBuilder::revocations).
///
/// ```
/// use std::sync::Arc;
/// use portcullis::{Sessions, session::{MemoryRevocations, Revocation}};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let store = Arc::new(MemoryRevocations::new());
/// let first = Sessions::builder().revocations(Arc::clone(&store)).build();
/// let second = Sessions::builder().revocations(store).build();
/// second.synchronized().await;
/// first.revoke(Revocation::subject(None, "alice")).await?;
/// # Ok::<_, portcullis::session::RevokeError>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct MemoryRevocations<K = SystemClock> {
    // Not a lock of `sync`: the exploration of races does not include stores.
    kept: std::sync::Mutex<Vec<Revocation>>,
    followers: broadcast::Sender<Revocation>,
    clock: K,
}

impl MemoryRevocations {
    /// Creates an empty store.
    pub fn new() -> Self {
        Self::with_clock(SystemClock)
    }
}

impl<K: Clock> MemoryRevocations<K> {
    /// Creates an empty store with another clock. The clock decides when a revocation has ended and
    /// is removed.
    pub fn with_clock(clock: K) -> Self {
        Self {
            kept: std::sync::Mutex::default(),
            followers: broadcast::Sender::new(MAX_BEHIND),
            clock,
        }
    }

    /// Returns all revocations in force, and a receiver of later ones.
    fn subscribe(&self) -> (Vec<Revocation>, broadcast::Receiver<Revocation>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.remove_ended(&mut kept);
        (kept.clone(), self.followers.subscribe())
    }

    fn remove_ended(&self, kept: &mut Vec<Revocation>) {
        let now = self.clock.now();
        kept.retain(|one| !has_ended(one, now));
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
        self.remove_ended(&mut kept);
        insert_unless_included(&mut kept, revocation);
        // Under the lock, so that a new follower gets the revocation once: in its first list, or
        // from the channel. An error means that there are no followers.
        let _ = self.followers.send(revocation.clone());
        Ok(())
    }

    async fn follow(&self, mut follower: impl Follower) {
        loop {
            let (kept, mut later) = self.subscribe();
            follower.synchronized(kept);
            loop {
                match tokio::time::timeout(ALIVE_INTERVAL, later.recv()).await {
                    Ok(Ok(revocation)) => follower.revoked(revocation),
                    // Memory is always available.
                    Err(_) => follower.alive(),
                    // The follower is too far behind and reads the whole list again.
                    Ok(Err(_)) => break,
                }
            }
        }
    }
}

/// The number of revocations that a follower may be behind before it reads the whole list again.
const MAX_BEHIND: usize = 1024;

/// The interval at which a follower learns that the store is available.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ended_revocations_are_removed() {
        let start = SystemTime::UNIX_EPOCH;
        let at = |second| start + Duration::from_secs(second);
        let revocations = Revocations::default();
        let alice = Identity::builder("alice").token_id("t").build();
        assert!(!revocations.cover(&alice));

        revocations.add(&Revocation::token("t").until(at(10)), start);
        revocations.add(&Revocation::subject(None, "bob").until(at(20)), start);
        assert!(revocations.cover(&alice));
        assert!(revocations.cover(&Identity::new("bob")));
        revocations.purge(at(10));
        assert!(!revocations.cover(&alice));
        assert!(revocations.cover(&Identity::new("bob")));
        revocations.purge(at(20));
        assert!(!revocations.any.load(Ordering::SeqCst));

        revocations.add(&Revocation::token("t").until(at(10)), at(30));
        assert!(
            !revocations.cover(&alice),
            "it has ended before it was added"
        );
    }

    #[test]
    fn revocations_of_one_subject_are_merged() {
        let start = SystemTime::UNIX_EPOCH;
        let at = |second| start + Duration::from_secs(second);
        let revocations = Revocations::default();
        let log_out = |second| {
            Revocation::subject(None, "alice")
                .issued_before(at(second))
                .until(at(second + 9))
        };
        for second in [1, 2, 3, 3, 2] {
            revocations.add(&log_out(second), start);
        }
        revocations.add(&log_out(1).until(at(99)), start);
        let kept = read(&revocations.in_force).subjects["alice"].clone();
        assert_eq!(kept, [log_out(3), log_out(1).until(at(99))]);
    }
}
