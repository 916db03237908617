use crate::close::CloseFrame;
use std::fmt;

use futures_core::Stream;

/// How a WebSocket crate writes the frames that are a guard's own; see
/// [`Session::guard_with`](super::Session::guard_with).
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
///             // A full buffer is a client that does not read, and its silence counts, too.
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

/// What something that was read from a socket tells about its client.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sign {
    /// It lives, and nothing else: a ping, which the crate has answered, or the answer to one of
    /// the guard's. Nobody misses it who does not read.
    Life,

    /// It says something, which the handler has to get.
    Message,

    /// It says nothing more: a close frame, or an error.
    End,
}

impl<S: Stream, M> Frames<S, M> {
    /// `close` makes a close frame. There are no pings.
    pub fn new(close: fn(CloseFrame) -> M) -> Self {
        Self { close, pings: None }
    }

    /// Sockets of this crate are pinged as often as
    /// [`ping_every`](super::SessionsBuilder::ping_every) says.
    ///
    /// `ping` puts a ping into the socket's own buffer and waits for nothing; the guard flushes it.
    /// It is called at any time, also between `poll_ready` and `start_send` of the handler, so it
    /// must not take the place that the handler was promised. It says whether the client has to
    /// answer: if it is `false`, the client may be silent until the next ping.
    ///
    /// `sign` says what was read.
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
