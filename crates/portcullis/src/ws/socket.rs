//! [`GuardedSocket`].

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Error;
use axum::extract::ws::Message;
use futures_core::Stream;
use futures_core::stream::FusedStream;
use futures_sink::Sink;
use futures_util::SinkExt;
use http::HeaderValue;
use portcullis_core::Identity;

#[cfg(feature = "dialects")]
use super::dialect_state::DialectState;
use super::wire::Wire;
use crate::session::{Guarded, GuardedError, Session};

/// The socket of an admitted client, open while its session lasts.
///
/// It has the methods of axum's `WebSocket`, and is a `Stream` and a `Sink` of axum's `Message`, so
/// `StreamExt::split` and the like work. When the credential expires or is revoked, the client gets
/// a close frame that says why; reading then ends with `None`, and writing fails.
///
/// ```
/// use portcullis::GuardedSocket;
///
/// async fn echo(mut socket: GuardedSocket) {
///     while let Some(Ok(message)) = socket.recv().await {
///         if socket.send(message).await.is_err() {
///             return;
///         }
///     }
/// }
/// ```
pub struct GuardedSocket {
    guarded: Guarded<Wire, Message>,
    protocol: Option<Box<HeaderValue>>,
    #[cfg(feature = "dialects")]
    dialect: Option<Box<DialectState>>,
}

impl GuardedSocket {
    pub(super) fn new(guarded: Guarded<Wire, Message>, protocol: Option<HeaderValue>) -> Self {
        Self {
            guarded,
            protocol: protocol.map(Box::new),
            #[cfg(feature = "dialects")]
            dialect: None,
        }
    }

    #[cfg(feature = "dialects")]
    pub(super) fn with_dialect(self, dialect: Option<DialectState>) -> Self {
        Self {
            dialect: dialect.map(Box::new),
            ..self
        }
    }

    /// Returns the identity of the client, as of the last renewal.
    ///
    /// [`session`](Self::session)`().changes()` reports when it changes.
    pub fn identity(&self) -> Identity {
        self.guarded.identity()
    }

    /// Returns the session, with its id and its deadline. A task that does not read from the socket
    /// can wait for the end of the session.
    ///
    /// To close the socket with a code of the application, call its [`close`](Session::close).
    pub fn session(&self) -> Session {
        self.guarded.session()
    }

    /// Returns the subprotocol that the application selected.
    pub fn protocol(&self) -> Option<&HeaderValue> {
        self.protocol.as_deref()
    }

    /// Receives the next message; `None` once the socket is closed or the session has ended.
    pub fn recv(&mut self) -> impl Future<Output = Option<Result<Message, Error>>> + Send {
        Receiving { socket: self }
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// Returns an error if the socket is closed, the session has ended, or the client reads too
    /// slowly; see
    /// [`GuardedUpgrade::max_write_buffer_size`](crate::GuardedUpgrade::max_write_buffer_size).
    pub fn send(&mut self, message: Message) -> impl Future<Output = Result<(), Error>> + Send {
        Sending {
            socket: self,
            message: Some(message),
        }
    }
}

// Named futures, so that the work for each message is inlined into the handler's future. The guard
// costs half as much per message as with `poll_fn` and `StreamExt::next`.

struct Receiving<'a> {
    socket: &'a mut GuardedSocket,
}

impl Future for Receiving<'_> {
    type Output = Option<Result<Message, Error>>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut *self.get_mut().socket).poll_next(context)
    }
}

struct Sending<'a> {
    socket: &'a mut GuardedSocket,
    message: Option<Message>,
}

impl Future for Sending<'_> {
    type Output = Result<(), Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { socket, message } = self.get_mut();
        socket.guarded.poll_send(context, message).map_err(failed)
    }
}

impl Stream for GuardedSocket {
    type Item = Result<Message, Error>;

    #[inline(always)]
    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        #[cfg(feature = "dialects")]
        if let Some(dialect) = &mut this.dialect {
            return dialect.poll_next(&mut this.guarded, context);
        }
        poll_guarded(&mut this.guarded, context)
    }
}

impl FusedStream for GuardedSocket {
    fn is_terminated(&self) -> bool {
        #[cfg(feature = "dialects")]
        if self.dialect.as_ref().is_some_and(|it| it.has_message()) {
            return false;
        }
        self.guarded.is_terminated()
    }
}

#[inline(always)]
pub(super) fn poll_guarded(
    guarded: &mut Guarded<Wire, Message>,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Message, Error>>> {
    let poll = Pin::new(&mut *guarded).poll_next(context);
    if let Poll::Ready(Some(Ok(Message::Close(_)) | Err(_))) = &poll {
        guarded.end_by_client();
    }
    poll
}

impl Sink<Message> for GuardedSocket {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.guarded.poll_ready_unpin(context).map_err(failed)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.guarded.start_send_unpin(message).map_err(failed)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.guarded.poll_flush_unpin(context).map_err(failed)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.guarded.poll_close_unpin(context).map_err(failed)
    }
}

fn failed(error: GuardedError<Error>) -> Error {
    match error {
        GuardedError::Socket(error) => error,
        ended @ GuardedError::Ended(_) => Error::new(ended),
    }
}

impl fmt::Debug for GuardedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedSocket")
            .field("identity", &self.identity())
            .field("protocol", &self.protocol())
            .finish_non_exhaustive()
    }
}
