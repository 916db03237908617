use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use portcullis_core::Credential;

use super::entry::Entry;
use super::inner::{Inner, Kept};
use super::lifetime::milliseconds;

/// Keeps the deadlines of all sessions, until the last handle is gone.
///
/// Deadlines are times of the wall clock, which may jump, and the machine may sleep; so it never
/// sleeps for longer than a second while there is something to wait for.
pub(super) async fn keep<C: Send + Sync + 'static>(kept: Kept<C>) {
    loop {
        let Some(inner) = kept.inner.upgrade() else {
            return;
        };
        inner.attend();
        let wait = wait(&inner);
        let wake = Arc::clone(&inner.wake);
        // Whoever sleeps holds nothing, so that the last handle takes the sessions with it.
        drop(inner);
        tokio::select! {
            () = wake.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

fn wait<C: Send + Sync + 'static>(inner: &Arc<Inner<C>>) -> Duration {
    inner.sleeps_until.store(u64::MAX, Ordering::Release);
    let next = inner.next_timer();
    let now = milliseconds(inner.settings.clock.now());
    match next {
        Some(time) => {
            let wait = Duration::from_millis(time.saturating_sub(now)).min(PIECE);
            let until = now.saturating_add(wait.as_millis() as u64);
            inner.sleeps_until.store(until, Ordering::Release);
            wait
        }
        None if inner.has_store() => PIECE,
        None => IDLE,
    }
}

/// Asks the verifier again about each of them, a few at a time: what is behind a verifier is not
/// to be stormed.
pub(super) async fn recheck<C: Send + Sync + 'static>(
    inner: Arc<Inner<C>>,
    sessions: Vec<(Arc<Entry<C>>, Credential)>,
) {
    stream::iter(sessions)
        .for_each_concurrent(AT_ONCE, |(entry, credential)| {
            let inner = Arc::clone(&inner);
            async move {
                let answer = entry.policy.verifier.ask(&credential).await;
                inner.rechecked(&entry, &credential, answer);
            }
        })
        .await;
}

/// The longest sleep while a deadline is ahead.
const PIECE: Duration = Duration::from_secs(1);

/// The longest sleep while there is none.
const IDLE: Duration = Duration::from_secs(60);

/// How many verifications of open sessions are under way at the same time.
const AT_ONCE: usize = 64;
