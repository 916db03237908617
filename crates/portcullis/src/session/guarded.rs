use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_core::stream::FusedStream;
use futures_sink::Sink;
use portcullis_core::Identity;

use super::Session;
use super::entry::Entry;
use super::slot::Slot;
use crate::close::CloseCause;

/// A socket of any crate under the guard of its session; see [`Session::guard`].
///
/// It is a `Stream` and a `Sink` of the socket's own messages. When the session ends, reading ends
/// with `None` and writing fails with [`GuardedError::Ended`], at once and whatever the client does.
pub struct Guarded<S, M>
where
    S: Stream + Sink<M> + Unpin,
{
    slot: Arc<Slot<S, M>>,
    entry: Arc<Entry>,
    /// Whether the session is about this socket.
    is_its_own: bool,
}

impl<S, M> Guarded<S, M>
where
    S: Stream + Sink<M> + Unpin,
{
    pub(super) fn new(slot: Arc<Slot<S, M>>, entry: Arc<Entry>, is_its_own: bool) -> Self {
        Self {
            slot,
            entry,
            is_its_own,
        }
    }

    /// The session of this socket.
    pub fn session(&self) -> Session {
        Session::of(Arc::clone(&self.entry))
    }

    /// Who is at the other end, as of the last renewal.
    pub fn identity(&self) -> Identity {
        self.entry.identity()
    }

    /// Looks at the socket itself; `None` if the session has ended.
    pub fn with<T>(&self, look: impl FnOnce(&mut S) -> T) -> Option<T> {
        self.slot.with(look)
    }

    /// Sends a message for the dialect, beside whatever the handler sends.
    ///
    /// It waits for nothing: what does not fit into the connection stays in the socket's own buffer,
    /// and a socket whose buffer is full fails at the handler's next send.
    pub(crate) fn send_beside(&self, context: &mut Context<'_>, message: M) {
        self.slot.send_beside(context, message);
    }

    /// Takes note that the client has said its close, or is gone.
    pub(crate) fn end_by_client(&self) {
        self.slot.end_by_client();
    }

    /// Waits for room, sends and flushes: what `SinkExt::send` does, under one lock instead of
    /// three.
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
        Poll::Ready(self.answer(sent))
    }

    fn ended<E>(&self) -> GuardedError<E> {
        // A second socket of a session that goes on is nobody's, but the handler's who brings it.
        let cause = self.entry.state().cause().cloned();
        GuardedError::Ended(cause.unwrap_or(CloseCause::Handler))
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
        Poll::Ready(self.answer(poll))
    }

    fn start_send(self: Pin<&mut Self>, message: M) -> Result<(), Self::Error> {
        let sent = self
            .slot
            .with(|socket| Pin::new(socket).start_send(message));
        self.answer(sent)
    }

    fn poll_flush(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        let poll = ready!(self.slot.poll_write(context, Sink::poll_flush));
        Poll::Ready(self.answer(poll))
    }

    fn poll_close(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        let poll = ready!(self.slot.poll_write(context, Sink::poll_close));
        Poll::Ready(self.answer(poll))
    }
}

impl<S, M> Guarded<S, M>
where
    S: Stream + Sink<M> + Unpin,
{
    fn answer(&self, written: Option<Result<(), S::Error>>) -> Result<(), GuardedError<S::Error>> {
        match written {
            Some(result) => result.map_err(GuardedError::Socket),
            None => Err(self.ended()),
        }
    }
}

/// What is still open is dropped, and the session is over. One that the registry is closing is left
/// to it, so that the client hears why.
impl<S, M> Drop for Guarded<S, M>
where
    S: Stream + Sink<M> + Unpin,
{
    fn drop(&mut self) {
        if !self.is_its_own {
            return;
        }
        let cause = match self.slot.is_ended_by_client() {
            true => CloseCause::Client,
            false => CloseCause::Handler,
        };
        if self.entry.leave(cause.clone()) {
            drop(self.slot.take());
            self.entry.shared().forget(&self.entry, &cause);
        }
    }
}

impl<S, M> fmt::Debug for Guarded<S, M>
where
    S: Stream + Sink<M> + Unpin,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded")
            .field("session", &self.entry)
            .finish_non_exhaustive()
    }
}

/// Why a guarded socket does not take a message.
#[non_exhaustive]
#[derive(Debug)]
pub enum GuardedError<E> {
    /// The session has ended, for this cause.
    Ended(CloseCause),

    /// What the socket itself says.
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
