//! The socket itself, in axum's messages.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Error;
use axum::extract::ws::{CloseFrame as AxumCloseFrame, Message, WebSocket};
use bytes::Bytes;
use futures_core::Stream;
use futures_core::stream::FusedStream;
use futures_sink::Sink;

use super::metered::{self, MeteredSocket};
use crate::close::CloseFrame;
use crate::session::{Frames, Sign};

/// What a [`GuardedSocket`](super::GuardedSocket) has under its guard.
#[derive(Debug)]
pub(super) enum Wire {
    /// axum's own.
    Axum(WebSocket),

    /// One whose client has said in a message who it is. axum's could not be limited until then.
    Metered(MeteredSocket),
}

// What is called for every message is short, so that it vanishes in its caller; what few sockets
// need is elsewhere.

impl Stream for Wire {
    type Item = Result<Message, Error>;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.get_mut() {
            Self::Axum(socket) => Pin::new(socket).poll_next(context),
            Self::Metered(socket) => metered::poll_next(socket, context),
        }
    }
}

impl FusedStream for Wire {
    fn is_terminated(&self) -> bool {
        match self {
            Self::Axum(socket) => socket.is_terminated(),
            Self::Metered(socket) => socket.is_terminated(),
        }
    }
}

impl Sink<Message> for Wire {
    type Error = Error;

    #[inline]
    fn poll_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.get_mut() {
            Self::Axum(socket) => Pin::new(socket).poll_ready(context),
            Self::Metered(socket) => metered::poll_ready(socket, context),
        }
    }

    #[inline]
    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        match self.get_mut() {
            Self::Axum(socket) => Pin::new(socket).start_send(message),
            Self::Metered(socket) => metered::start_send(socket, message),
        }
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.get_mut() {
            Self::Axum(socket) => Pin::new(socket).poll_flush(context),
            Self::Metered(socket) => metered::poll_flush(socket, context),
        }
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.get_mut() {
            Self::Axum(socket) => Pin::new(socket).poll_close(context),
            Self::Metered(socket) => metered::poll_close(socket, context),
        }
    }
}

/// How a guard closes and pings such a socket.
pub(super) fn frames() -> Frames<Wire, Message> {
    Frames::new(close_message).pings(
        |socket| {
            // A full buffer is a client that does not read, and a socket that sends nothing more is
            // one whose close is not answered: silence counts.
            let _ = Pin::new(socket).start_send(Message::Ping(Bytes::from_static(OURS)));
            true
        },
        |read| match read {
            Ok(Message::Ping(_)) => Sign::Life,
            Ok(Message::Pong(answer)) if answer == OURS => Sign::Life,
            Ok(Message::Close(_)) | Err(_) => Sign::End,
            Ok(_) => Sign::Message,
        },
    )
}

/// What is in the pings of a guard, so that their answers are told from those to the handler's.
const OURS: &[u8] = b"guard";

fn close_message(frame: CloseFrame) -> Message {
    Message::Close(Some(AxumCloseFrame {
        code: frame.code(),
        reason: frame.into_reason().into_owned().into(),
    }))
}
