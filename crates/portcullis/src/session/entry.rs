use std::fmt;
use std::mem;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::SystemTime;

use portcullis_core::{Credential, Identity};

use super::close::{CloseCause, CloseFrame};
use super::sync::{Mutex, MutexGuard, lock};
use super::{Policy, SessionId};

/// One session, as the registry knows it.
pub(crate) struct Entry<C> {
    pub(super) id: SessionId,
    pub(super) since: SystemTime,
    pub(super) policy: Arc<Policy<C>>,
    pub(super) peer: Option<Box<SocketAddr>>,
    life: Mutex<Life<C>>,
}

/// What changes in a session, under one lock: whoever sees a part sees the rest beside it.
struct Life<C> {
    identity: Identity<C>,
    state: State,
    /// Milliseconds since 1970.
    deadline: u64,
    warned: bool,
    recheck: Option<Box<Recheck>>,
    watchers: Vec<Watcher>,
    renewals: u32,
}

/// Somebody who waits for a change.
struct Watcher {
    id: u64,
    waker: Waker,
}

/// What somebody who watches a session has seen of it.
#[derive(Debug)]
pub(crate) struct Seen {
    watcher: u64,
    renewals: u32,
    warned: bool,
    ended: bool,
}

/// What somebody who watches a session has not seen yet.
#[derive(Debug)]
pub(crate) enum Changed<C> {
    Renewed(Identity<C>),

    /// The deadline is near, in milliseconds since 1970.
    Expiring(u64),

    Ended(CloseCause),
}

/// Where a session is in its life.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// Admitted; the socket is not there yet.
    Opening,

    /// The socket is in its slot.
    Open(Arc<dyn Evict>),

    /// It has to end. Its socket is not there yet, and closes when it comes.
    Doomed(CloseCause),

    /// It has to end, and the socket is on its way out.
    Closing(CloseCause),

    /// The socket is gone.
    Closed(CloseCause),
}

/// What is needed to ask a verifier again.
pub(crate) struct Recheck {
    pub(crate) credential: Credential,
    /// When to ask, in milliseconds since 1970.
    pub(crate) due: u64,
    /// Until when an answer may fail to come, in milliseconds since 1970.
    pub(crate) good_until: u64,
}

/// A socket that can be taken out of the hands of its handler.
pub(crate) trait Evict: fmt::Debug + Send + Sync {
    /// Takes the socket out, at once. The future sends the frame, waits for the client to answer
    /// and lets the socket go; dropped, it lets it go without.
    fn evict(&self, frame: CloseFrame) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// Looks whether its client is there, and pings it.
    fn look(&self) -> Pulse;

    /// Goes on sending the ping. Whether there is nothing left to do.
    fn flush(&self) -> bool;
}

/// What a look at a socket finds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pulse {
    /// The client lives, or has until the next look to show it.
    Fine,

    /// The same, and the ping is not all on its way.
    Stuck,

    /// Nothing was heard since the last ping.
    Silent,

    /// The client has gone, and nobody has noticed.
    Gone,
}

/// Why a socket is not put under a session's guard.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum NotGuarded {
    /// The session had to end, for this cause, and has waited for its socket with that.
    Doomed(CloseCause),

    /// The session has, or has had, a socket: it has one.
    Taken,
}

/// Whether a session ends here and now, and what is to be done about it.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It does not: it goes on, or it has ended before.
    Not,

    /// It does, and its socket has not come.
    Early,

    /// It does, and this is its socket.
    With(Arc<dyn Evict>),
}

/// Why an identity does not renew a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NotRenewed {
    Ended,
    NotLater,
    OtherAudience,
    OtherSubject,
}

impl<C> Entry<C> {
    pub(super) fn new(
        policy: Arc<Policy<C>>,
        identity: Identity<C>,
        recheck: Option<Box<Recheck>>,
        since: SystemTime,
        deadline: u64,
        peer: Option<SocketAddr>,
    ) -> Self {
        Self {
            id: SessionId::random(),
            since,
            policy,
            peer: peer.map(Box::new),
            life: Mutex::new(Life {
                identity,
                state: State::Opening,
                deadline,
                warned: false,
                recheck,
                watchers: Vec::new(),
                renewals: 0,
            }),
        }
    }

    pub(crate) fn identity(&self) -> Identity<C> {
        lock(&self.life).identity.clone()
    }

    pub(crate) fn deadline(&self) -> u64 {
        lock(&self.life).deadline
    }

    pub(crate) fn state(&self) -> State {
        lock(&self.life).state.clone()
    }

    pub(crate) fn with_identity<T>(&self, look: impl FnOnce(&Identity<C>) -> T) -> T {
        look(&lock(&self.life).identity)
    }

    /// The socket is there.
    pub(crate) fn open(&self, socket: Arc<dyn Evict>) -> Result<(), NotGuarded> {
        let mut life = lock(&self.life);
        match &life.state {
            State::Opening => {
                life.state = State::Open(socket);
                Ok(())
            }
            State::Doomed(cause) => {
                let cause = cause.clone();
                life.state = State::Closing(cause.clone());
                Err(NotGuarded::Doomed(cause))
            }
            State::Open(_) | State::Closing(_) | State::Closed(_) => Err(NotGuarded::Taken),
        }
    }

