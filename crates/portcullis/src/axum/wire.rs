//! The socket itself, in axum's messages.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Error;
use axum::extract::ws::{CloseFrame as AxumCloseFrame, Message, WebSocket};
use futures_core::Stream;
use futures_sink::Sink;

use super::metered::{MeteredSocket, from_wire, to_wire};
use crate::session::CloseFrame;

/// What a [`GuardedSocket`](super::GuardedSocket) has under its guard.
#[derive(Debug)]
pub(super) enum Wire {
    /// axum's own.
    Axum(WebSocket),

    /// One whose client has said in a message who it is. axum's could not be limited until then.
    Metered(MeteredSocket),
}

impl Stream for Wire {
    type Item = Result<Message, Error>;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.get_mut() {
            Self::Axum(socket) => Pin::new(socket).poll_next(context),
            Self::Metered(socket) => poll_metered(Pin::new(socket), context),
        }
    }
}

fn poll_metered(
    mut socket: Pin<&mut MeteredSocket>,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Message, Error>>> {
    loop {
        match std::task::ready!(socket.as_mut().poll_next(context)) {
            Some(Ok(message)) => {
                if let Some(message) = from_wire(message) {
                    return Poll::Ready(Some(Ok(message)));
                }
            }
            Some(Err(error)) => return Poll::Ready(Some(Err(Error::new(error)))),
            None => return Poll::Ready(None),
        }
    }
}

impl Sink<Message> for Wire {
    type Error = Error;

    #[inline]
    fn poll_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.get_mut() {
            Self::Axum(socket) => Pin::new(socket).poll_ready(context),
            Self::Metered(socket) => Pin::new(socket).poll_ready(context).map_err(Error::new),
        }
    }

    #[inline]
    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        match self.get_mut() {
            Self::Axum(socket) => Pin::new(socket).start_send(message),
            Self::Metered(socket) => {
                let sent = Pin::new(socket).start_send(to_wire(message));
                sent.map_err(Error::new)
            }
        }
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.get_mut() {
            Self::Axum(socket) => Pin::new(socket).poll_flush(context),
            Self::Metered(socket) => Pin::new(socket).poll_flush(context).map_err(Error::new),
        }
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.get_mut() {
            Self::Axum(socket) => Pin::new(socket).poll_close(context),
            Self::Metered(socket) => Pin::new(socket).poll_close(context).map_err(Error::new),
        }
    }
}

pub(super) fn close_message(frame: CloseFrame) -> Message {
    Message::Close(Some(AxumCloseFrame {
        code: frame.code(),
        reason: frame.into_reason().into_owned().into(),
    }))
}
