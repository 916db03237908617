use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_core::stream::FusedStream;
use futures_sink::Sink;
use portcullis_core::Identity;

use super::Session;
use super::registry::Entry;
use super::slot::Slot;
use super::tasks::closing;
use crate::close::{CloseCause, CloseFrame};

/// A guarded socket of any WebSocket crate; see [`Session::guard`].
///
/// It is a `Stream` and a `Sink` of the socket's own messages. When the session ends, reads return
/// `None` and writes fail with [`GuardedError::Ended`], at once and whatever the client does.
pub struct Guarded<S: Stream, M> {
    slot: Arc<Slot<S, M>>,
    entry: Arc<Entry>,
    /// Whether this is the session's first socket. The session does not keep a second one.
    owns_session: bool,
}

impl<S: Stream, M> Guarded<S, M> {
    pub(super) fn new(slot: Arc<Slot<S, M>>, entry: Arc<Entry>, owns_session: bool) -> Self {
        Self {
            slot,
            entry,
            owns_session,
        }
    }

    /// Returns the session of this socket.
    pub fn session(&self) -> Session {
        Session::of(Arc::clone(&self.entry))
    }

    /// Returns the identity of the client, as of the last renewal.
    pub fn identity(&self) -> Identity {
        self.entry.identity()
    }

    /// Calls `look` with the socket. Returns `None` if the session has ended.
    pub fn with<T>(&self, look: impl FnOnce(&mut S) -> T) -> Option<T> {
        self.slot.with(look)
    }

    /// Records that the client has closed the socket or disconnected.
    #[cfg(feature = "axum")]
    pub(crate) fn end_by_client(&self) {
        self.slot.end_by_client();
    }

    /// Maps the result of a write; `None` means that the socket was taken out of its slot.
    fn written<E>(&self, result: Option<Result<(), E>>) -> Result<(), GuardedError<E>> {
        match result {
            Some(result) => result.map_err(GuardedError::Socket),
            None => Err(GuardedError::Ended(self.cause())),
        }
    }

    // Not a part of `written`, which every message calls.
    #[cold]
    fn cause(&self) -> CloseCause {
        // A second socket is dropped while its session continues.
        let cause = self.entry.state().cause().cloned();
        cause.unwrap_or(CloseCause::Handler)
    }
}

impl<S, M> Guarded<S, M>
where
    S: Stream + Sink<M> + Unpin,
{
    /// Sends a message that is not from the handler, such as a reply of a dialect.
    ///
    /// It does not wait: the socket buffers the bytes that the connection does not accept. If the
    /// buffer is full, the handler's next send fails.
    #[cfg(feature = "dialects")]
    pub(crate) fn send_beside(&self, context: &mut Context<'_>, message: M) {
        self.slot.send_beside(context, message);
    }

    /// Waits for capacity, sends and flushes, like `SinkExt::send`, but with one lock in place of
    /// three.
    #[cfg(feature = "axum")]
    #[inline]
    pub(crate) fn poll_send(
        &self,
        context: &mut Context<'_>,
        message: &mut Option<M>,
    ) -> Poll<Result<(), GuardedError<S::Error>>> {
        let sent = ready!(self.slot.poll_write(context, |mut socket, context| {
            if message.is_some() {
                ready!(socket.as_mut().poll_ready(context))?;
            }
            if let Some(message) = message.take() {
                socket.as_mut().start_send(message)?;
            }
            socket.poll_flush(context)
        }));
        Poll::Ready(self.written(sent))
    }
}

impl<S, M> Stream for Guarded<S, M>
where
    S: Stream + Sink<M> + Unpin,
{
    type Item = S::Item;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.slot.poll_next(context)
    }
}

impl<S, M> FusedStream for Guarded<S, M>
where
    S: FusedStream + Sink<M> + Unpin,
{
    fn is_terminated(&self) -> bool {
        self.slot.is_terminated(S::is_terminated)
    }
}

impl<S, M> Sink<M> for Guarded<S, M>
where
    S: Stream + Sink<M> + Unpin,
{
    type Error = GuardedError<S::Error>;

    fn poll_ready(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        let poll = ready!(self.slot.poll_write(context, Sink::poll_ready));
        Poll::Ready(self.written(poll))
    }

    fn start_send(self: Pin<&mut Self>, message: M) -> Result<(), Self::Error> {
        let sent = self
            .slot
            .with(|socket| Pin::new(socket).start_send(message));
        self.written(sent)
    }

    fn poll_flush(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        let poll = ready!(self.slot.poll_write(context, Sink::poll_flush));
        Poll::Ready(self.written(poll))
    }

    fn poll_close(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        let poll = ready!(self.slot.poll_write(context, Sink::poll_close));
        Poll::Ready(self.written(poll))
    }
}

