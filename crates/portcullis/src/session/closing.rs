use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use super::SessionEvent;
use super::entry::{Ended, Entry};
use super::evict::Evict;
use super::shared::Shared;
use crate::close::{CLOSE_TIMEOUT, CloseCause, CloseFrame};

impl Shared {
    /// Ends these sessions; how many of them had not ended until now.
    pub(super) fn end(
        self: &Arc<Self>,
        entries: impl IntoIterator<Item = Arc<Entry>>,
        cause: &CloseCause,
    ) -> usize {
        self.end_with(entries, cause, |entry| entry.end(cause.clone()))
    }

    /// Ends those that `end` finds have to.
    pub(super) fn end_with(
        self: &Arc<Self>,
        entries: impl IntoIterator<Item = Arc<Entry>>,
        cause: &CloseCause,
        end: impl Fn(&Entry) -> Ended,
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
        entry: &Arc<Entry>,
        socket: &dyn Evict,
        cause: &CloseCause,
    ) {
        self.tell(|| SessionEvent::Opened(entry.info()));
        let closing = Closing::of(Arc::clone(entry), socket, cause);
        self.close(vec![closing], cause);
    }

    /// Closes sockets in tasks of a few hundred: one after the other takes seconds for thousands,
    /// and a task for each is as much memory as the sockets.
    fn close(&self, mut closing: Vec<Closing>, cause: &CloseCause) {
        let Some(runtime) = self.runtime() else {
            // Nobody can wait for their clients. They are let go.
            return;
        };
        let grace = self.grace(cause);
        while !closing.is_empty() {
            let rest = closing.split_off(closing.len().min(AT_ONCE));
            let some = std::mem::replace(&mut closing, rest);
            runtime.spawn(close_some(some, grace));
        }
    }

    /// How long a client may take to answer its close.
    fn grace(&self, cause: &CloseCause) -> Duration {
        match (cause, self.settings.ping) {
            // It has had its time, but for what the pings have left of it.
            (CloseCause::Unresponsive, Some(every)) => CLOSE_TIMEOUT.min(every / 16),
            _ => CLOSE_TIMEOUT,
        }
    }
}

/// A socket that was taken out, on its way to its close. Dropped, it is closed.
///
/// The socket goes first, so that a session that is not counted any more has none.
struct Closing {
    closing: Pin<Box<dyn Future<Output = ()> + Send>>,
    _place: Place,
}

impl Closing {
    /// Takes the socket of a session out.
    fn of(entry: Arc<Entry>, socket: &dyn Evict, cause: &CloseCause) -> Self {
        let frame = entry.context.codes.frame_for_cause(cause);
        let place = Place(entry);
        // Only the client's and the handler's own ends have none.
        let closing = socket.evict(frame.unwrap_or_else(|| CloseFrame::new(1000, "")));
        Self {
            closing,
            _place: place,
        }
    }

    async fn close(mut self) {
        // The socket is not ours. One that panics takes no other one with it.
        let _ = AssertUnwindSafe(self.closing.as_mut()).catch_unwind().await;
    }
}

/// The place of a session that is closing. It is free when this is dropped: the close frame was
/// answered, or the time for it is over, or the runtime.
struct Place(Arc<Entry>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(cause) = self.0.finish() {
            self.0.shared().forget(&self.0, &cause);
        }
    }
}

/// Who has not answered after `grace` is dropped.
async fn close_some(some: Vec<Closing>, grace: Duration) {
    let mut closing: FuturesUnordered<_> = some.into_iter().map(Closing::close).collect();
    let all = async { while closing.next().await.is_some() {} };
    let _ = tokio::time::timeout(grace, all).await;
}

/// How many sockets one task closes.
const AT_ONCE: usize = 256;

#[cfg(test)]
mod tests {
    use portcullis_core::Identity;
    use tokio::runtime::Runtime;

    use super::super::evict::{Idle, Pulse};
    use super::super::{Session, Sessions, context};
    use super::*;

    fn open(sessions: &Sessions, socket: impl Evict + 'static) -> Session {
        let context = context::of(sessions);
        let admitted = sessions.admit(&context, Identity::new("alice"), None, None);
        let session = admitted.unwrap();
        let entry = sessions.shared.registry.find(session.id()).unwrap();
        entry.open(Arc::new(socket)).unwrap();
        session
    }

    fn bye() -> CloseFrame {
        CloseFrame::new(4000, "bye")
    }

    /// Wherever it is said, and whether or not there is a runtime to wait in: its place is free.
    #[test]
    fn a_session_is_closed_outside_of_a_runtime() {
        let nowhere = Sessions::default();
        let session = open(&nowhere, Idle);
        assert!(nowhere.close(session.id(), bye()));
        assert_eq!(nowhere.len(), 0);

        let kept = Sessions::default();
        let runtime = Runtime::new().unwrap();
        let session = runtime.block_on(async { open(&kept, Idle) });
        session.close(bye());
        let limit = Duration::from_secs(60);
        assert_eq!(runtime.block_on(kept.shutdown(limit)), 0);

        let outlives = Sessions::default();
        let session = runtime.block_on(async { open(&outlives, Idle) });
        drop(runtime);
        session.close(bye());
        assert_eq!(outlives.len(), 0);
        assert_eq!(session.ended(), Some(CloseCause::Application(bye())));
    }

    /// A runtime that ends amid a close takes the socket with it, and not the place.
    #[test]
    fn a_close_that_is_given_up_is_done() {
        /// Its client never answers.
        #[derive(Debug)]
        struct Mute;

        impl Evict for Mute {
            fn evict(&self, _: CloseFrame) -> Pin<Box<dyn Future<Output = ()> + Send>> {
                Box::pin(std::future::pending())
            }

            fn look(&self) -> Pulse {
                Pulse::Fine
            }

            fn flush(&self) -> bool {
                true
            }
        }

        let sessions = Sessions::default();
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async { open(&sessions, Mute).close(bye()) });
        assert_eq!(sessions.len(), 1);
        drop(runtime);
        assert_eq!(sessions.len(), 0);
    }
}
