//! The registry, over shuttle's locks.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "a part of the library's own module"
)]

#[path = "../../src/session/entry/mod.rs"]
mod entry;
#[path = "../../src/session/evict.rs"]
mod evict;
#[path = "../../src/session/id.rs"]
mod id;
#[path = "../../src/session/registry.rs"]
mod registry;
#[path = "../../src/session/revocations.rs"]
mod revocations;

/// Stands in for the file of the same name.
mod sync {
    use std::sync::PoisonError;

    use shuttle::sync::{RwLockReadGuard, RwLockWriteGuard};

    pub(super) use shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    pub(super) use shuttle::sync::{Mutex, MutexGuard, RwLock};

    pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
        lock.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
        lock.write().unwrap_or_else(PoisonError::into_inner)
    }
}

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis::Identity;
use portcullis::session::Revocation;

use self::entry::{Changed, Ended, Entry, Seen, State};
use self::evict::Idle;
pub(crate) use self::id::SessionId;
use self::registry::{Limits, Registry};
use self::revocations::Revocations;
use crate::close::{CloseCause, CloseFrame};
use crate::scenarios::Naive;

/// What a session keeps of its layer, which the registry never looks into.
pub(crate) struct SessionContext;

/// The registry with what the library does to it: the steps of `sessions.rs`, without its runtime.
pub(crate) struct House {
    registry: Registry,
    revocations: Arc<Revocations>,
    naive: Naive,
}

/// One admitted request.
pub(crate) struct Guest {
    entry: Arc<Entry>,
}

/// Somebody who hears of every change of a session.
pub(crate) struct Watch {
    entry: Arc<Entry>,
    seen: Seen,
    naive: Naive,
}

impl House {
    pub(crate) fn new(naive: Naive, total: usize, per_subject: usize) -> Self {
        let limits = Limits {
            total,
            per_subject: Some(per_subject),
        };
        let revocations = Arc::new(Revocations::default());
        // A registry that does not look knows of none.
        let looked_at = match naive {
            Naive::ChecksFirst => Arc::default(),
            _ => Arc::clone(&revocations),
        };
        Self {
            registry: Registry::new(limits, looked_at),
            revocations,
            naive,
        }
    }

    /// Admits alice, by a credential that ends at `end`.
    pub(crate) fn admit(&self, end: u64) -> Option<Guest> {
        let identity = identity(end);
        let context = Arc::new(SessionContext);
        let entry = Entry::new(context, identity, None, at(0), end, None);
        let entry = Arc::new(entry);
        if self.naive == Naive::ChecksFirst {
            // As one would write it: who is revoked is not let in.
            if entry.with_identity(|it| self.revocations.cover(it)) {
                return None;
            }
        }
        let registered = self.registry.register(&entry);
        registered.is_ok().then_some(Guest { entry })
    }

    /// The socket of a session comes. If that had to end, its close is done at once.
    pub(crate) fn open(&self, guest: &Guest) {
        if guest.entry.open(Arc::new(Idle)).is_err() {
            self.finish(&guest.entry);
        }
    }

    /// The handler is done with it.
    pub(crate) fn leave(&self, guest: &Guest) {
        if guest.entry.leave(CloseCause::Handler) {
            self.registry.release(&guest.entry);
        }
    }

    /// Its socket never comes.
    pub(crate) fn abandon(&self, guest: &Guest) {
        if guest.entry.abandon() && self.naive != Naive::ForgetsThePlace {
            self.registry.release(&guest.entry);
        }
    }

    /// Takes alice's credentials back.
    pub(crate) fn revoke(&self) {
        let revocation = Revocation::subject(None, "alice").until(at(1_000));
        if self.naive == Naive::LooksFirst {
            let all = self.registry.all();
            self.revocations.add(&revocation, at(0));
            self.end(&all, &CloseCause::Revoked);
            return;
        }
        self.revocations.add(&revocation, at(0));
        let covered: Vec<_> = self
            .registry
            .all()
            .into_iter()
            .filter(|entry| entry.with_identity(|it| self.revocations.cover(it)))
            .collect();
        self.end(&covered, &CloseCause::Revoked);
    }