/// Closes the session and drops the socket. If the session is closing already, its task keeps the
/// socket until the client has received the close frame.
impl<S: Stream, M> Drop for Guarded<S, M> {
    fn drop(&mut self) {
        if !self.owns_session {
            return;
        }
        self.slot.read_first();
        let cause = match self.slot.is_ended_by_client() {
            true => CloseCause::Client,
            false => CloseCause::Handler,
        };
        if self.entry.close(cause.clone()) {
            drop(self.slot.take());
            closing::finish(&self.entry, &cause);
        }
    }
}

impl<S: Stream, M> fmt::Debug for Guarded<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded")
            .field("session", &self.entry)
            .finish_non_exhaustive()
    }
}

/// Why a guarded socket does not accept a message.
#[non_exhaustive]
#[derive(Debug)]
pub enum GuardedError<E> {
    /// The session has ended, for this cause.
    Ended(CloseCause),

    /// The error of the socket.
    Socket(E),
}

impl<E: fmt::Display> fmt::Display for GuardedError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(cause) => write!(f, "the session has ended ({cause})"),
            Self::Socket(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for GuardedError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Ended(_) => None,
            Self::Socket(error) => error.source(),
        }
    }
}

/// How a WebSocket crate represents the frames that a session sends and expects; see
/// [`Session::guard_with`].
///
/// ```
/// use futures_util::SinkExt;
/// use portcullis::session::{Frames, Sign};
/// use tokio::io::{AsyncRead, AsyncWrite};
/// use tokio_tungstenite::WebSocketStream;
/// use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};
///
/// fn frames<S>() -> Frames<WebSocketStream<S>, Message>
/// where
///     S: AsyncRead + AsyncWrite + Unpin,
/// {
///     let close = Frames::new(|frame| {
///         let reason = frame.reason().to_owned().into();
///         Message::Close(Some(CloseFrame { code: frame.code().into(), reason }))
///     });
///     close.pings(
///         |socket| {
///             // An error means that the buffer is full: the client does not read.
///             let _ = socket.start_send_unpin(Message::Ping("guard".into()));
///             true
///         },
///         |read| match read {
///             Ok(Message::Ping(_)) => Sign::Life,
///             Ok(Message::Pong(answer)) if answer == "guard" => Sign::Life,
///             Ok(Message::Close(_)) | Err(_) => Sign::End,
///             Ok(_) => Sign::Message,
///         },
///     )
/// }
/// # frames::<tokio::io::DuplexStream>();
/// ```
pub struct Frames<S: Stream, M> {
    pub(super) close: fn(CloseFrame) -> M,
    pub(super) pings: Option<Pings<S>>,
}

pub(super) struct Pings<S: Stream> {
    pub(super) ping: fn(&mut S) -> bool,
    pub(super) sign: fn(&S::Item) -> Sign,
}

/// What an item that was read from a socket shows about its client.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sign {
    /// The client is alive, and the handler does not need the item: a ping, which the WebSocket
    /// crate has answered, or the answer to a ping of the session.
    Life,

    /// The client has sent a message for the handler.
    Message,

    /// The client sends nothing more: a close frame, or an error.
    End,
}

impl<S: Stream, M> Frames<S, M> {
    /// Creates frames without pings. `close` converts a close frame to a message.
    pub fn new(close: fn(CloseFrame) -> M) -> Self {
        Self { close, pings: None }
    }

    /// Adds pings, which are sent as often as
    /// [`ping_every`](super::SessionsBuilder::ping_every) says.
    ///
    /// `ping` puts a ping into the socket's own buffer, without waiting; the session flushes it. It
    /// can be called between `poll_ready` and `start_send` of the handler, so it must not use the
    /// capacity that `poll_ready` has reserved. It returns whether the client has to answer. After
    /// `false`, the client may be silent until the next ping.
    ///
    /// `sign` classifies an item that was read.
    #[must_use]
    pub fn pings(mut self, ping: fn(&mut S) -> bool, sign: fn(&S::Item) -> Sign) -> Self {
        self.pings = Some(Pings { ping, sign });
        self
    }
}

impl<S: Stream, M> fmt::Debug for Frames<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames")
            .field("pings", &self.pings.is_some())
            .finish_non_exhaustive()
    }
}
