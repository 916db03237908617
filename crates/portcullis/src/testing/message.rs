use std::fmt;

use bytes::Bytes;
use tokio_tungstenite::tungstenite;

use crate::close::CloseFrame;

/// A message that a [`TestSocket`](super::TestSocket) sends or receives.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message {
    /// A text message.
    Text(String),

    /// A binary message.
    Binary(Bytes),

    /// A ping, which the server answers with a pong.
    Ping(Bytes),

    /// A pong, in answer to a ping or unsolicited.
    Pong(Bytes),

    /// A close frame, which may have no content.
    Close(Option<CloseFrame>),
}

impl Message {
    /// Creates a text message.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Creates a binary message.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::Binary(bytes.into())
    }

    /// Converts a received message; `None` for a raw frame, which tungstenite never returns.
    pub(super) fn received(message: tungstenite::Message) -> Option<Self> {
        Some(match message {
            tungstenite::Message::Text(text) => Self::text(text.as_str()),
            tungstenite::Message::Binary(bytes) => Self::Binary(bytes),
            tungstenite::Message::Ping(bytes) => Self::Ping(bytes),
            tungstenite::Message::Pong(bytes) => Self::Pong(bytes),
            tungstenite::Message::Close(frame) => Self::Close(frame.map(|frame| {
                // tungstenite refuses a frame with a code that it must not contain.
                CloseFrame::new(frame.code.into(), frame.reason.as_str().to_owned())
            })),
            tungstenite::Message::Frame(_) => return None,
        })
    }

    pub(super) fn into_sent(self) -> tungstenite::Message {
        match self {
            Self::Text(text) => tungstenite::Message::Text(text.into()),
            Self::Binary(bytes) => tungstenite::Message::Binary(bytes),
            Self::Ping(bytes) => tungstenite::Message::Ping(bytes),
            Self::Pong(bytes) => tungstenite::Message::Pong(bytes),
            Self::Close(frame) => {
                tungstenite::Message::Close(frame.map(|frame| tungstenite::protocol::CloseFrame {
                    code: frame.code().into(),
                    reason: frame.reason().into(),
                }))
            }
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::binary(bytes)
    }
}

/// The error of a [`TestSocket`](super::TestSocket) that cannot send or receive.
#[derive(Debug)]
pub struct SocketError(pub(super) tungstenite::Error);

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SocketError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_unchanged_by_both_conversions() {
        for message in [
            Message::text("hello"),
            Message::binary("hello"),
            Message::Ping(Bytes::from_static(b"ping")),
            Message::Pong(Bytes::new()),
            Message::Close(None),
            Message::Close(Some(CloseFrame::new(3000, "credential expired"))),
        ] {
            let converted = Message::received(message.clone().into_sent());
            assert_eq!(converted, Some(message));
        }
    }
}