    /// Its socket, as long as a handler has it.
    pub(crate) fn socket(&self) -> Option<Arc<dyn Evict>> {
        match &lock(&self.life).state {
            State::Open(socket) => Some(Arc::clone(socket)),
            State::Opening | State::Doomed(_) | State::Closing(_) | State::Closed(_) => None,
        }
    }

    /// It has to end. The first cause counts, and whoever brings that gets the socket.
    pub(crate) fn end(&self, cause: CloseCause) -> Ended {
        self.end_if(cause, |_| true)
    }

    /// The same at the deadline, unless a renewal has moved it in the meantime.
    pub(crate) fn expire(&self, now: u64) -> Ended {
        self.end_if(CloseCause::Expired, |life| life.deadline <= now)
    }

    /// The same for an answer about `credential`, unless the session rests on another one by now.
    pub(crate) fn disprove(&self, credential: &Credential, cause: CloseCause) -> Ended {
        self.end_if(cause, |life| {
            let recheck = life.recheck.as_deref();
            recheck.is_some_and(|recheck| recheck.credential.is_same_as(credential))
        })
    }

    fn end_if(&self, cause: CloseCause, still: impl FnOnce(&Life<C>) -> bool) -> Ended {
        let life = lock(&self.life);
        if !still(&life) {
            return Ended::Not;
        }
        let ending = match life.state {
            State::Opening => State::Doomed(cause),
            State::Open(_) => State::Closing(cause),
            State::Doomed(_) | State::Closing(_) | State::Closed(_) => return Ended::Not,
        };
        match turn(life, ending) {
            State::Open(socket) => Ended::With(socket),
            _ => Ended::Early,
        }
    }

    /// Its handler has let go of the socket. `false` if the session has ended before.
    pub(crate) fn leave(&self, cause: CloseCause) -> bool {
        let life = lock(&self.life);
        let is_open = matches!(life.state, State::Open(_));
        if is_open {
            turn(life, State::Closed(cause));
        }
        is_open
    }

    /// Its close is done, or given up. The cause that counts; `None` if nobody is closing it.
    pub(crate) fn finish(&self) -> Option<CloseCause> {
        let life = lock(&self.life);
        let State::Closing(cause) = &life.state else {
            return None;
        };
        let cause = cause.clone();
        turn(life, State::Closed(cause.clone()));
        Some(cause)
    }

    /// Nobody holds the session any more. `false` if its socket has come: then that holds it.
    pub(crate) fn abandon(&self) -> bool {
        let life = lock(&self.life);
        let cause = match &life.state {
            State::Opening => CloseCause::Handler,
            State::Doomed(cause) => cause.clone(),
            State::Open(_) | State::Closing(_) | State::Closed(_) => return false,
        };
        turn(life, State::Closed(cause));
        true
    }

    /// Swaps the identity for a later one of the same subject, in one step.
    pub(crate) fn renew(
        &self,
        identity: Identity<C>,
        recheck: Option<Box<Recheck>>,
        deadline: impl FnOnce(&Identity<C>) -> u64,
    ) -> Result<u64, NotRenewed> {
        let mut life = lock(&self.life);
        if life.state.cause().is_some() {
            return Err(NotRenewed::Ended);
        }
        let present = &life.identity;
        if present.subject() != identity.subject() || present.issuer() != identity.issuer() {
            return Err(NotRenewed::OtherSubject);
        }
        if present.audience() != identity.audience() {
            return Err(NotRenewed::OtherAudience);
        }
        if !is_later(&identity, present) {
            return Err(NotRenewed::NotLater);
        }
        life.deadline = deadline(&identity);
        let deadline = life.deadline;
        // The last reference to the claims may go here, and their drop is not ours.
        let before = mem::replace(&mut life.identity, identity);
        let recheck_before = mem::replace(&mut life.recheck, recheck);
        life.warned = false;
        life.renewals = life.renewals.wrapping_add(1);
        let watchers = mem::take(&mut life.watchers);
        drop(life);
        drop(before);
        drop(recheck_before);
        watchers.into_iter().for_each(Watcher::wake);
        Ok(deadline)
    }

    /// From now on the session warns of its end. `false` if it has warned or has ended.
    pub(crate) fn warn(&self) -> bool {
        let mut life = lock(&self.life);
        if life.warned || !matches!(life.state, State::Open(_)) {
            return false;
        }
        life.warned = true;
        let watchers = mem::take(&mut life.watchers);
        drop(life);
        watchers.into_iter().for_each(Watcher::wake);
        true
    }

    /// For who begins to watch: everything up to now, but for what still holds.
    pub(crate) fn seen(&self) -> Seen {
        Seen {
            watcher: WATCHERS.fetch_add(1, Ordering::Relaxed),
            renewals: lock(&self.life).renewals,
            warned: false,
            ended: false,
        }
    }

