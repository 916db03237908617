use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use futures_sink::Sink;
use portcullis_core::{Credential, Identity};

use super::entry::{Entry, NotGuarded};
use super::evict::Evict;
use super::guarded::Guarded;
use super::slot::Slot;
use super::{Change, Changes, Frames, RenewError, SessionId, SessionInfo};
use crate::close::{CloseCause, CloseFrame};

/// One admitted socket, from its upgrade to its close.
///
/// [`GuardedSocket`](crate::GuardedSocket) has one inside. For a socket of another crate take the
/// session from the request and [`guard`](Self::guard) the socket with it.
///
/// A clone is the same session, for tasks that have no socket:
///
/// ```
/// use axum::response::Response;
/// use portcullis::GuardedUpgrade;
///
/// async fn ws(upgrade: GuardedUpgrade) -> Response {
///     upgrade.on_upgrade(async move |mut socket| {
///         let session = socket.session();
///         tokio::spawn(async move {
///             let cause = session.closed().await;
///             tracing::info!(id = %session.id(), %cause, "gone");
///         });
///         while let Some(Ok(message)) = socket.recv().await {
///             let _ = socket.send(message).await;
///         }
///     })
/// }
/// ```
pub struct Session {
    entry: Arc<Entry>,
    /// Until the socket has come.
    held: Option<Arc<Held>>,
}

/// Gives the place back if the socket never comes.
struct Held {
    entry: Arc<Entry>,
}

impl Session {
    pub(super) fn of(entry: Arc<Entry>) -> Self {
        Self { entry, held: None }
    }

    /// A session whose socket has not come. When the last clone is dropped, its place is free.
    pub(super) fn admitted(entry: Arc<Entry>) -> Self {
        let held = Held {
            entry: Arc::clone(&entry),
        };
        Self {
            entry,
            held: Some(Arc::new(held)),
        }
    }

    /// Its name.
    pub fn id(&self) -> SessionId {
        self.entry.id
    }

    /// Who it is, as of the last renewal.
    pub fn identity(&self) -> Identity {
        self.entry.identity()
    }

    /// What [`Sessions::list`](super::Sessions::list) tells about it.
    pub fn info(&self) -> SessionInfo {
        self.entry.info()
    }

    /// How long it has until its deadline, by the clock of its [`Sessions`](super::Sessions).
    pub fn expires_in(&self) -> Duration {
        let now = self.entry.shared().now_in_milliseconds();
        Duration::from_millis(self.entry.deadline().saturating_sub(now))
    }

    /// Whether it has ended, and why.
    pub fn ended(&self) -> Option<CloseCause> {
        self.entry.state().cause().cloned()
    }

    /// Waits for its end, for a task that does not read the socket.
    pub async fn closed(&self) -> CloseCause {
        let mut changes = self.changes();
        loop {
            match changes.next().await {
                Some(Change::Ended(cause)) => return cause,
                Some(_) => {}
                // The end was told before.
                None => return CloseCause::Handler,
            }
        }
    }

    /// Tells every change from now on: a renewal, the warning, the end. A warning that was given
    /// before is told if it still holds, and so is the end.
    pub fn changes(&self) -> Changes {
        Changes::of(Arc::clone(&self.entry))
    }

    /// Closes the socket with this frame, and is done with it.
    pub fn close(&self, frame: CloseFrame) {
        let cause = CloseCause::Application(frame);
        self.entry.shared().end([Arc::clone(&self.entry)], &cause);
    }

    /// Brings a new credential, which the verifier of the session is asked about.
    ///
    /// # Errors
    ///
    /// If it does not renew the session; see [`RenewError`].
    pub async fn renew(&self, credential: Credential) -> Result<Duration, RenewError> {
        self.bring(credential).await.1
    }

    /// The same, and whose the credential is even if it renews nothing.
    pub(crate) async fn bring(
        &self,
        credential: Credential,
    ) -> (Option<Identity>, Result<Duration, RenewError>) {
        self.entry.shared().renew(&self.entry, credential).await
    }

    /// Puts a socket of any WebSocket crate under the guard of this session.
    ///
    /// `close` makes a close frame in the messages of that crate. The socket is taken out of the
    /// handler's hands when the session ends: the close frame is sent, the client has three seconds
    /// to answer it, and then the connection is dropped.
    ///
    /// If the session has ended before, nothing can be read and written, and the client gets its
    /// close frame. A session has one socket; a second one is dropped, and the first one goes on.
    ///
    /// ```
    /// # use portcullis::{session::Guarded, Session};
    /// # use tokio_tungstenite::{WebSocketStream, tungstenite::{Message, protocol::CloseFrame}};
    /// # fn guard<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static>(
    /// #     session: Session, socket: WebSocketStream<S>
    /// # ) -> Guarded<WebSocketStream<S>, Message> {
    /// session.guard(socket, |frame| {
    ///     let reason = frame.reason().to_owned().into();
    ///     Message::Close(Some(CloseFrame { code: frame.code().into(), reason }))
    /// })
    /// # }
    /// ```
    pub fn guard<S, M>(self, socket: S, close: fn(CloseFrame) -> M) -> Guarded<S, M>
    where
        S: Stream + Sink<M> + Send + Unpin + 'static,
        S::Item: Send,
        M: Send + 'static,
    {
        self.guard_with(socket, Frames::new(close))
    }

    /// The same for a socket that is to be [pinged](super::SessionsBuilder::ping_every), too.
    pub fn guard_with<S, M>(self, socket: S, frames: Frames<S, M>) -> Guarded<S, M>
    where
        S: Stream + Sink<M> + Send + Unpin + 'static,
        S::Item: Send,
        M: Send + 'static,
    {
        let slot = Arc::new(Slot::new(socket, frames));
        let entry = Arc::clone(&self.entry);
        let opened = entry.open(Arc::clone(&slot) as Arc<dyn Evict>);
        match &opened {
            Ok(()) => entry.shared().opened(&entry),
            Err(NotGuarded::Doomed(cause)) => entry.shared().close_late(&entry, &*slot, cause),
            Err(NotGuarded::Taken) => drop(slot.take()),
        }
        Guarded::new(slot, entry, opened.is_ok())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.entry.abandon() {
            self.entry.shared().release(&self.entry);
        }
    }
}

impl Clone for Session {
    fn clone(&self) -> Self {
        Self {
            entry: Arc::clone(&self.entry),
            held: self.held.clone(),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.entry).finish()
    }
}
