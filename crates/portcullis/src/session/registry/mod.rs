//! All sessions of one [`Sessions`](super::Sessions), their limits, and the revocations.

mod entry;
mod revocations;

use std::sync::Arc;

use hashbrown::HashTable;
use portcullis_core::Identity;
use tokio::sync::Notify;

#[cfg(test)]
pub(crate) use self::entry::State;
pub(crate) use self::entry::{Ended, Entry, OpenError, Recheck, Seen};
pub use self::revocations::MemoryRevocations;
pub(crate) use self::revocations::Revocations;
use super::SessionId;
use super::sync::{AtomicBool, AtomicUsize, Mutex, Ordering, lock};
use crate::counts::Counts;

/// The sessions of one process, in shards.
///
/// Two rules prevent races and deadlocks:
///
/// * A session is first registered and then compared with the revocations and the shutdown. A
///   revocation is first recorded and then searches the sessions. So at least one of them finds the
///   other.
/// * The lock of a shard is never held together with the lock of a session or of its stream.
pub(crate) struct Registry {
    shards: [Mutex<HashTable<Arc<Entry>>>; SHARDS],
    /// The number of registered sessions, and of those that are being registered.
    live: AtomicUsize,
    subjects: Mutex<Counts<SubjectKey>>,
    limits: Limits,
    is_shut: AtomicBool,
    /// The number of sockets before their clients have authenticated. They have no session yet.
    pending: AtomicUsize,
    shut: Notify,
    emptied: Notify,
    pub(crate) revocations: Arc<Revocations>,
}

/// The maximum number of sessions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) total: usize,
    pub(crate) per_subject: Option<usize>,
}

/// A subject and its issuer. Equal subjects of different issuers are different users.
#[derive(Eq, Hash, PartialEq)]
struct SubjectKey {
    issuer: Option<Box<str>>,
    subject: Box<str>,
}

impl SubjectKey {
    fn of(identity: &Identity) -> Self {
        Self {
            issuer: identity.issuer().map(Into::into),
            subject: identity.subject().into(),
        }
    }
}

/// Why a session is not registered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RegisterError {
    /// The total limit is reached.
    Full,

    /// The credential was revoked.
    Revoked,

    /// The server is shutting down.
    ShutDown,

    /// The limit of the subject is reached.
    SubjectFull,
}

impl Registry {
    pub(crate) fn new(limits: Limits, revocations: Arc<Revocations>) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::new(HashTable::new())),
            live: AtomicUsize::new(0),
            subjects: Mutex::new(Counts::default()),
            limits,
            is_shut: AtomicBool::new(false),
            pending: AtomicUsize::new(0),
            shut: Notify::new(),
            emptied: Notify::new(),
            revocations,
        }
    }

    /// Registers a session, unless a limit is reached, its credential is revoked, or the server is
    /// shutting down.
    pub(crate) fn register(&self, entry: &Arc<Entry>) -> Result<(), RegisterError> {
        let counted = self
            .live
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |live| {
                (live < self.limits.total).then_some(live + 1)
            });
        if counted.is_err() {
            return Err(RegisterError::Full);
        }
        if let Some(limit) = self.limits.per_subject {
            let subject = entry.with_identity(SubjectKey::of);
            if !lock(&self.subjects).try_add(subject, limit) {
                self.count_less();
                return Err(RegisterError::SubjectFull);
            }
        }
        lock(self.shard(entry.id))
            .insert_unique(entry.id.hash(), Arc::clone(entry), |entry| entry.id.hash());
        let error = if self.is_shut.load(Ordering::SeqCst) {
            RegisterError::ShutDown
        } else if entry.with_identity(|identity| self.revocations.cover(identity)) {
            RegisterError::Revoked
        } else {
            return Ok(());
        };
        entry.close_unopened();
        self.release(entry);
        Err(error)
    }

    /// Removes a session. A second call for the same session has no effect.
    pub(crate) fn release(&self, entry: &Entry) {
        let mut shard = lock(self.shard(entry.id));
        let found = shard.find_entry(entry.id.hash(), |other| other.id == entry.id);
        let Ok(found) = found else { return };
        let (removed, _) = found.remove();
        if shard.capacity() > 4 * shard.len() + 64 {
            let capacity = 2 * shard.len();
            shard.shrink_to(capacity, |entry| entry.id.hash());
        }
        drop(shard);
        if self.limits.per_subject.is_some() {
            let subject = removed.with_identity(SubjectKey::of);
            lock(&self.subjects).remove(&subject);
        }
        self.count_less();
    }

    fn count_less(&self) {
        if self.live.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.emptied.notify_waiters();
        }
    }

    pub(crate) fn find(&self, id: SessionId) -> Option<Arc<Entry>> {
        let shard = lock(self.shard(id));
        shard.find(id.hash(), |entry| entry.id == id).cloned()
    }

    /// Returns every session. There is no index by subject: to visit ten thousand sessions takes
    /// two milliseconds.
    pub(crate) fn all(&self) -> Vec<Arc<Entry>> {
        let mut all = Vec::with_capacity(self.len());
        for shard in &self.shards {
            all.extend(lock(shard).iter().cloned());
        }
        all
    }

    /// Returns the sessions of one of [`PARTS`] parts of about equal size. A session stays in its
    /// part.
    pub(crate) fn part(&self, part: usize) -> Vec<Arc<Entry>> {
        let (shard, share) = (part % SHARDS, (part / SHARDS) as u64);
        let shard = lock(&self.shards[shard]);
        let in_part = |entry: &&Arc<Entry>| (entry.id.hash() >> 40) % SHARES == share;
        shard.iter().filter(in_part).cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }

    /// Registers no more sessions from now on.
    pub(crate) fn shut(&self) {
        self.is_shut.store(true, Ordering::SeqCst);
        self.shut.notify_waiters();
    }

    /// Waits for [`shut`](Self::shut).
    #[cfg(feature = "dialects")]
    pub(crate) async fn wait_until_shut(&self) {
        loop {
            let shut = self.shut.notified();
            if self.is_shut.load(Ordering::SeqCst) {
                return;
            }
            shut.await;
        }
    }

    /// Counts one more pending socket.
    #[cfg(feature = "dialects")]
    pub(crate) fn add_pending(&self) {
        self.pending.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts one pending socket less.
    #[cfg(feature = "dialects")]
    pub(crate) fn remove_pending(&self) {
        if self.pending.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.emptied.notify_waiters();
        }
    }

    /// Returns the number of open sockets: those of sessions, and pending ones.
    pub(crate) fn sockets(&self) -> usize {
        self.len() + self.pending.load(Ordering::SeqCst)
    }

    /// Waits until all sockets are closed.
    pub(crate) async fn wait_until_empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.sockets() == 0 {
                return;
            }
            emptied.await;
        }
    }

    fn shard(&self, id: SessionId) -> &Mutex<HashTable<Arc<Entry>>> {
        // The hash table uses the low bits, and `part` the bits above these.
        &self.shards[(id.hash() >> 32) as usize % SHARDS]
    }
}

/// Enough shards that two cores rarely need the same one.
const SHARDS: usize = 16;

/// The number of parts of one shard.
const SHARES: u64 = 15;

/// The number of parts that [`Registry::part`] returns.
pub(crate) const PARTS: usize = SHARDS * SHARES as usize;
