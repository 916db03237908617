//! The locks of the registry. The exploration of races replaces this file by one whose every lock
//! is a point where another thread may go first.

pub(super) use parking_lot::{Mutex, MutexGuard};
pub(super) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
pub(super) use std::sync::{PoisonError, RwLock};

/// This lock knows no poison. Nothing of ours panics under one, and what a waker or a socket does
/// there leaves our own fields whole.
#[inline]
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}
