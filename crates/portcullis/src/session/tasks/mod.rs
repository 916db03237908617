//! The tasks of a set of sessions: one [`keeper`] of all deadlines, and those that it starts.
//!
//! * [`keeper`] expires sessions, warns before, and starts re-checks of credentials.
//! * [`follow`] reads the store of revocations.
//! * [`ping`] checks whether the clients are alive.
//! * [`closing`] closes sockets, a few hundred in a task.

pub(super) mod closing;
pub(super) mod follow;
pub(super) mod keeper;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use portcullis_core::{Credential, Identity, VerifyError};
use tokio::runtime::Handle;
use tokio::task::{JoinSet, unconstrained};
use tokio::time::{MissedTickBehavior, interval};

use self::keeper::{millis, random_part, unix_millis};
use super::builder::Settings;
use super::registry::{Entry, PARTS, Recheck};
use super::sessions::{Sessions, WeakSessions};
use super::slot::{Liveness, SessionStream};
use super::sync::{Mutex, lock};
use crate::close::CloseCause;

/// The state of the tasks.
#[derive(Default)]
pub(super) struct Tasks {
    are_running: AtomicBool,
    runtime: Mutex<Option<Handle>>,
}

impl Tasks {
    /// Returns the runtime of the tasks, or that of the caller if there are no tasks. So sessions
    /// can be closed by threads outside of the runtime.
    pub(super) fn runtime(&self) -> Option<Handle> {
        let runtime = lock(&self.runtime).clone();
        runtime.or_else(|| Handle::try_current().ok())
    }
}

/// Starts the tasks, unless they are running or the caller is outside of a runtime.
pub(super) fn start(sessions: &Sessions) {
    let tasks = &sessions.inner.tasks;
    if tasks.are_running.load(Ordering::Acquire) {
        return;
    }
    let Ok(runtime) = Handle::try_current() else {
        return;
    };
    if tasks.are_running.swap(true, Ordering::AcqRel) {
        return;
    }
    *lock(&tasks.runtime) = Some(runtime.clone());
    let weak = sessions.downgrade();
    let mut others = JoinSet::new();
    if let Some(every) = sessions.inner.settings.ping {
        others.spawn_on(ping(weak.clone(), every), &runtime);
    }
    if let Some(store) = &sessions.inner.store {
        others.spawn_on(store.follow(weak.clone()), &runtime);
    }
    let running = Running {
        sessions: weak,
        others,
    };
    runtime.spawn(keeper::keep(running));
}

/// Belongs to the keeper. When the keeper ends, the other tasks end, too.
///
/// The runtime of the tasks can end before the sessions do. The next admission then starts the
/// tasks again.
pub(super) struct Running {
    sessions: WeakSessions,
    #[expect(dead_code, reason = "the tasks end when the set is dropped")]
    others: JoinSet<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(sessions) = self.sessions.upgrade() {
            let tasks = &sessions.inner.tasks;
            let runtime = lock(&tasks.runtime).take();
            tasks.are_running.store(false, Ordering::Release);
            drop(runtime);
        }
    }
}

/// Returns when to verify a new credential again; `None` if it is unknown, or can be used only
/// once, or the application has not asked for it.
pub(super) fn first_recheck(
    settings: &Settings,
    identity: &Identity,
    credential: Option<Credential>,
) -> Option<Box<Recheck>> {
    let every = settings.recheck?;
    let credential = credential?;
    if identity.is_single_use() {
        return None;
    }
    let now = unix_millis(settings.clock.now());
    // Shortened at random, so that sessions which were opened together are spread over time.
    let first = millis(every.mul_f64(1.0 - random_part() / 5.0));
    Some(Box::new(Recheck {
        credential,
        due: now.saturating_add(first),
        good_until: now.saturating_add(millis(settings.recheck_grace)),
    }))
}

/// Verifies credentials again, a few at a time to protect the backend of the verifier.
async fn recheck(due: Vec<(Arc<Entry>, Credential)>) {
    stream::iter(due)
        .for_each_concurrent(MAX_RECHECKS, |(entry, credential)| async move {
            let result = entry.context.verifier.verify(&credential).await;
            apply_recheck(&entry, &credential, result);
        })
        .await;
}

/// Applies the result of a re-check to its session.
fn apply_recheck(
    entry: &Arc<Entry>,
    credential: &Credential,
    result: Result<Identity, VerifyError>,
) {
    let sessions = entry.sessions();
    let now = sessions.now_millis();
    let cause = match result {
        Ok(identity) if entry.with_identity(|known| known.subject() == identity.subject()) => {
            let grace = millis(sessions.inner.settings.recheck_grace);
            entry.recheck_passed(credential, now.saturating_add(grace));
            return;
        }
        Ok(_) => CloseCause::OtherSubject,
        Err(VerifyError::Unavailable { .. }) if entry.tolerates_outage(credential, now) => return,
        Err(VerifyError::Unavailable { .. }) => CloseCause::Unavailable,
        Err(_) => CloseCause::Refused,
    };
    closing::end_if([Arc::clone(entry)], &cause, |entry| {
        entry.end_for_credential(credential, cause.clone())
    });
}

/// Checks every open stream once in a round, a part of them with each tick. A round is a sixteenth
/// shorter than the interval of the pings, to leave time for the clock and for closing.
///
/// After a delay, ticks are not made up for: each client has the time of a whole round to answer.
async fn ping(sessions: WeakSessions, every: Duration) {
    let mut ticks = interval(every / TICKS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut unsent = UnsentPings::default();
    for part in (0..PARTS).cycle() {
        ticks.tick().await;
        let Some(sessions) = sessions.upgrade() else {
            return;
        };
        // Under tokio's cooperative budget, sockets would appear to have nothing to read.
        unconstrained(async { check_part(&sessions, part, &mut unsent) }).await;
    }
}

/// The pings that are not sent completely, each with the part of its session.
#[derive(Default)]
struct UnsentPings(Vec<(usize, Arc<dyn SessionStream>)>);

fn check_part(sessions: &Sessions, part: usize, unsent: &mut UnsentPings) {
    // The streams of this part are checked below.
    let flush = |stream: &Arc<dyn SessionStream>| catch(|| stream.flush_ping()).unwrap_or(true);
    unsent
        .0
        .retain(|(of, stream)| *of != part && !flush(stream));
    let (mut silent, mut disconnected) = (Vec::new(), Vec::new());
    for entry in sessions.inner.registry.part(part) {
        let Some(stream) = entry.stream() else {
            continue;
        };
        match catch(|| stream.check()).unwrap_or(Liveness::Disconnected) {
            Liveness::Alive => {}
            Liveness::PingUnsent => unsent.0.push((part, stream)),
            Liveness::Silent => silent.push(entry),
            Liveness::Disconnected => disconnected.push(entry),
        }
    }
    closing::end(silent, &CloseCause::Unresponsive);
    closing::end(disconnected, &CloseCause::Client);
}

/// Calls `work`, which runs code of another crate; `None` if it panics. So a panic ends one session
/// and not the task.
fn catch<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// The number of re-checks at the same time.
const MAX_RECHECKS: usize = 64;

/// The number of ticks in an interval of pings: a sixteenth more than a round has.
const TICKS: u32 = PARTS as u32 + PARTS as u32 / 15;
