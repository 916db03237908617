//! Ends sessions, and closes their sockets.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use crate::close::{CLOSE_TIMEOUT, CloseCause};
use crate::session::SessionEvent;
use crate::session::registry::{Ended, Entry};
use crate::session::sessions::Sessions;
use crate::session::slot::SessionStream;

/// Ends sessions. Returns the number of those that had not ended before.
pub(crate) fn end(entries: impl IntoIterator<Item = Arc<Entry>>, cause: &CloseCause) -> usize {
    end_if(entries, cause, |entry| entry.end(cause.clone()))
}

/// Ends sessions with `end`, which may decide that a session continues.
pub(super) fn end_if(
    entries: impl IntoIterator<Item = Arc<Entry>>,
    cause: &CloseCause,
    end: impl Fn(&Entry) -> Option<Ended>,
) -> usize {
    let mut ended = 0;
    let mut closing = Vec::new();
    for entry in entries {
        match end(&entry) {
            None => continue,
            Some(Ended::Early) => {}
            Some(Ended::Open(stream)) => closing.push(Closing::new(entry, &*stream, cause)),
        }
        ended += 1;
    }
    close(closing, cause);
    ended
}

/// Closes a socket that opened after its session had ended.
pub(crate) fn close_late(entry: &Arc<Entry>, stream: &dyn SessionStream, cause: &CloseCause) {
    close(vec![Closing::new(Arc::clone(entry), stream, cause)], cause);
}

/// Reports that a session is closed, and removes it.
pub(crate) fn finish(entry: &Entry, cause: &CloseCause) {
    let inner = &entry.sessions().inner;
    // Before the removal: a program may end as soon as `shutdown` finds no more sessions.
    inner.events.report(|| SessionEvent::Closed {
        session: entry.info(),
        cause: cause.clone(),
        lasted: entry
            .sessions()
            .now()
            .duration_since(entry.since)
            .unwrap_or_default(),
    });
    inner.registry.release(entry);
}

/// Closes sockets in tasks of a few hundred. One task for all takes seconds for thousands of
/// sockets, and one task for each uses as much memory as the sockets.
fn close(mut closing: Vec<Closing>, cause: &CloseCause) {
    let Some(first) = closing.first() else { return };
    let sessions = first.entry().sessions().clone();
    let Some(runtime) = sessions.inner.tasks.runtime() else {
        // Without a runtime, sockets cannot be closed politely. They are dropped.
        return;
    };
    let timeout = close_timeout(&sessions, cause);
    while !closing.is_empty() {
        let rest = closing.split_off(closing.len().min(MAX_PER_TASK));
        let batch = std::mem::replace(&mut closing, rest);
        runtime.spawn(close_batch(batch, timeout));
    }
}

async fn close_batch(batch: Vec<Closing>, timeout: Duration) {
    let mut closing: FuturesUnordered<_> = batch.into_iter().map(Closing::close).collect();
    let all = async { while closing.next().await.is_some() {} };
    let _ = tokio::time::timeout(timeout, all).await;
}

/// Returns how long a client may take to answer its close frame.
fn close_timeout(sessions: &Sessions, cause: &CloseCause) -> Duration {
    match (cause, sessions.inner.settings.ping) {
        // The client had the interval of a ping already, except for the part that pings leave.
        (CloseCause::Unresponsive, Some(every)) => CLOSE_TIMEOUT.min(every / 16),
        _ => CLOSE_TIMEOUT,
    }
}

/// A stream that was taken out of its slot. Dropping it drops the stream and removes the session.
struct Closing {
    // Dropped first, so that a session counts until its stream is dropped.
    stream: BoxFuture<'static, ()>,
    guard: FinishOnDrop,
}

/// Removes a closing session when the client has answered, after the timeout, or when the runtime
/// ends.
struct FinishOnDrop(Arc<Entry>);

impl Closing {
    fn new(entry: Arc<Entry>, stream: &dyn SessionStream, cause: &CloseCause) -> Self {
        // Before the stream is taken out: if that panics, the session is still removed.
        let guard = FinishOnDrop(entry);
        let stream = stream.end(cause, &guard.0.context.codes);
        Self { stream, guard }
    }

    fn entry(&self) -> &Arc<Entry> {
        &self.guard.0
    }

    async fn close(mut self) {
        // The stream is code of another crate. Its panic must not affect the others of the batch.
        let _ = AssertUnwindSafe(self.stream.as_mut()).catch_unwind().await;
    }
}

impl Drop for FinishOnDrop {
    fn drop(&mut self) {
        if let Some(cause) = self.0.finish_closing() {
            finish(&self.0, &cause);
        }
    }
}

/// The number of sockets that one task closes.
const MAX_PER_TASK: usize = 256;
