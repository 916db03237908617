//! The registry with shuttle's locks, and the operations of the library on it.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the included files are a part of the library's module"
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

/// Replaces the library's module of the same name.
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
use crate::scenarios::Defect;

/// The settings of the layer, which the registry does not read.
pub(crate) struct Policy;

/// The registry and the steps of `sessions.rs`, without a runtime.
pub(crate) struct Model {
    registry: Registry,
    revocations: Arc<Revocations>,
    defect: Defect,
}

/// An admitted request.
pub(crate) struct Admitted {
    entry: Arc<Entry>,
}

/// Receives every change of a session.
pub(crate) struct Watcher {
    entry: Arc<Entry>,
    seen: Seen,
    defect: Defect,
}

impl Model {
    pub(crate) fn new(defect: Defect, total: usize, per_subject: usize) -> Self {
        let limits = Limits {
            total,
            per_subject: Some(per_subject),
        };
        let revocations = Arc::new(Revocations::default());
        let checked = match defect {
            // The registry checks no revocations.
            Defect::ChecksBeforeRegistering => Arc::default(),
            _ => Arc::clone(&revocations),
        };
        Self {
            registry: Registry::new(limits, checked),
            revocations,
            defect,
        }
    }

    /// Admits alice with a credential that expires at `end`.
    pub(crate) fn admit(&self, end: u64) -> Option<Admitted> {
        let identity = identity(end);
        let policy = Arc::new(Policy);
        let entry = Entry::new(policy, identity, None, at(0), end, None);
        let entry = Arc::new(entry);
        let checks_here = self.defect == Defect::ChecksBeforeRegistering;
        if checks_here && entry.with_identity(|it| self.revocations.cover(it)) {
            return None;
        }
        let registered = self.registry.register(&entry);
        registered.is_ok().then_some(Admitted { entry })
    }

    /// The session receives its socket. If the session has ended, its close finishes at once.
    pub(crate) fn open(&self, session: &Admitted) {
        if session.entry.open(Arc::new(Idle)).is_err() {
            self.finish(&session.entry);
        }
    }

    /// The handler returns.
    pub(crate) fn leave(&self, session: &Admitted) {
        if session.entry.leave(CloseCause::Handler) {
            self.registry.release(&session.entry);
        }
    }

    /// The session never receives a socket.
    pub(crate) fn abandon(&self, session: &Admitted) {
        if session.entry.abandon() && self.defect != Defect::LeaksCapacity {
            self.registry.release(&session.entry);
        }
    }

    /// Revokes the credentials of alice.
    pub(crate) fn revoke(&self) {
        let revocation = Revocation::subject(None, "alice").until(at(1_000));
        if self.defect == Defect::ListsBeforeRecording {
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

    /// Renews a session with a credential that expires at `end`. Returns whether it was accepted.
    pub(crate) fn renew(&self, session: &Admitted, end: u64) -> bool {
        let new = identity(end);
        if self.revocations.cover(&new) {
            return false;
        }
        if session.entry.renew(new, None, |_| end).is_err() {
            return false;
        }
        let covered = session.entry.with_identity(|it| self.revocations.cover(it));
        if covered {
            self.end(std::slice::from_ref(&session.entry), &CloseCause::Revoked);
        }
        !covered
    }

    pub(crate) fn watch(&self, session: &Admitted) -> Watcher {
        Watcher {
            entry: Arc::clone(&session.entry),
            seen: session.entry.seen(),
            defect: self.defect,
        }
    }

    /// The timer of a session fires at `now`.
    pub(crate) fn on_timer(&self, id: SessionId, now: u64) {
        let found = self.registry.find(id);
        if let Some(entry) = found.filter(|entry| entry.deadline() <= now) {
            let ended = match self.defect {
                Defect::ExpiresRenewedSessions => entry.end(CloseCause::Expired),
                _ => entry.expire(now),
            };
            self.closed(&entry, &ended);
        }
    }

    pub(crate) fn close(&self, session: &Admitted) {
        let frame = CloseFrame::new(4000, "");
        self.end(
            std::slice::from_ref(&session.entry),
            &CloseCause::Application(frame),
        );
    }

    /// Refuses new sessions and ends all others.
    pub(crate) fn shutdown(&self) {
        self.registry.shut();
        self.end(&self.registry.all(), &CloseCause::Shutdown);
    }

    fn end(&self, entries: &[Arc<Entry>], cause: &CloseCause) {
        for entry in entries {
            self.closed(entry, &entry.end(cause.clone()));
        }
    }

    /// Finishes the close of a socket. In the library a task does this.
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

    /// The number of registered sessions, and the capacity that they use.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.registry.all().len(), self.registry.len())
    }
}

impl Watcher {
    /// Every change until the session ends: the expiry of a renewal, the cause of the end.
    pub(crate) fn all(&mut self) -> Vec<String> {
        let mut received = Vec::new();
        while let Some(changed) = shuttle::future::block_on(poll_fn(|context| {
            self.entry.poll_change(&mut self.seen, context.waker())
        })) {
            let has_ended = matches!(changed, Changed::Ended(_));
            received.push(match changed {
                Changed::Renewed(identity) => {
                    let end = identity.expires_at().expect("a credential expires");
                    let end = end.duration_since(SystemTime::UNIX_EPOCH);
                    end.expect("times are after the epoch")
                        .as_secs()
                        .to_string()
                }
                Changed::Expiring(_) => "expiring".to_owned(),
                Changed::Ended(cause) => cause.to_string(),
            });
            if self.defect == Defect::SkipsChanges && !has_ended {
                self.seen = self.entry.seen();
            }
        }
        received
    }
}

impl Admitted {
    pub(crate) fn id(&self) -> SessionId {
        self.entry.id
    }

    /// Whether the handler has the socket.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.entry.state(), State::Open(_))
    }

    /// Why the session has ended, if it has.
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
