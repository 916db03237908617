//! One session: its state, and everything that changes it.

use std::fmt;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::{Duration, SystemTime};

use portcullis_core::{Credential, Identity};

use crate::close::CloseCause;
use crate::session::handle::{RenewError, SessionContext};
use crate::session::sessions::Sessions;
use crate::session::slot::SessionStream;
use crate::session::sync::{AtomicUsize, Mutex, MutexGuard, lock};
use crate::session::{Change, SessionId, SessionInfo};

/// One session in the registry.
pub(crate) struct Entry {
    pub(crate) id: SessionId,
    pub(crate) since: SystemTime,
    pub(crate) context: Arc<SessionContext>,
    peer: Option<Box<SocketAddr>>,
    /// The number of handles that release the session if its socket never opens.
    unopened: AtomicUsize,
    life: Mutex<Life>,
}

/// The mutable part of a session. All of it is under one lock, so that readers see a consistent
/// state.
///
/// Wakers and values of the application are woken and dropped after the lock is released.
struct Life {
    identity: Identity,
    state: State,
    /// The deadline, in milliseconds since 1970.
    deadline: u64,
    warned: bool,
    /// Whether a stream was passed to [`Entry::open`].
    has_stream: bool,
    recheck: Option<Box<Recheck>>,
    watchers: Watchers,
    renewals: u32,
}

/// The state of a session.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// Admitted; the socket is not open yet.
    Opening,

    /// The handler uses the socket.
    Open(Arc<dyn SessionStream>),

    /// The session must close, but its socket is not open yet. It closes as soon as it opens.
    EndingEarly(CloseCause),

    /// The socket was taken out of its slot and is being closed.
    Closing(CloseCause),

    /// The socket is released.
    Closed(CloseCause),
}

/// Why a session does not accept a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum OpenError {
    /// The session ended before its stream opened.
    Ended(CloseCause),

    /// The session has, or had, another stream.
    AlreadyOpened,
}

/// What remains to do for a session that has just ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Nothing: its stream is not open yet.
    Early,

    /// This stream has to be closed.
    Open(Arc<dyn SessionStream>),
}

/// The data for verifying a session's credential again.
pub(crate) struct Recheck {
    pub(crate) credential: Credential,
    /// The time of the next verification, in milliseconds since 1970.
    pub(crate) due: u64,
    /// The time until which the verifier may be unavailable, in milliseconds since 1970.
    pub(crate) good_until: u64,
}

impl Entry {
    pub(crate) fn new(
        context: Arc<SessionContext>,
        identity: Identity,
        recheck: Option<Box<Recheck>>,
        since: SystemTime,
        deadline: u64,
        peer: Option<SocketAddr>,
    ) -> Self {
        Self {
            id: SessionId::random(),
            since,
            context,
            peer: peer.map(Box::new),
            unopened: AtomicUsize::new(0),
            life: Mutex::new(Life {
                identity,
                state: State::Opening,
                deadline,
                warned: false,
                has_stream: false,
                recheck,
                watchers: Watchers::default(),
                renewals: 0,
            }),
        }
    }

