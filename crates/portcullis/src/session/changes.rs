use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use portcullis_core::Identity;

use super::entry::{Changed, Entry, Seen};
use crate::close::CloseCause;

/// What changes in a session, one after the other; see [`Session::changes`](super::Session::changes).
///
/// Nothing is lost between two looks. Of several renewals the latest is told, and a warning only
/// while it holds.
///
/// ```
/// use portcullis::GuardedSocket;
/// use portcullis::session::Change;
///
/// async fn tell(mut socket: GuardedSocket) {
///     let mut changes = socket.session().changes();
///     loop {
///         let told = tokio::select! {
///             change = changes.next() => match change {
///                 Some(Change::Renewed(_)) => "welcome back".to_owned(),
///                 Some(Change::Expiring(left)) => format!("{} s left", left.as_secs()),
///                 _ => return,
///             },
///             message = socket.recv() => match message {
///                 Some(Ok(_)) => continue,
///                 _ => return,
///             },
///         };
///         if socket.send(told.into()).await.is_err() {
///             return;
///         }
///     }
/// }
/// ```
#[must_use = "it tells nothing unless it is asked"]
pub struct Changes {
    entry: Arc<Entry>,
    seen: Seen,
}

/// What has changed in a session; see [`Changes`].
#[non_exhaustive]
#[derive(Debug)]
pub enum Change {
    /// It has a new credential.
    Renewed(Identity),

    /// It ends soon, after this time, unless it is renewed.
    Expiring(Duration),

    /// It has ended.
    Ended(CloseCause),
}

impl Changes {
    pub(super) fn of(entry: Arc<Entry>) -> Self {
        let seen = entry.seen();
        Self { entry, seen }
    }

    /// Waits for the next change. After the end there is none.
    ///
    /// It may be dropped at any time, as a loser of `select!` is.
    pub async fn next(&mut self) -> Option<Change> {
        poll_fn(|context| self.poll_change(context)).await
    }

    pub(crate) fn poll_change(&mut self, context: &mut Context<'_>) -> Poll<Option<Change>> {
        let changed = self.entry.poll_change(&mut self.seen, context.waker());
        changed.map(|changed| {
            Some(match changed? {
                Changed::Renewed(identity) => Change::Renewed(identity),
                Changed::Ended(cause) => Change::Ended(cause),
                Changed::Expiring(deadline) => {
                    let now = self.entry.shared().now_in_milliseconds();
                    Change::Expiring(Duration::from_millis(deadline.saturating_sub(now)))
                }
            })
        })
    }
}

impl Stream for Changes {
    type Item = Change;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Change>> {
        self.get_mut().poll_change(context)
    }
}

// Written out, since a derive would ask for `C: Clone`.
impl Clone for Change {
    fn clone(&self) -> Self {
        match self {
            Self::Renewed(identity) => Self::Renewed(identity.clone()),
            Self::Expiring(left) => Self::Expiring(*left),
            Self::Ended(cause) => Self::Ended(cause.clone()),
        }
    }
}

/// Nobody is woken any more who does not wait.
impl Drop for Changes {
    fn drop(&mut self) {
        self.entry.unwatch(&self.seen);
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("session", &self.entry)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_to_several() {
        /// Claims that cannot be cloned.
        #[derive(Debug)]
        struct Claims;

        let alice = Identity::builder("alice").claims(Claims).build();
        let changes = [
            Change::Renewed(alice),
            Change::Expiring(Duration::from_secs(60)),
            Change::Ended(CloseCause::Revoked),
        ];
        for change in &changes {
            assert_eq!(format!("{:?}", change.clone()), format!("{change:?}"));
        }
    }
}
