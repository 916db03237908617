//! The reports of a session: events for operators, and changes for handlers.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use futures_core::Stream;
use portcullis_core::Identity;
use tokio::sync::broadcast;

use super::registry::{Entry, Seen};
use super::{RenewError, SessionId};
use crate::close::CloseCause;

/// Information about one session.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// The id of the session.
    pub id: SessionId,

    /// The identity of the client, with the carrier of its credential.
    pub identity: Identity,

    /// The time of admission.
    pub since: SystemTime,

    /// The time at which the session ends unless it is renewed.
    pub deadline: SystemTime,

    /// The address of the client, if the server provides it: from axum's
    /// `into_make_service_with_connect_info::<SocketAddr>()`, or from a [`SocketAddr`] in the
    /// extensions of the request. Behind a proxy it is the address of the proxy.
    pub peer: Option<SocketAddr>,
}

/// An event of a session.
///
/// Every session that reports [`Opened`](Self::Opened) reports [`Closed`](Self::Closed) once, and
/// later. A session that ends before its socket opens reports neither, unless the socket opens
/// afterwards.
///
/// ```
/// use portcullis::{Sessions, session::SessionEvent};
///
/// fn record(event: &SessionEvent) {
///     let Some(session) = event.session() else { return };
///     let why = match event {
///         SessionEvent::Closed { cause, .. } => cause.as_str(),
///         SessionEvent::RenewalRefused { why, .. } => why.as_str(),
///         _ => "",
///     };
///     tracing::info!(id = %session.id, subject = session.identity.subject(), why, "{}", event.as_str());
/// }
///
/// let sessions = Sessions::builder().observe(record).build();
/// ```
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum SessionEvent {
    /// The socket is open.
    Opened(SessionInfo),

    /// The session has a new credential.
    Renewed(SessionInfo),

    /// A new credential did not renew the session.
    RenewalRefused {
        /// The session, unchanged.
        session: SessionInfo,
        /// Why the credential did not renew it.
        why: RenewError,
    },

    /// The deadline is near; see [`SessionsBuilder::warn_before`](super::SessionsBuilder::warn_before).
    Expiring(SessionInfo),

    /// The socket is closed.
    Closed {
        /// The last state of the session.
        session: SessionInfo,
        /// Why the session ended.
        cause: CloseCause,
        /// The time since admission.
        lasted: Duration,
    },

    /// The reader was too slow and missed this many events. Only
    /// [`Sessions::events`](super::Sessions::events) returns it.
    Missed(u64),
}

impl SessionEvent {
    /// Returns the name that logs, metrics and audit records use.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Opened(_) => "opened",
            Self::Renewed(_) => "renewed",
            Self::RenewalRefused { .. } => "renewal-refused",
            Self::Expiring(_) => "expiring",
            Self::Closed { .. } => "closed",
            Self::Missed(_) => "missed",
        }
    }

    /// Returns the session of the event; `None` for [`Missed`](Self::Missed).
    pub const fn session(&self) -> Option<&SessionInfo> {
        match self {
            Self::Opened(session)
            | Self::Renewed(session)
            | Self::RenewalRefused { session, .. }
            | Self::Expiring(session)
            | Self::Closed { session, .. } => Some(session),
            Self::Missed(_) => None,
        }
    }
}

/// Delivers events to the observer and to the readers.
pub(super) struct Events {
    observer: Option<Observer>,
    /// Created for the first reader, because the buffer uses some hundred kilobytes.
    readers: OnceLock<broadcast::Sender<SessionEvent>>,
}

pub(super) type Observer = Box<dyn Fn(&SessionEvent) + Send + Sync>;

impl Events {
    pub(super) fn new(observer: Option<Observer>) -> Self {
        Self {
            observer,
            readers: OnceLock::new(),
        }
    }

    /// Delivers an event, which is created only if an observer or a reader needs it.
    pub(super) fn report(&self, event: impl FnOnce() -> SessionEvent) {
        let readers = self.readers.get();
        let readers = readers.filter(|readers| readers.receiver_count() > 0);
        if readers.is_none() && self.observer.is_none() {
            return;
        }
        let event = event();
        if let Some(observer) = &self.observer {
            // The caller may be handling other sessions, too. The panic hook reports the panic.
            let _ = catch_unwind(AssertUnwindSafe(|| observer(&event)));
        }
        if let Some(readers) = readers {
            // An error means that the last reader was dropped in the meantime.
            let _ = readers.send(event);
        }
    }

    pub(super) fn subscribe(&self) -> impl Stream<Item = SessionEvent> + Send + use<> {
        let readers = self
            .readers
            .get_or_init(|| broadcast::Sender::new(MAX_BEHIND));
        futures_util::stream::unfold(readers.subscribe(), async |mut reader| {
            let event = match reader.recv().await {
                Ok(event) => event,
                Err(broadcast::error::RecvError::Lagged(count)) => SessionEvent::Missed(count),
                Err(broadcast::error::RecvError::Closed) => return None,
            };
            Some((event, reader))
        })
    }
}

/// The number of events that a reader may be behind before it misses some.
const MAX_BEHIND: usize = 1024;

/// A stream of the changes of one session; see [`Session::changes`](super::Session::changes).
///
/// Changes between two polls are not lost. Of several renewals the stream returns the latest. It
/// returns a warning only if the warning is still in effect.
///
/// ```
/// use portcullis::GuardedSocket;
/// use portcullis::session::Change;
///
/// async fn announce(mut socket: GuardedSocket) {
///     let mut changes = socket.session().changes();
///     loop {
///         let text = tokio::select! {
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
///         if socket.send(text.into()).await.is_err() {
///             return;
///         }
///     }
/// }
/// ```
#[must_use = "streams do nothing unless polled"]
pub struct Changes {
    entry: Arc<Entry>,
    seen: Seen,
}

/// A change of a session; see [`Changes`].
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum Change {
    /// The session has a new credential.
    Renewed(Identity),

    /// The session ends after this time unless it is renewed.
    Expiring(Duration),

    /// The session has ended.
    Ended(CloseCause),
}

impl Changes {
    pub(super) fn new(entry: Arc<Entry>) -> Self {
        let seen = entry.watch();
        Self { entry, seen }
    }

    /// Waits for the next change. Returns `None` after [`Change::Ended`].
    ///
    /// This method is cancel safe: in `tokio::select!`, no change is lost.
    pub async fn next(&mut self) -> Option<Change> {
        poll_fn(|context| self.poll_change(context)).await
    }

    pub(crate) fn poll_change(&mut self, context: &mut Context<'_>) -> Poll<Option<Change>> {
        self.entry.poll_change(&mut self.seen, context.waker())
    }
}

impl Stream for Changes {
    type Item = Change;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Change>> {
        self.get_mut().poll_change(context)
    }
}

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
    fn changes_are_cloned_even_if_claims_are_not() {
        /// Claims without `Clone`.
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
