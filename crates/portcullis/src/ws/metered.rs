//! A socket of which no more is read than its client is trusted with: tungstenite over what hyper
//! hands over.

use crate::close::CloseFrame;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::Error;
use axum::extract::ws::{CloseFrame as AxumCloseFrame, Message};
use futures_core::Stream;
use futures_sink::Sink;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame as WireCloseFrame;
use tokio_tungstenite::tungstenite::{Message as WireMessage, Utf8Bytes as WireText};

pub(super) type MeteredSocket = WebSocketStream<Metered<TokioIo<Upgraded>>>;

/// A connection of which only so much is read, until that is lifted.
///
/// tungstenite's limits are those of the application and cannot be changed later. This holds
/// whatever a client sends before it has said who it is: the rest waits in the kernel, and the
/// client with it.
#[derive(Debug)]
pub(super) struct Metered<S> {
    stream: S,
    left: usize,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, left: usize) -> Self {
        Self { stream, left }
    }

    pub(super) fn lift(&mut self) {
        self.left = usize::MAX;
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.left == 0
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == usize::MAX {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        if self.left == 0 {
            // Whoever lifts the limit polls again.
            return Poll::Pending;
        }
        let limit = self.left.min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(limit));
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
        let read = part.filled().len();
        buffer.advance(read);
        self.left -= read;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

pub(super) fn close_wire(frame: CloseFrame) -> WireMessage {
    WireMessage::Close(Some(WireCloseFrame {
        code: frame.code().into(),
        reason: WireText::from(frame.into_reason().into_owned()),
    }))
}

#[inline(never)]
pub(super) fn poll_next(
    socket: &mut MeteredSocket,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Message, Error>>> {
    loop {
        match ready!(Pin::new(&mut *socket).poll_next(context)) {
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

#[inline(never)]
pub(super) fn poll_ready(
    socket: &mut MeteredSocket,
    context: &mut Context<'_>,
) -> Poll<Result<(), Error>> {
    Pin::new(socket).poll_ready(context).map_err(Error::new)
}

#[inline(never)]
pub(super) fn start_send(socket: &mut MeteredSocket, message: Message) -> Result<(), Error> {
    let sent = Pin::new(socket).start_send(to_wire(message));
    sent.map_err(Error::new)
}

#[inline(never)]
pub(super) fn poll_flush(
    socket: &mut MeteredSocket,
    context: &mut Context<'_>,
) -> Poll<Result<(), Error>> {
    Pin::new(socket).poll_flush(context).map_err(Error::new)
}

#[inline(never)]
pub(super) fn poll_close(
    socket: &mut MeteredSocket,
    context: &mut Context<'_>,
) -> Poll<Result<(), Error>> {
    Pin::new(socket).poll_close(context).map_err(Error::new)
}

/// axum's text and tungstenite's cannot be turned into one another without looking again whether
/// they are UTF-8.
///
/// `None` for what axum does not show either: a frame that is no message.
fn from_wire(message: WireMessage) -> Option<Message> {
    Some(match message {
        WireMessage::Text(text) => {
            let text = bytes::Bytes::from(text);
            // It was UTF-8 a line ago.
            Message::Text(text.try_into().ok()?)
        }
        WireMessage::Binary(bytes) => Message::Binary(bytes),
        WireMessage::Ping(bytes) => Message::Ping(bytes),
        WireMessage::Pong(bytes) => Message::Pong(bytes),
        WireMessage::Close(frame) => Message::Close(frame.map(|frame| AxumCloseFrame {
            code: frame.code.into(),
            reason: frame.reason.as_str().into(),
        })),
        WireMessage::Frame(_) => return None,
    })
}

fn to_wire(message: Message) -> WireMessage {
    match message {
        Message::Text(text) => {
            let bytes = bytes::Bytes::from(text);
            match WireText::try_from(bytes) {
                Ok(text) => WireMessage::Text(text),
                // A text of axum's is UTF-8. If that ever changes, nothing of it is sent.
                Err(_) => WireMessage::Text(WireText::default()),
            }
        }
        Message::Binary(bytes) => WireMessage::Binary(bytes),
        Message::Ping(bytes) => WireMessage::Ping(bytes),
        Message::Pong(bytes) => WireMessage::Pong(bytes),
        Message::Close(frame) => WireMessage::Close(frame.map(|frame| WireCloseFrame {
            code: frame.code.into(),
            reason: frame.reason.as_str().into(),
        })),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn no_more_is_read_than_the_limit() {
        let (mut near, far) = tokio::io::duplex(64);
        near.write_all(b"0123456789").await.unwrap();
        let mut metered = Metered::new(far, 4);
        let mut buffer = [0; 4];
        metered.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"0123");
        assert!(metered.is_exhausted());
        {
            let mut more = std::pin::pin!(metered.read_exact(&mut buffer));
            let poll = std::future::poll_fn(|context| Poll::Ready(more.as_mut().poll(context)));
            assert!(poll.await.is_pending());
        }
        metered.lift();
        metered.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"4567");
    }
}
