//! The sessions of Jupyter's REST API: which notebook uses which kernel.

use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::kernel::KernelId;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct NotebookSession {
    pub(crate) id: Uuid,
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) kernel: KernelId,
}

/// All notebook sessions, oldest first.
#[derive(Debug, Default)]
pub(crate) struct NotebookSessions {
    inner: Mutex<Vec<NotebookSession>>,
}

impl NotebookSessions {
    /// Lists the sessions with an existing kernel, and removes the others.
    pub(crate) fn list(&self, kernel_exists: impl Fn(KernelId) -> bool) -> Vec<NotebookSession> {
        let mut sessions = self.lock();
        sessions.retain(|session| kernel_exists(session.kernel));
        sessions.clone()
    }

    pub(crate) fn find(&self, id: Uuid) -> Option<NotebookSession> {
        self.lock().iter().find(|session| session.id == id).cloned()
    }

    /// Adds `session` and returns it. If its path already has a session with a kernel that exists,
    /// returns that one instead.
    pub(crate) fn add(
        &self,
        session: NotebookSession,
        kernel_exists: impl Fn(KernelId) -> bool,
    ) -> NotebookSession {
        let mut sessions = self.lock();
        sessions.retain(|session| kernel_exists(session.kernel));
        match sessions.iter().find(|other| other.path == session.path) {
            Some(other) => other.clone(),
            None => {
                sessions.push(session.clone());
                session
            }
        }
    }

    /// Changes the session with this id. Returns `None` if there is none.
    pub(crate) fn change(
        &self,
        id: Uuid,
        change: impl FnOnce(&mut NotebookSession),
    ) -> Option<NotebookSession> {
        let mut sessions = self.lock();
        let session = sessions.iter_mut().find(|session| session.id == id)?;
        change(session);
        Some(session.clone())
    }

    pub(crate) fn remove(&self, id: Uuid) -> Option<NotebookSession> {
        let mut sessions = self.lock();
        let index = sessions.iter().position(|session| session.id == id)?;
        Some(sessions.remove(index))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<NotebookSession>> {
        // Every change under this lock is a single step, so a panic leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
