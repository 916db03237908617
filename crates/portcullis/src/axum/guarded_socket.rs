use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::Error;
use axum::extract::ws::Message;
use futures_core::Stream;
use futures_sink::Sink;
use futures_util::{SinkExt, StreamExt};
use http::HeaderValue;
use portcullis_core::Identity;

use super::talk::Talk;
use super::wire::Wire;
use crate::session::{Guarded, GuardedError, Session};

/// The socket of an admitted request, for as long as its session lasts.
///
/// It has the methods of axum's `WebSocket`, and is a `Stream` and a `Sink` of axum's `Message`, so
/// `StreamExt::split` and the like work. It ends by itself when the credential does: reading then
/// ends with `None`, writing fails, and the client gets a close frame that says why.
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
    guarded: Guarded<Wire, Message, C>,
    protocol: Option<Box<HeaderValue>>,
    talk: Option<Box<Talk<C>>>,
}

impl<C> GuardedSocket<C> {
    pub(super) fn new(
        guarded: Guarded<Wire, Message, C>,
        protocol: Option<HeaderValue>,
        talk: Option<Talk<C>>,
    ) -> Self {
        Self {
            guarded,
            protocol: protocol.map(Box::new),
            talk: talk.map(Box::new),
        }
    }

    /// Who is at the other end, as of the last renewal.
    ///
    /// [`session`](Self::session)`().changed()` tells when that changes.
    pub fn identity(&self) -> Identity<C> {
        self.guarded.identity()
    }

    /// The session: its id, its deadline, and word of its end for tasks that do not read.
    pub fn session(&self) -> Session<C> {
        self.guarded.session()
    }

    /// The subprotocol that was selected by the application.
    pub fn protocol(&self) -> Option<&HeaderValue> {
        self.protocol.as_deref()
    }
}

impl<C: Send + Sync + 'static> GuardedSocket<C> {
    /// The next message; `None` once the socket is closed or the session has ended.
    pub async fn recv(&mut self) -> Option<Result<Message, Error>> {
        self.next().await
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// If the socket is closed, the session has ended, or the client reads too slowly; see
    /// [`GuardedUpgrade::max_write_buffer_size`](crate::GuardedUpgrade::max_write_buffer_size).
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        let mut message = Some(message);
        let sent = poll_fn(|context| self.guarded.poll_send(context, &mut message));
        sent.await.map_err(failed)
    }
}

impl<C: Send + Sync + 'static> Stream for GuardedSocket<C> {
    type Item = Result<Message, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(talk) = &mut this.talk
                && let Some(message) = ready!(talk.poll_before(&this.guarded, context))
            {
                return Poll::Ready(Some(Ok(message)));
            }
            let next = ready!(this.guarded.poll_next_unpin(context));
            if let Some(Ok(Message::Close(_)) | Err(_)) = next {
                this.guarded.end_by_client();
            }
            match (&mut this.talk, next) {
                (Some(talk), Some(Ok(message))) => {
                    if let Some(heard) = talk.hear(&this.guarded, context, message) {
                        return Poll::Ready(Some(Ok(heard)));
                    }
                }
                (_, next) => return Poll::Ready(next),
            }
        }
    }
}

impl<C: Send + Sync + 'static> Sink<Message> for GuardedSocket<C> {
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

impl<C> fmt::Debug for GuardedSocket<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedSocket")
            .field("identity", &self.identity())
            .field("protocol", &self.protocol())
            .finish_non_exhaustive()
    }
}
