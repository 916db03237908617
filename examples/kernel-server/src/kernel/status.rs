use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// The execution state of a kernel, and the time of its last activity.
#[derive(Debug)]
pub(crate) struct Status {
    inner: Mutex<(String, SystemTime)>,
}

impl Status {
    pub(super) fn new() -> Self {
        Self {
            inner: Mutex::new(("starting".to_owned(), SystemTime::now())),
        }
    }

    /// Returns `starting`, `idle`, `busy`, `restarting` or `dead`.
    pub(crate) fn execution_state(&self) -> String {
        self.lock().0.clone()
    }

    pub(crate) fn last_activity(&self) -> SystemTime {
        self.lock().1
    }

    pub(super) fn set(&self, execution_state: &str) {
        *self.lock() = (execution_state.to_owned(), SystemTime::now());
    }

    pub(super) fn touch(&self) {
        self.lock().1 = SystemTime::now();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (String, SystemTime)> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
