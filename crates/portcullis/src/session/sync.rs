//! The locks of the registry. The exploration of races replaces this file by one whose every lock
//! is a point where another thread may go first.

pub(super) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
pub(super) use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

/// Nothing of ours panics under a lock, and what a waker or a socket does there leaves our own
/// fields whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