    /// The first change that was not seen, and sees it; `None` after the end. Wakes `waker` if there
    /// is one later.
    pub(crate) fn poll_change(&self, seen: &mut Seen, waker: &Waker) -> Poll<Option<Changed<C>>> {
        let mut life = lock(&self.life);
        if life.renewals != seen.renewals {
            seen.renewals = life.renewals;
            seen.warned = false;
            return Poll::Ready(Some(Changed::Renewed(life.identity.clone())));
        }
        if let Some(cause) = life.state.cause() {
            let first = !mem::replace(&mut seen.ended, true);
            return Poll::Ready(first.then(|| Changed::Ended(cause.clone())));
        }
        if life.warned && !mem::replace(&mut seen.warned, true) {
            return Poll::Ready(Some(Changed::Expiring(life.deadline)));
        }
        let known = life
            .watchers
            .iter_mut()
            .find(|watcher| watcher.id == seen.watcher);
        let before = match known {
            Some(watcher) if watcher.waker.will_wake(waker) => None,
            Some(watcher) => Some(mem::replace(&mut watcher.waker, waker.clone())),
            None => {
                life.watchers.push(Watcher {
                    id: seen.watcher,
                    waker: waker.clone(),
                });
                None
            }
        };
        drop(life);
        drop(before);
        Poll::Pending
    }

    /// Whoever has seen this does not watch any more.
    pub(crate) fn unwatch(&self, seen: &Seen) {
        let mut life = lock(&self.life);
        let mut watchers = life.watchers.iter();
        let place = watchers.position(|watcher| watcher.id == seen.watcher);
        let watcher = place.map(|place| life.watchers.swap_remove(place));
        drop(life);
        drop(watcher);
    }

    /// When something is to be done for this session next.
    pub(crate) fn next_wake(&self, warning: u64) -> Option<u64> {
        let life = lock(&self.life);
        if life.state.cause().is_some() {
            return None;
        }
        let mut next = life.deadline;
        if !life.warned && warning > 0 {
            next = next.min(life.deadline.saturating_sub(warning));
        }
        if let Some(recheck) = &life.recheck {
            next = next.min(recheck.due);
        }
        Some(next)
    }

    /// The credential to be asked about, if it is time. The next time is `again`.
    pub(crate) fn recheck_due(&self, now: u64, again: u64) -> Option<Credential> {
        let mut life = lock(&self.life);
        let recheck = life.recheck.as_deref_mut()?;
        if recheck.due > now {
            return None;
        }
        recheck.due = again;
        Some(recheck.credential.clone())
    }

    /// The verifier was asked about `credential`. `false` if it has been away for too long.
    pub(crate) fn recheck_answered(
        &self,
        credential: &Credential,
        now: u64,
        good_until: Option<u64>,
    ) -> bool {
        let mut life = lock(&self.life);
        match (life.recheck.as_deref_mut(), good_until) {
            // Renewed in the meantime: the answer is about another credential.
            (Some(recheck), _) if !recheck.credential.is_same_as(credential) => true,
            (Some(recheck), Some(good_until)) => {
                recheck.good_until = good_until;
                true
            }
            (Some(recheck), None) => now < recheck.good_until,
            (None, _) => true,
        }
    }
}

/// Goes on to the end, or nearer to it. The state before it, with the socket if that was open.
///
/// Nothing is woken or dropped under the lock.
fn turn<C>(mut life: MutexGuard<'_, Life<C>>, state: State) -> State {
    let before = mem::replace(&mut life.state, state);
    let recheck = life.recheck.take();
    let watchers = mem::take(&mut life.watchers);
    drop(life);
    drop(recheck);
    watchers.into_iter().for_each(Watcher::wake);
    before
}

impl State {
    /// Why it has to end, if it has.
    pub(crate) fn cause(&self) -> Option<&CloseCause> {
        match self {
            Self::Opening | Self::Open(_) => None,
            Self::Doomed(cause) | Self::Closing(cause) | Self::Closed(cause) => Some(cause),
        }
    }
}

impl Watcher {
    fn wake(self) {
        self.waker.wake();
    }
}

/// The names of all who watch.
static WATCHERS: AtomicU64 = AtomicU64::new(0);

/// Whether a session that rests on `new` ends later than one that rests on `present`, or never.
fn is_later<C>(new: &Identity<C>, present: &Identity<C>) -> bool {
    let end = |identity: &Identity<C>| {
        let ends = [identity.expires_at(), identity.session_ends_at()];
        ends.into_iter().flatten().min()
    };
    match (end(present), end(new)) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(present), Some(new)) => new > present,
    }
}

impl<C> fmt::Debug for Entry<C> {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What ends first counts: the credential, or what its verifier said about the connection.
    #[test]
    fn which_identity_ends_later() {
        let at =
            |second: Option<u64>| second.map(|s| SystemTime::UNIX_EPOCH + Duration::from_secs(s));
        let identity = |(expiry, told): (Option<u64>, Option<u64>)| -> Identity {
            let builder = Identity::builder("alice").expires_at(at(expiry));
            builder.session_ends_at(at(told)).build()
        };
        let rows = [
            // (expiry, told) now, and of the new one
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
        for (present, new, later) in rows {
            let is = is_later(&identity(new), &identity(present));
            assert_eq!(is, later, "{present:?} {new:?}");
        }
    }
}
