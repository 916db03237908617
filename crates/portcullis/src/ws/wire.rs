//! The socket under a [`GuardedSocket`](crate::GuardedSocket), in axum's messages.

use std::pin::Pin;

#[cfg(not(feature = "dialects"))]
pub(super) use axum::extract::ws::WebSocket as Wire;
use axum::extract::ws::{CloseFrame as AxumCloseFrame, Message};
use bytes::Bytes;
use futures_sink::Sink;

#[cfg(feature = "dialects")]
pub(super) use super::limited::Wire;
use crate::close::CloseFrame;
use crate::session::{Frames, Sign};

/// Returns how a session closes and pings such a socket.
pub(super) fn frames() -> Frames<Wire, Message> {
    Frames::new(close_message).pings(
        |socket| {
            // An error counts as silence: the buffer is full because the client does not read, or
            // the socket is already closing.
            let _ = Pin::new(socket).start_send(Message::Ping(Bytes::from_static(OUR_PING)));
            true
        },
        |read| match read {
            Ok(Message::Ping(_)) => Sign::Life,
            Ok(Message::Pong(answer)) if answer == OUR_PING => Sign::Life,
            Ok(Message::Close(_)) | Err(_) => Sign::End,
            Ok(_) => Sign::Message,
        },
    )
}

/// The payload of our pings. It distinguishes their answers from answers to pings of the handler.
const OUR_PING: &[u8] = b"guard";

fn close_message(frame: CloseFrame) -> Message {
    Message::Close(Some(AxumCloseFrame {
        code: frame.code(),
        reason: frame.into_reason().into_owned().into(),
    }))
}