    /// Returns the sessions that this one belongs to.
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.context.sessions
    }

    pub(crate) fn identity(&self) -> Identity {
        lock(&self.life).identity.clone()
    }

    pub(crate) fn with_identity<T>(&self, look: impl FnOnce(&Identity) -> T) -> T {
        look(&lock(&self.life).identity)
    }

    pub(crate) fn deadline(&self) -> u64 {
        lock(&self.life).deadline
    }

    /// Returns the time until the deadline.
    pub(crate) fn time_left(&self) -> Duration {
        self.time_until(self.deadline())
    }

    pub(crate) fn state(&self) -> State {
        lock(&self.life).state.clone()
    }

    /// Returns the stream, if the session is open.
    pub(crate) fn stream(&self) -> Option<Arc<dyn SessionStream>> {
        match &lock(&self.life).state {
            State::Open(stream) => Some(Arc::clone(stream)),
            State::Opening | State::EndingEarly(_) | State::Closing(_) | State::Closed(_) => None,
        }
    }

    pub(crate) fn info(&self) -> SessionInfo {
        let (identity, deadline) = {
            let life = lock(&self.life);
            (life.identity.clone(), life.deadline)
        };
        SessionInfo {
            id: self.id,
            identity,
            since: self.since,
            deadline: SystemTime::UNIX_EPOCH + Duration::from_millis(deadline),
            peer: self.peer.as_deref().copied(),
        }
    }

    /// Opens the session with its stream.
    ///
    /// `report` is called before the session is open, and only for the session's first stream. So
    /// an end of the session is always reported after it.
    pub(crate) fn open(
        &self,
        stream: Arc<dyn SessionStream>,
        report: impl FnOnce(),
    ) -> Result<(), OpenError> {
        {
            let mut life = lock(&self.life);
            let expects_stream = matches!(life.state, State::Opening | State::EndingEarly(_));
            if !expects_stream || life.has_stream {
                return Err(OpenError::AlreadyOpened);
            }
            life.has_stream = true;
        }
        report();
        let mut life = lock(&self.life);
        match &life.state {
            State::Opening => {
                life.state = State::Open(stream);
                Ok(())
            }
            State::EndingEarly(cause) => {
                let cause = cause.clone();
                life.state = State::Closing(cause.clone());
                Err(OpenError::Ended(cause))
            }
            State::Open(_) | State::Closing(_) | State::Closed(_) => Err(OpenError::AlreadyOpened),
        }
    }

    /// Ends the session. Returns `None` if it has ended before: the first cause is kept.
    pub(crate) fn end(&self, cause: CloseCause) -> Option<Ended> {
        self.end_if(cause, |_| true)
    }

    /// Ends the session if its deadline has passed. A renewal may have moved the deadline.
    pub(crate) fn expire(&self, now: u64) -> Option<Ended> {
        self.end_if(CloseCause::Expired, |life| life.deadline <= now)
    }

    /// Ends the session if it still depends on `credential`. A renewal may have replaced it.
    pub(crate) fn end_for_credential(
        &self,
        credential: &Credential,
        cause: CloseCause,
    ) -> Option<Ended> {
        self.end_if(cause, |life| {
            let recheck = life.recheck.as_deref();
            recheck.is_some_and(|recheck| recheck.credential.is_same_as(credential))
        })
    }

    fn end_if(&self, cause: CloseCause, condition: impl FnOnce(&Life) -> bool) -> Option<Ended> {
        let life = lock(&self.life);
        if !condition(&life) {
            return None;
        }
        let ending = match life.state {
            State::Opening => State::EndingEarly(cause),
            State::Open(_) => State::Closing(cause),
            State::EndingEarly(_) | State::Closing(_) | State::Closed(_) => return None,
        };
        Some(match set_ending(life, ending) {
            State::Open(stream) => Ended::Open(stream),
            _ => Ended::Early,
        })
    }

    /// Closes an open session after its handler has dropped the socket. Returns `false` if the
    /// session is not open.
    pub(crate) fn close(&self, cause: CloseCause) -> bool {
        let life = lock(&self.life);
        let is_open = matches!(life.state, State::Open(_));
        if is_open {
            set_ending(life, State::Closed(cause));
        }
        is_open
    }

    /// Records that the stream of a closing session is released. Returns the cause, or `None` if
    /// the session is not closing.
    pub(crate) fn finish_closing(&self) -> Option<CloseCause> {
        let life = lock(&self.life);
        let State::Closing(cause) = &life.state else {
            return None;
        };
        let cause = cause.clone();
        set_ending(life, State::Closed(cause.clone()));
        Some(cause)
    }

    /// Counts one more handle from before the socket opened.
    pub(crate) fn add_unopened(&self) {
        self.unopened.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one such handle less, and returns whether it was the last one.
    pub(crate) fn remove_unopened(&self) -> bool {
        self.unopened.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Closes a session after all handles were dropped before its socket opened. Returns `false` if
    /// the socket has opened.
    pub(crate) fn close_unopened(&self) -> bool {
        let life = lock(&self.life);
        let cause = match &life.state {
            State::Opening => CloseCause::Handler,
            State::EndingEarly(cause) => cause.clone(),
            State::Open(_) | State::Closing(_) | State::Closed(_) => return false,
        };
        set_ending(life, State::Closed(cause));
        true
    }

    /// Replaces the identity by a later one of the same subject, in one step. Returns the new
    /// deadline.
    pub(crate) fn renew(
        &self,
        identity: Identity,
        recheck: Option<Box<Recheck>>,
        deadline: impl FnOnce(&Identity) -> u64,
    ) -> Result<u64, RenewError> {
        let mut life = lock(&self.life);
        if life.state.cause().is_some() {
            return Err(RenewError::Ended);
        }
        let present = &life.identity;
        if present.subject() != identity.subject() || present.issuer() != identity.issuer() {
            return Err(RenewError::OtherSubject);
        }
        if present.audience() != identity.audience() {
            return Err(RenewError::OtherAudience);
        }
        if !ends_later(&identity, present) {
            return Err(RenewError::NotLater);
        }
        let deadline = deadline(&identity);
        life.deadline = deadline;
        let old_identity = mem::replace(&mut life.identity, identity);
        let old_recheck = mem::replace(&mut life.recheck, recheck);
        life.warned = false;
        life.renewals = life.renewals.wrapping_add(1);
        let watchers = mem::take(&mut life.watchers);
        drop(life);
        drop(old_identity);
        drop(old_recheck);
        watchers.wake();
        Ok(deadline)
    }

    /// Reports to watchers that the deadline is near. Returns `false` if it was reported before, or
    /// if the session is not open.
    pub(crate) fn warn(&self) -> bool {
        let mut life = lock(&self.life);
        if life.warned || !matches!(life.state, State::Open(_)) {
            return false;
        }
        life.warned = true;
        let watchers = mem::take(&mut life.watchers);
        drop(life);
        watchers.wake();
        true
    }

    /// Returns the credential to verify again, if that is due, and sets the next time to `next`.
    pub(crate) fn recheck_due(&self, now: u64, next: u64) -> Option<Credential> {
        let mut life = lock(&self.life);
        let recheck = life.recheck.as_deref_mut()?;
        if recheck.due > now {
            return None;
        }
        recheck.due = next;
        Some(recheck.credential.clone())
    }

    /// Records that the verifier still accepts `credential`.
    pub(crate) fn recheck_passed(&self, credential: &Credential, good_until: u64) {
        let mut life = lock(&self.life);
        if let Some(recheck) = life.recheck.as_deref_mut()
            && recheck.credential.is_same_as(credential)
        {
            recheck.good_until = good_until;
        }
    }

    /// Returns whether the session stays open although the verifier of `credential` is unavailable.
    pub(crate) fn tolerates_outage(&self, credential: &Credential, now: u64) -> bool {
        match lock(&self.life).recheck.as_deref() {
            Some(recheck) if recheck.credential.is_same_as(credential) => now < recheck.good_until,
            // A renewal has replaced the credential.
            Some(_) | None => true,
        }
    }

    /// Returns the time at which the keeper has to handle this session next, in milliseconds since
    /// 1970. `warning` is the time between warning and deadline; zero if there is no warning.
    pub(crate) fn next_wake(&self, warning: u64) -> Option<u64> {
        let life = lock(&self.life);
        if life.state.cause().is_some() {
            return None;
        }
        let mut next = life.deadline;
        if !life.warned && warning > 0 && matches!(life.state, State::Open(_)) {
            next = next.min(life.deadline.saturating_sub(warning));
        }
        if let Some(recheck) = &life.recheck {
            next = next.min(recheck.due);
        }
        Some(next)
    }

    /// Starts to watch the session. The watcher sees changes from now on, and also a warning or an
    /// end that is in effect already.
    pub(crate) fn watch(&self) -> Seen {
        Seen {
            watcher: NEXT_WATCHER.fetch_add(1, Ordering::Relaxed),
            renewals: lock(&self.life).renewals,
            warned: false,
            ended: false,
        }
    }

    /// Polls for the first change that the watcher has not seen; `None` after the end.
    pub(crate) fn poll_change(&self, seen: &mut Seen, waker: &Waker) -> Poll<Option<Change>> {
        let mut life = lock(&self.life);
        if life.renewals != seen.renewals {
            seen.renewals = life.renewals;
            seen.warned = false;
            return Poll::Ready(Some(Change::Renewed(life.identity.clone())));
        }
        if let Some(cause) = life.state.cause() {
            let is_new = !mem::replace(&mut seen.ended, true);
            return Poll::Ready(is_new.then(|| Change::Ended(cause.clone())));
        }
        if life.warned && !mem::replace(&mut seen.warned, true) {
            let deadline = life.deadline;
            drop(life);
            return Poll::Ready(Some(Change::Expiring(self.time_until(deadline))));
        }
        let replaced = life.watchers.insert(seen.watcher, waker);
        drop(life);
        drop(replaced);
        Poll::Pending
    }

    /// Forgets the waker of a watcher.
    pub(crate) fn unwatch(&self, seen: &Seen) {
        let waker = lock(&self.life).watchers.remove(seen.watcher);
        drop(waker);
    }

    fn time_until(&self, deadline: u64) -> Duration {
        Duration::from_millis(deadline.saturating_sub(self.sessions().now_millis()))
    }
}

/// Sets a state without future renewals, wakes the watchers, and returns the previous state.
fn set_ending(mut life: MutexGuard<'_, Life>, state: State) -> State {
    let previous = mem::replace(&mut life.state, state);
    let recheck = life.recheck.take();
    let watchers = mem::take(&mut life.watchers);
    drop(life);
    drop(recheck);
    watchers.wake();
    previous
}

/// Returns whether a session with `new` ends later than one with `present`, or never.
fn ends_later(new: &Identity, present: &Identity) -> bool {
    let end = |identity: &Identity| {
        let ends = [identity.expires_at(), identity.session_ends_at()];
        ends.into_iter().flatten().min()
    };
    match (end(present), end(new)) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(present), Some(new)) => new > present,
    }
}

