use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::Error;
use axum::extract::ws::Message;
use futures_core::Stream;
use futures_core::stream::FusedStream;
use futures_sink::Sink;
use futures_util::SinkExt;
use http::HeaderValue;
use portcullis_core::Identity;

use super::talk::Talk;
use super::wire::Wire;
use crate::session::Session;
use crate::session::{Guarded, GuardedError};

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
pub struct GuardedSocket {
    guarded: Guarded<Wire, Message>,
    protocol: Option<Box<HeaderValue>>,
    talk: Option<Box<Talk>>,
}

impl GuardedSocket {
    pub(super) fn new(
        guarded: Guarded<Wire, Message>,
        protocol: Option<HeaderValue>,
        talk: Option<Talk>,
    ) -> Self {
        Self {
            guarded,
            protocol: protocol.map(Box::new),
            talk: talk.map(Box::new),
        }
    }

    /// Who is at the other end, as of the last renewal.
    ///
    /// [`session`](Self::session)`().changes()` tells when that changes.
    pub fn identity(&self) -> Identity {
        self.guarded.identity()
    }

    /// The session: its id, its deadline, and word of its end for tasks that do not read. Its
    /// [`close`](Session::close) closes the socket with a code of the application's own.
    pub fn session(&self) -> Session {
        self.guarded.session()
    }

    /// The subprotocol that was selected by the application.
    pub fn protocol(&self) -> Option<&HeaderValue> {
        self.protocol.as_deref()
    }
}

impl GuardedSocket {
    /// The next message; `None` once the socket is closed or the session has ended.
    pub fn recv(&mut self) -> impl Future<Output = Option<Result<Message, Error>>> + Send {
        Receiving { socket: self }
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// If the socket is closed, the session has ended, or the client reads too slowly; see
    /// [`GuardedUpgrade::max_write_buffer_size`](crate::GuardedUpgrade::max_write_buffer_size).
    pub fn send(&mut self, message: Message) -> impl Future<Output = Result<(), Error>> + Send {
        Sending {
            socket: self,
            message: Some(message),
        }
    }
}

// Futures with names: what is done for every message becomes a part of the handler's own future,
// and no call of its own. The guard's share of an echo is half of what it is with `poll_fn` and
// `StreamExt::next`.

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
        match &mut this.talk {
            None => poll_guarded(&mut this.guarded, context),
            Some(talk) => poll_talking(&mut this.guarded, talk, context),
        }
    }
}

impl FusedStream for GuardedSocket {
    fn is_terminated(&self) -> bool {
        let delivers = self.talk.as_ref().is_some_and(|talk| talk.delivers());
        !delivers && self.guarded.is_terminated()
    }
}

#[inline(always)]
fn poll_guarded(
    guarded: &mut Guarded<Wire, Message>,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Message, Error>>> {
    let poll = Pin::new(&mut *guarded).poll_next(context);
    if let Poll::Ready(Some(Ok(Message::Close(_)) | Err(_))) = &poll {
        guarded.end_by_client();
    }
    poll
}

/// What the dialect of the route leaves to the handler.
#[inline(never)]
fn poll_talking(
    guarded: &mut Guarded<Wire, Message>,
    talk: &mut Talk,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Message, Error>>> {
    loop {
        if let Some(message) = ready!(talk.poll_before(guarded, context)) {
            return Poll::Ready(Some(Ok(message)));
        }
        let message = match poll_guarded(guarded, context) {
            Poll::Ready(Some(Ok(message))) => message,
            Poll::Ready(end) => return Poll::Ready(end),
            Poll::Pending => {
                // The end of the session wakes who reads the socket, too.
                let _ = talk.poll_end(guarded, context);
                return Poll::Pending;
            }
        };
        if let Some(heard) = talk.hear(guarded, context, message) {
            return Poll::Ready(Some(Ok(heard)));
        }
    }
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