    /// A new credential that ends at `end`; whether it renews the session.
    pub(crate) fn renew(&self, guest: &Guest, end: u64) -> bool {
        let new = identity(end);
        if self.revocations.cover(&new) {
            return false;
        }
        if guest.entry.renew(new, None, |_| end).is_err() {
            return false;
        }
        let covered = guest.entry.with_identity(|it| self.revocations.cover(it));
        if covered {
            self.end(std::slice::from_ref(&guest.entry), &CloseCause::Revoked);
        }
        !covered
    }

    /// Watches a session from now on.
    pub(crate) fn watch(&self, guest: &Guest) -> Watch {
        Watch {
            entry: Arc::clone(&guest.entry),
            seen: guest.entry.seen(),
            naive: self.naive,
        }
    }

    /// The timer of a session has come, at `now`.
    pub(crate) fn attend(&self, id: SessionId, now: u64) {
        let found = self.registry.find(id);
        if let Some(entry) = found.filter(|entry| entry.deadline() <= now) {
            let ended = match self.naive {
                Naive::ExpiresBlindly => entry.end(CloseCause::Expired),
                _ => entry.expire(now),
            };
            self.closed(&entry, &ended);
        }
    }

    pub(crate) fn close(&self, guest: &Guest) {
        let frame = CloseFrame::new(4000, "");
        self.end(
            std::slice::from_ref(&guest.entry),
            &CloseCause::Application(frame),
        );
    }

    /// Nobody is let in any more, and everybody goes.
    pub(crate) fn shutdown(&self) {
        self.registry.shut();
        self.end(&self.registry.all(), &CloseCause::Shutdown);
    }

    fn end(&self, entries: &[Arc<Entry>], cause: &CloseCause) {
        for entry in entries {
            self.closed(entry, &entry.end(cause.clone()));
        }
    }

    /// The close of a socket that was taken, which is a matter of its own in the library.
    fn closed(&self, entry: &Entry, ended: &Ended) {
        if let Ended::With(_) = ended {
            self.finish(entry);
        }
    }

    fn finish(&self, entry: &Entry) {
        if entry.finish().is_some() {
            self.registry.release(entry);
        }
    }

    /// How many there are, and how many places are taken.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.registry.all().len(), self.registry.len())
    }
}

impl Watch {
    /// What it hears, to the end: of a renewal its end, of the end its cause.
    pub(crate) fn all(&mut self) -> Vec<String> {
        let mut heard = Vec::new();
        while let Some(changed) = shuttle::future::block_on(poll_fn(|context| {
            self.entry.poll_change(&mut self.seen, context.waker())
        })) {
            let has_ended = matches!(changed, Changed::Ended(_));
            heard.push(match changed {
                Changed::Renewed(identity) => {
                    let end = identity.expires_at().expect("it has one");
                    let end = end.duration_since(SystemTime::UNIX_EPOCH);
                    end.expect("it is later").as_secs().to_string()
                }
                Changed::Expiring(_) => "expiring".to_owned(),
                Changed::Ended(cause) => cause.to_string(),
            });
            if self.naive == Naive::Forgets && !has_ended {
                // As one would write it: from here on.
                self.seen = self.entry.seen();
            }
        }
        heard
    }
}

impl Guest {
    pub(crate) fn id(&self) -> SessionId {
        self.entry.id
    }

    /// Whether its socket is in a handler's hands.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.entry.state(), State::Open(_))
    }

    /// Why it has ended, if it has.
    pub(crate) fn cause(&self) -> Option<&'static str> {
        self.entry.state().cause().map(CloseCause::as_str)
    }
}

fn identity(end: u64) -> Identity {
    let builder = Identity::builder("alice").issued_at(at(0));
    builder.expires_at(at(end)).build()
}

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}
