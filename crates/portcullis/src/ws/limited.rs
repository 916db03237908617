//! Sockets that limit what a client can send before it is authenticated.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::Error;
use axum::extract::ws::{CloseFrame as AxumCloseFrame, Message, WebSocket};
use bytes::Bytes;
use futures_core::Stream;
use futures_core::stream::FusedStream;
use futures_sink::Sink;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame as WireCloseFrame;
use tokio_tungstenite::tungstenite::{Message as WireMessage, Utf8Bytes as WireText};

/// A socket that was opened by axum or by us.
#[derive(Debug)]
pub(super) enum Wire {
    /// Opened by axum, for a client that was authenticated in the handshake.
    Axum(WebSocket),

    /// Opened by us while the client was pending, because axum's socket has no limit that can be
    /// lifted later.
    Limited(LimitedSocket),
}

impl From<WebSocket> for Wire {
    fn from(socket: WebSocket) -> Self {
        Self::Axum(socket)
    }
}

// The methods that are called for every message are inlined; the rare cases are in functions of
// their own, so that they do not grow the callers.

impl Stream for Wire {
    type Item = Result<Message, Error>;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.get_mut() {
            Self::Axum(socket) => Pin::new(socket).poll_next(context),
            Self::Limited(socket) => poll_next(socket, context),
        }
    }
}

impl FusedStream for Wire {
    fn is_terminated(&self) -> bool {
        match self {
            Self::Axum(socket) => socket.is_terminated(),
            Self::Limited(socket) => socket.is_terminated(),
        }
    }
}

impl Sink<Message> for Wire {
    type Error = Error;

    #[inline]
    fn poll_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.get_mut() {
            Self::Axum(socket) => Pin::new(socket).poll_ready(context),
            Self::Limited(socket) => poll_ready(socket, context),
        }
    }

    #[inline]
    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        match self.get_mut() {
            Self::Axum(socket) => Pin::new(socket).start_send(message),
            Self::Limited(socket) => start_send(socket, message),
        }
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.get_mut() {
            Self::Axum(socket) => Pin::new(socket).poll_flush(context),
            Self::Limited(socket) => poll_flush(socket, context),
        }
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.get_mut() {
            Self::Axum(socket) => Pin::new(socket).poll_close(context),
            Self::Limited(socket) => poll_close(socket, context),
        }
    }
}

/// A WebSocket over a connection with a read limit.
pub(super) type LimitedSocket = WebSocketStream<ReadLimit<TokioIo<Upgraded>>>;

/// A connection from which only a number of bytes is read, until the limit is lifted.
///
/// The limits of tungstenite are those of the application, and cannot be changed later. This limit
/// applies to everything that a client sends before it is authenticated. The rest stays in the
/// kernel's buffer, so that the client has to wait.
#[derive(Debug)]
pub(super) struct ReadLimit<S> {
    stream: S,
    /// The bytes that may still be read; `usize::MAX` stands for any number.
    left: usize,
}

impl<S> ReadLimit<S> {
    pub(super) fn new(stream: S, limit: usize) -> Self {
        Self {
            stream,
            left: limit,
        }
    }

    pub(super) fn lift(&mut self) {
        self.left = usize::MAX;
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.left == 0
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadLimit<S> {
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
            // No waker is stored: the task that lifts the limit polls again.
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

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadLimit<S> {
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

#[inline(never)]
fn poll_next(
    socket: &mut LimitedSocket,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Message, Error>>> {
    loop {
        match ready!(Pin::new(&mut *socket).poll_next(context)) {
            Some(Ok(message)) => {
                if let Some(message) = from_tungstenite(message) {
                    return Poll::Ready(Some(Ok(message)));
                }
            }
            Some(Err(error)) => return Poll::Ready(Some(Err(Error::new(error)))),
            None => return Poll::Ready(None),
        }
    }
}

#[inline(never)]
fn poll_ready(socket: &mut LimitedSocket, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
    Pin::new(socket).poll_ready(context).map_err(Error::new)
}

#[inline(never)]
fn start_send(socket: &mut LimitedSocket, message: Message) -> Result<(), Error> {
    let sent = Pin::new(socket).start_send(to_tungstenite(message));
    sent.map_err(Error::new)
}

#[inline(never)]
fn poll_flush(socket: &mut LimitedSocket, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
    Pin::new(socket).poll_flush(context).map_err(Error::new)
}

#[inline(never)]
fn poll_close(socket: &mut LimitedSocket, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
    Pin::new(socket).poll_close(context).map_err(Error::new)
}

/// Converts a message of tungstenite; `None` for a raw frame, which axum does not show either.
///
/// The text types of axum and tungstenite convert only through bytes, which checks UTF-8 again.
fn from_tungstenite(message: WireMessage) -> Option<Message> {
    Some(match message {
        // The conversion cannot fail: tungstenite's text is UTF-8.
        WireMessage::Text(text) => Message::Text(Bytes::from(text).try_into().ok()?),
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

fn to_tungstenite(message: Message) -> WireMessage {
    match message {
        // The conversion cannot fail: axum's text is UTF-8.
        Message::Text(text) => {
            WireMessage::Text(WireText::try_from(Bytes::from(text)).unwrap_or_default())
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
    async fn nothing_is_read_beyond_the_limit() {
        let (mut near, far) = tokio::io::duplex(64);
        near.write_all(b"0123456789").await.unwrap();
        let mut limited = ReadLimit::new(far, 4);
        let mut buffer = [0; 4];
        limited.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"0123");
        assert!(limited.is_exhausted());
        {
            let mut more = std::pin::pin!(limited.read_exact(&mut buffer));
            let poll = std::future::poll_fn(|context| Poll::Ready(more.as_mut().poll(context)));
            assert!(poll.await.is_pending());
        }
        limited.lift();
        limited.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"4567");
    }
}