impl State {
    /// Returns why the session ends or has ended.
    pub(crate) fn cause(&self) -> Option<&CloseCause> {
        match self {
            Self::Opening | Self::Open(_) => None,
            Self::EndingEarly(cause) | Self::Closing(cause) | Self::Closed(cause) => Some(cause),
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let life = lock(&self.life);
        f.debug_struct("Entry")
            .field("id", &self.id)
            .field("state", &life.state)
            .field("subject", &life.identity.subject())
            .field("deadline", &life.deadline)
            .finish_non_exhaustive()
    }
}

/// The changes that one watcher of a session has seen.
#[derive(Debug)]
pub(crate) struct Seen {
    watcher: u64,
    renewals: u32,
    warned: bool,
    ended: bool,
}

/// The wakers of the watchers that wait for a change.
#[derive(Default)]
struct Watchers(Vec<(u64, Waker)>);

impl Watchers {
    fn wake(self) {
        self.0.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Inserts the waker of a watcher, and returns the one that it replaces.
    fn insert(&mut self, watcher: u64, waker: &Waker) -> Option<Waker> {
        let known = self.0.iter_mut().find(|(known, _)| *known == watcher);
        match known {
            Some((_, known)) if known.will_wake(waker) => None,
            Some((_, known)) => Some(mem::replace(known, waker.clone())),
            None => {
                self.0.push((watcher, waker.clone()));
                None
            }
        }
    }

    fn remove(&mut self, watcher: u64) -> Option<Waker> {
        let index = self.0.iter().position(|(known, _)| *known == watcher)?;
        Some(self.0.swap_remove(index).1)
    }
}

static NEXT_WATCHER: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests {
    use super::*;

    /// A session ends at the earlier of the expiry and the end that the verifier set.
    #[test]
    fn later_identities_renew() {
        let at =
            |second: Option<u64>| second.map(|s| SystemTime::UNIX_EPOCH + Duration::from_secs(s));
        let identity = |(expiry, session_end): (Option<u64>, Option<u64>)| -> Identity {
            let builder = Identity::builder("alice").expires_at(at(expiry));
            builder.session_ends_at(at(session_end)).build()
        };
        let rows = [
            // (expiry, session end) of the present and of the new identity
            ((Some(9), None), (Some(10), None), true),
            ((Some(9), None), (Some(9), None), false),
            ((Some(9), None), (Some(8), None), false),
            ((Some(9), None), (None, None), true),
            ((None, None), (None, None), true),
            ((None, None), (Some(9), None), false),
            ((None, Some(5)), (None, Some(6)), true),
            ((None, Some(5)), (None, Some(5)), false),
            ((Some(9), Some(5)), (Some(9), Some(6)), true),
            ((Some(9), Some(5)), (Some(9), None), true),
            ((Some(9), Some(9)), (Some(9), Some(12)), false),
            ((Some(9), Some(5)), (Some(12), Some(5)), false),
        ];
        for (present, new, expected) in rows {
            let later = ends_later(&identity(new), &identity(present));
            assert_eq!(later, expected, "{present:?} {new:?}");
        }
    }
}
