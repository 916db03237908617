//! Starts and stops the tasks, and schedules deadlines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use portcullis_core::{Clock, Identity};

use super::{IdleSocket, context};
use crate::session::tasks::keeper::{IDLE_SLEEP, LONGEST_SLEEP, SLACK};
use crate::session::tasks::start;
use crate::session::{MemoryRevocations, Session, Sessions};

/// A clock that stands at 1970, counts its calls, and panics once if `panics` is set.
#[derive(Debug, Default)]
struct TestClock {
    panics: AtomicBool,
    calls: AtomicUsize,
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        self.calls.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics.swap(false, Ordering::SeqCst), "on purpose");
        SystemTime::UNIX_EPOCH
    }
}

async fn running_tasks() -> usize {
    tokio::time::sleep(2 * LONGEST_SLEEP).await;
    let runtime = tokio::runtime::Handle::current();
    runtime.metrics().num_alive_tasks()
}

/// All tasks end with the keeper and with the last handle, and none runs twice after a restart.
#[tokio::test(start_paused = true)]
async fn tasks_start_and_end_together() {
    let clock = Arc::new(TestClock::default());
    let builder = Sessions::builder().clock(Arc::clone(&clock));
    let store = MemoryRevocations::new();
    let sessions = builder.revocations(store).ping_every(IDLE_SLEEP).build();
    assert_eq!(running_tasks().await, 3);

    clock.panics.store(true, Ordering::SeqCst);
    assert_eq!(running_tasks().await, 0, "the keeper has panicked");
    start(&sessions);
    assert_eq!(running_tasks().await, 3);
    drop(sessions);
    assert_eq!(running_tasks().await, 0);
}

/// The keeper does not wake for the warning of a session before its socket opens. The session is
/// warned when its socket opens.
#[tokio::test(start_paused = true)]
async fn warnings_wait_for_the_socket() {
    let clock = Arc::new(TestClock::default());
    let builder = Sessions::builder().clock(Arc::clone(&clock));
    let sessions = builder.warn_before(2 * IDLE_SLEEP).build();
    let end = SystemTime::UNIX_EPOCH + IDLE_SLEEP;
    let alice = Identity::builder("alice").expires_at(end).build();
    let session = Session::admit(&context(&sessions), alice, None, None).unwrap();
    tokio::time::sleep(10 * LONGEST_SLEEP).await;
    let calls = clock.calls.load(Ordering::SeqCst);
    assert!(calls < 100, "{calls}");

    let entry = sessions.inner.registry.find(session.id()).unwrap();
    let _socket = session.guard(IdleSocket, |_| ());
    tokio::task::yield_now().await;
    assert!(!entry.warn(), "the session was warned");
}

/// A session that is renewed often leaves few old timers behind, and keeps its own.
#[tokio::test]
async fn renewals_replace_timers() {
    let sessions = Sessions::default();
    let in_an_hour = SystemTime::now() + Duration::from_secs(3_600);
    let alice = |later| {
        let end = in_an_hour + Duration::from_secs(later);
        Identity::builder("alice").expires_at(end).build()
    };
    let entry = sessions.admit(&context(&sessions), alice(0), None, None);
    let entry = entry.unwrap();
    for later in 1..10_000 {
        sessions.renew_entry(&entry, alice(later), None).unwrap();
    }
    let timers = sessions.inner.schedule.due(u64::MAX);
    assert!(timers.len() <= 2 + SLACK, "{}", timers.len());
    assert_eq!(timers.last(), Some(&entry.id), "the timer of the session");
}
