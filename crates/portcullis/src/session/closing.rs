use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use super::entry::{Ended, Entry};
use super::evict::Evict;
use super::shared::Shared;
use super::{CloseCause, CloseFrame, SessionEvent};

impl<C: Send + Sync + 'static> Shared<C> {
    /// Ends these sessions; how many of them had not ended until now.
    pub(super) fn end(
        self: &Arc<Self>,
        entries: impl IntoIterator<Item = Arc<Entry<C>>>,
        cause: &CloseCause,
    ) -> usize {
        self.end_with(entries, cause, |entry| entry.end(cause.clone()))
    }

    /// Ends those that `end` finds have to.
    pub(super) fn end_with(
        self: &Arc<Self>,
        entries: impl IntoIterator<Item = Arc<Entry<C>>>,
        cause: &CloseCause,
        end: impl Fn(&Entry<C>) -> Ended,
    ) -> usize {
        let mut ended = 0;
        let mut closing = Vec::new();
        for entry in entries {
            match end(&entry) {
                Ended::Not => continue,
                Ended::Early => {}
                Ended::With(socket) => closing.push(Closing::of(entry, &*socket, cause)),
            }
            ended += 1;
        }
        self.close(closing, cause);
        ended
    }

    /// Closes a socket that has come when its session had ended.
    pub(super) fn close_late(
        self: &Arc<Self>,
        entry: &Arc<Entry<C>>,
        socket: &dyn Evict,
        cause: &CloseCause,
    ) {
        self.tell(|| SessionEvent::Opened(entry.info()));
        let closing = Closing::of(Arc::clone(entry), socket, cause);
        self.close(vec![closing], cause);
    }

    /// Closes sockets in tasks of a few hundred: one after the other takes seconds for thousands,
    /// and a task for each is as much memory as the sockets.
    fn close(self: &Arc<Self>, mut closing: Vec<Closing<C>>, cause: &CloseCause) {
        let grace = self.grace(cause);
        while !closing.is_empty() {
            let rest = closing.split_off(closing.len().min(AT_ONCE));
            let some = std::mem::replace(&mut closing, rest);
            tokio::spawn(close_some(Arc::clone(self), some, grace));
        }
    }

    /// How long a client may take to answer its close.
    fn grace(&self, cause: &CloseCause) -> Duration {
        match (cause, self.settings.ping) {
            // It has had its time, but for what the pings have left of it.
            (CloseCause::Unresponsive, Some(every)) => GRACE.min(every / 16),
            _ => GRACE,
        }
    }
}

impl<C> Shared<C> {
    /// The close frame was answered, or the time for it is over.
    fn finished(&self, entry: &Entry<C>) {
        if let Some(cause) = entry.finish() {
            self.forget(entry, &cause);
        }
    }
}

/// A socket that was taken out, on its way to its close.
struct Closing<C> {
    entry: Arc<Entry<C>>,
    closing: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<C> Closing<C> {
    /// Takes the socket of a session out.
    fn of(entry: Arc<Entry<C>>, socket: &dyn Evict, cause: &CloseCause) -> Self {
        let frame = entry.policy.codes.frame(cause);
        // Only the client's and the handler's own ends have none.
        let closing = socket.evict(frame.unwrap_or_else(|| CloseFrame::new(1000, "")));
        Self { entry, closing }
    }
}

/// Who has not answered after `grace` is dropped.
async fn close_some<C>(shared: Arc<Shared<C>>, some: Vec<Closing<C>>, grace: Duration) {
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
            shared.finished(&entry);
        }
    };
    let in_time = tokio::time::timeout(grace, all).await.is_ok();
    // The sockets go first, so that a session that is not counted any more has none.
    drop(closing);
    if !in_time {
        for entry in entries {
            shared.finished(&entry);
        }
    }
}

/// How long a client may take to answer a close frame.
const GRACE: Duration = Duration::from_secs(3);

/// How many sockets one task closes.
const AT_ONCE: usize = 256;
