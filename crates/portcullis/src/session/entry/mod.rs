mod recheck;
mod renew;
mod watch;

use std::fmt;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use portcullis_core::{Credential, Identity};

pub(super) use self::recheck::Recheck;
pub use self::renew::RenewError;
use self::watch::Watchers;
pub(super) use self::watch::{Changed, Seen};
use super::evict::Evict;
use super::sync::{Mutex, MutexGuard, lock};
use super::{SessionContext, SessionId};
use crate::close::CloseCause;

/// One session, as the registry knows it.
pub(crate) struct Entry {
    pub(super) id: SessionId,
    pub(super) since: SystemTime,
    pub(super) context: Arc<SessionContext>,
    pub(super) peer: Option<Box<SocketAddr>>,
    life: Mutex<Life>,
}

/// What changes in a session, under one lock: whoever sees a part sees the rest beside it. Nothing
/// is woken under it, and nothing that is not ours is dropped there.
struct Life {
    identity: Identity,
    state: State,
    /// Milliseconds since 1970.
    deadline: u64,
    warned: bool,
    recheck: Option<Box<Recheck>>,
    watchers: Watchers,
    renewals: u32,
}

/// Where a session is in its life.
#[derive(Clone, Debug)]
pub(super) enum State {
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

/// Why a socket is not put under a session's guard.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum NotGuarded {
    /// The session had to end, for this cause, and has waited for its socket with that.
    Doomed(CloseCause),

    /// The session has, or has had, a socket: it has one.
    Taken,
}

/// Whether a session ends here and now, and what is to be done about it.
#[derive(Debug)]
pub(super) enum Ended {
    /// It does not: it goes on, or it has ended before.
    Not,

    /// It does, and its socket has not come.
    Early,

    /// It does, and this is its socket.
    With(Arc<dyn Evict>),
}

impl Entry {
    pub(super) fn new(
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
            life: Mutex::new(Life {
                identity,
                state: State::Opening,
                deadline,
                warned: false,
                recheck,
                watchers: Watchers::default(),
                renewals: 0,
            }),
        }
    }

    pub(super) fn identity(&self) -> Identity {
        lock(&self.life).identity.clone()
    }

    pub(super) fn with_identity<T>(&self, look: impl FnOnce(&Identity) -> T) -> T {
        look(&lock(&self.life).identity)
    }

    pub(super) fn deadline(&self) -> u64 {
        lock(&self.life).deadline
    }

    pub(super) fn state(&self) -> State {
        lock(&self.life).state.clone()
    }

    /// Its socket, as long as a handler has it.
    pub(super) fn socket(&self) -> Option<Arc<dyn Evict>> {
        match &lock(&self.life).state {
            State::Open(socket) => Some(Arc::clone(socket)),
            State::Opening | State::Doomed(_) | State::Closing(_) | State::Closed(_) => None,
        }
    }

    /// The socket is there.
    pub(super) fn open(&self, socket: Arc<dyn Evict>) -> Result<(), NotGuarded> {
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

    /// It has to end. The first cause counts, and whoever brings that gets the socket.
    pub(super) fn end(&self, cause: CloseCause) -> Ended {
        self.end_if(cause, |_| true)
    }

    /// The same at the deadline, unless a renewal has moved it in the meantime.
    pub(super) fn expire(&self, now: u64) -> Ended {
        self.end_if(CloseCause::Expired, |life| life.deadline <= now)
    }

    /// The same for an answer about `credential`, unless the session rests on another one by now.
    pub(super) fn disprove(&self, credential: &Credential, cause: CloseCause) -> Ended {
        self.end_if(cause, |life| {
            let recheck = life.recheck.as_deref();
            recheck.is_some_and(|recheck| recheck.credential.is_same_as(credential))
        })
    }

    fn end_if(&self, cause: CloseCause, still: impl FnOnce(&Life) -> bool) -> Ended {
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
    pub(super) fn leave(&self, cause: CloseCause) -> bool {
        let life = lock(&self.life);
        let is_open = matches!(life.state, State::Open(_));
        if is_open {
            turn(life, State::Closed(cause));
        }
        is_open
    }

    /// Its close is done, or given up. The cause that counts; `None` if nobody is closing it.
    pub(super) fn finish(&self) -> Option<CloseCause> {
        let life = lock(&self.life);
        let State::Closing(cause) = &life.state else {
            return None;
        };
        let cause = cause.clone();
        turn(life, State::Closed(cause.clone()));
        Some(cause)
    }

    /// Nobody holds the session any more. `false` if its socket has come: then that holds it.
    pub(super) fn abandon(&self) -> bool {
        let life = lock(&self.life);
        let cause = match &life.state {
            State::Opening => CloseCause::Handler,
            State::Doomed(cause) => cause.clone(),
            State::Open(_) | State::Closing(_) | State::Closed(_) => return false,
        };
        turn(life, State::Closed(cause));
        true
    }

    /// From now on the session warns of its end. `false` if it has warned, or is not open.
    pub(super) fn warn(&self) -> bool {
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

    /// When something is to be done for this session next.
    pub(super) fn next_wake(&self, warning: u64) -> Option<u64> {
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
}

/// Goes on to the end, or nearer to it. The state before it, with the socket if that was open.
fn turn(mut life: MutexGuard<'_, Life>, state: State) -> State {
    let before = mem::replace(&mut life.state, state);
    let recheck = life.recheck.take();
    let watchers = mem::take(&mut life.watchers);
    drop(life);
    drop(recheck);
    watchers.wake();
    before
}

impl State {
    /// Why it has to end, if it has.
    pub(super) fn cause(&self) -> Option<&CloseCause> {
        match self {
            Self::Opening | Self::Open(_) => None,
            Self::Doomed(cause) | Self::Closing(cause) | Self::Closed(cause) => Some(cause),
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
