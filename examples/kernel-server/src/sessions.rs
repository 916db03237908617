//! Sessions: which notebook uses which kernel.

use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::kernel::KernelId;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Session {
    pub(crate) id: Uuid,
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) kernel: KernelId,
}

/// All sessions of the server, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    inner: Mutex<Vec<Session>>,
}

impl Sessions {
    /// The sessions whose kernels are still there, as `is_there` tells. The others are over.
    pub(crate) fn list(&self, is_there: impl Fn(KernelId) -> bool) -> Vec<Session> {
        let mut sessions = self.lock();
        sessions.retain(|session| is_there(session.kernel));
        sessions.clone()
    }

    pub(crate) fn find(&self, id: Uuid) -> Option<Session> {
        self.lock().iter().find(|session| session.id == id).cloned()
    }

    /// Adds a session, unless its path has one whose kernel `is_there`: then it is that one.
    pub(crate) fn add(&self, session: Session, is_there: impl Fn(KernelId) -> bool) -> Session {
        let mut sessions = self.lock();
        sessions.retain(|session| is_there(session.kernel));
        match sessions.iter().find(|other| other.path == session.path) {
            Some(other) => other.clone(),
            None => {
                sessions.push(session.clone());
                session
            }
        }
    }

    /// Changes a session, if it is still there.
    pub(crate) fn change(&self, id: Uuid, change: impl FnOnce(&mut Session)) -> Option<Session> {
        let mut sessions = self.lock();
        let session = sessions.iter_mut().find(|session| session.id == id)?;
        change(session);
        Some(session.clone())
    }

    pub(crate) fn remove(&self, id: Uuid) -> Option<Session> {
        let mut sessions = self.lock();
        let index = sessions.iter().position(|session| session.id == id)?;
        Some(sessions.remove(index))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Session>> {
        // Every change under this lock is a single step, so a panic leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
