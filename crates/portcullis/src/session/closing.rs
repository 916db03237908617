use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use super::entry::Entry;
use super::evict::Evict;
use super::inner::Inner;
use super::{CloseCause, CloseFrame};

/// A socket that was taken out, on its way to its close.
pub(super) struct Closing<C> {
    entry: Arc<Entry<C>>,
    closing: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<C> Closing<C> {
    /// Takes the socket of a session out.
    pub(super) fn of(entry: Arc<Entry<C>>, socket: &dyn Evict, cause: &CloseCause) -> Self {
        let frame = entry.policy.codes.frame(cause);
        // Only the client's and the handler's own ends have none.
        let closing = socket.evict(frame.unwrap_or_else(|| CloseFrame::new(1000, "")));
        Self { entry, closing }
    }
}

/// Closes sockets in tasks of a few hundred: one after the other takes seconds for thousands, and a
/// task for each is as much memory as the sockets. Who has not answered after `grace` is dropped.
pub(super) fn close_all<C: Send + Sync + 'static>(
    inner: &Arc<Inner<C>>,
    mut closing: Vec<Closing<C>>,
    grace: Duration,
) {
    while !closing.is_empty() {
        let rest = closing.split_off(closing.len().min(AT_ONCE));
        let some = std::mem::replace(&mut closing, rest);
        tokio::spawn(close_some(Arc::clone(inner), some, grace));
    }
}

async fn close_some<C>(inner: Arc<Inner<C>>, some: Vec<Closing<C>>, grace: Duration) {
    let entries: Vec<_> = some.iter().map(|one| Arc::clone(&one.entry)).collect();
    let mut closing: FuturesUnordered<_> = some
        .into_iter()
        .map(async |Closing { entry, closing }| {
            // The socket is not ours. One that panics takes no other one with it.
            let _ = AssertUnwindSafe(closing).catch_unwind().await;
            entry
        })
        .collect();
    let all = async {
        while let Some(entry) = closing.next().await {
            inner.finished(&entry);
        }
    };
    let in_time = tokio::time::timeout(grace, all).await.is_ok();
    // The sockets go first, so that a session that is not counted any more has none.
    drop(closing);
    if !in_time {
        for entry in entries {
            inner.finished(&entry);
        }
    }
}

/// How long a client may take to answer a close frame.
pub(super) const GRACE: Duration = Duration::from_secs(3);

/// How many sockets one task closes.
const AT_ONCE: usize = 256;
