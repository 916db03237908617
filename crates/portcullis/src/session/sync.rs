//! The locks and atomics of the registry.
//!
//! Locks ignore poisoning: our code does not panic under a lock, and our own fields stay valid if a
//! waker or a socket does. For the exploration of races, the tests are built with `--cfg shuttle`.
//! Then every operation is a point at which another thread may run; see `tests/races.rs`.

#[cfg(not(all(test, shuttle)))]
mod imp {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    pub(crate) use parking_lot::{Mutex, MutexGuard, RwLock};
    use parking_lot::{RwLockReadGuard, RwLockWriteGuard};

    #[inline]
    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock()
    }

    pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
        lock.read()
    }

    pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
        lock.write()
    }
}

#[cfg(all(test, shuttle))]
mod imp {
    use std::sync::PoisonError;

    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    pub(crate) use shuttle::sync::{Mutex, MutexGuard, RwLock};
    use shuttle::sync::{RwLockReadGuard, RwLockWriteGuard};

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
        lock.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
        lock.write().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) use self::imp::*;
