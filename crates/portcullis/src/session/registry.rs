use std::collections::HashMap;
use std::sync::Arc;

use hashbrown::HashTable;
use portcullis_core::Identity;

use super::SessionId;
use super::entry::Entry;
use super::revocations::Revocations;
use super::sync::{AtomicBool, AtomicUsize, Mutex, Ordering, lock};

/// All sessions of one process that share a fate.
///
/// Two rules keep it free of races. A session is registered first and compared with the
/// revocations, and with the shutdown, afterwards; who revokes takes note of the revocation first
/// and looks for sessions afterwards. So one of them sees the other. And no lock is taken under
/// another: what a session does with its socket never waits for the registry.
pub(crate) struct Registry {
    shards: [Mutex<HashTable<Arc<Entry>>>; SHARDS],
    live: AtomicUsize,
    subjects: Mutex<HashMap<SubjectKey, usize>>,
    limits: Limits,
    shut: AtomicBool,
    pub(super) revocations: Arc<Revocations>,
}

/// How many sessions there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) total: usize,
    pub(crate) per_subject: Option<usize>,
}

/// A subject of an issuer. Equal subjects of different issuers are different users.
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
pub(crate) enum NotRegistered {
    Full,
    Revoked,
    ShutDown,
    SubjectFull,
}

impl Registry {
    pub(super) fn new(limits: Limits, revocations: Arc<Revocations>) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::new(HashTable::new())),
            live: AtomicUsize::new(0),
            subjects: Mutex::new(HashMap::new()),
            limits,
            shut: AtomicBool::new(false),
            revocations,
        }
    }

    /// Lets a session in, if there is room, the server goes on, and nobody has revoked it.
    pub(super) fn register(&self, entry: &Arc<Entry>) -> Result<(), NotRegistered> {
        let room = self
            .live
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |live| {
                (live < self.limits.total).then_some(live + 1)
            });
        if room.is_err() {
            return Err(NotRegistered::Full);
        }
        if let Some(limit) = self.limits.per_subject {
            let subject = entry.with_identity(SubjectKey::of);
            let mut subjects = lock(&self.subjects);
            // Nothing is kept of who is refused, also if nobody is to be let in.
            if subjects.get(&subject).copied().unwrap_or(0) >= limit {
                drop(subjects);
                self.live.fetch_sub(1, Ordering::SeqCst);
                return Err(NotRegistered::SubjectFull);
            }
            *subjects.entry(subject).or_default() += 1;
        }
        lock(self.shard(entry.id))
            .insert_unique(entry.id.hash(), Arc::clone(entry), |entry| entry.id.hash());
        let refused = if self.shut.load(Ordering::SeqCst) {
            NotRegistered::ShutDown
        } else if entry.with_identity(|identity| self.revocations.cover(identity)) {
            NotRegistered::Revoked
        } else {
            return Ok(());
        };
        entry.abandon();
        self.release(entry);
        Err(refused)
    }

    /// Forgets a session. Whoever is first gives its place back.
    pub(super) fn release(&self, entry: &Entry) {
        let mut shard = lock(self.shard(entry.id));
        let found = shard.find_entry(entry.id.hash(), |other| other.id == entry.id);
        let Ok(found) = found else { return };
        let (removed, _) = found.remove();
        if shard.capacity() > 4 * shard.len() + 64 {
            let room = 2 * shard.len();
            shard.shrink_to(room, |entry| entry.id.hash());
        }
        drop(shard);
        if self.limits.per_subject.is_some() {
            let subject = removed.with_identity(SubjectKey::of);
            let mut subjects = lock(&self.subjects);
            if let Some(count) = subjects.get_mut(&subject) {
                *count -= 1;
                if *count == 0 {
                    subjects.remove(&subject);
                }
            }
        }
        self.live.fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn find(&self, id: SessionId) -> Option<Arc<Entry>> {
        let shard = lock(self.shard(id));
        shard.find(id.hash(), |entry| entry.id == id).cloned()
    }

    /// Every session at some moment of the call. It looks at each: two milliseconds for ten
    /// thousand, which is why there is no index.
    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        let mut all = Vec::with_capacity(self.len());
        for shard in &self.shards {
            all.extend(lock(shard).iter().cloned());
        }
        all
    }

    /// One of [`PARTS`] that are about as large as each other. A session stays in its part.
    pub(super) fn part(&self, part: usize) -> Vec<Arc<Entry>> {
        let (shard, share) = (part % SHARDS, (part / SHARDS) as u64);
        let shard = lock(&self.shards[shard]);
        let theirs = |entry: &&Arc<Entry>| (entry.id.hash() >> 40) % SHARES == share;
        shard.iter().filter(theirs).cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }

    /// From now on nobody is let in.
    pub(super) fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
    }

    fn shard(&self, id: SessionId) -> &Mutex<HashTable<Arc<Entry>>> {
        // The low bits choose the place within a shard, and higher ones the part.
        &self.shards[(id.hash() >> 32) as usize % SHARDS]
    }
}

/// Enough that two cores rarely meet.
const SHARDS: usize = 16;

/// How many parts a shard has.
const SHARES: u64 = 15;

/// How many parts there are to be looked at one after the other.
pub(super) const PARTS: usize = SHARDS * SHARES as usize;
