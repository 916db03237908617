//! The locks of the registry, which know no poison: nothing of ours panics under one, and what a
//! waker or a socket does there leaves our own fields whole. The exploration of races replaces this
//! file by one whose every lock is a point where another thread may go first.

use parking_lot::{RwLockReadGuard, RwLockWriteGuard};

pub(super) use parking_lot::{Mutex, MutexGuard, RwLock};
pub(super) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[inline]
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read()
}

pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write()
}
