use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Error;
use axum::extract::ws::{Message, WebSocket};
use futures_core::Stream;
use futures_sink::Sink;
use http::HeaderValue;
use portcullis_core::Identity;

/// The socket of an admitted request: axum's `WebSocket`, and who is at its other end.
///
/// It is a `Stream` and a `Sink` of axum's `Message`, so `StreamExt::split` and the like work.
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
pub struct GuardedSocket<C = ()> {
    socket: WebSocket,
    identity: Identity<C>,
}

impl<C> GuardedSocket<C> {
    pub(super) fn new(socket: WebSocket, identity: Identity<C>) -> Self {
        Self { socket, identity }
    }

    /// Who is at the other end.
    pub fn identity(&self) -> &Identity<C> {
        &self.identity
    }

    /// The next message; `None` once the socket is closed.
    pub async fn recv(&mut self) -> Option<Result<Message, Error>> {
        self.socket.recv().await
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// If the socket is closed, or the client reads too slowly; see
    /// [`GuardedUpgrade::max_write_buffer_size`](crate::GuardedUpgrade::max_write_buffer_size).
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        self.socket.send(message).await
    }

    /// The subprotocol that was selected by the application.
    pub fn protocol(&self) -> Option<&HeaderValue> {
        self.socket.protocol()
    }
}

impl<C> Stream for GuardedSocket<C> {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.socket).poll_next(context)
    }
}

impl<C> Sink<Message> for GuardedSocket<C> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.socket).poll_ready(context)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        Pin::new(&mut self.socket).start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.socket).poll_close(context)
    }
}

impl<C> fmt::Debug for GuardedSocket<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedSocket")
            .field("identity", &self.identity)
            .field("protocol", &self.protocol())
            .finish_non_exhaustive()
    }
}
