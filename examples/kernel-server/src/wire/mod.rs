//! Messages of the Jupyter protocol, and their two formats on a WebSocket.
//!
//! The server parses only the header of a message. It relays the other parts unchanged, including
//! fields that it does not know.

mod legacy;
mod message;
mod v1;

use axum::extract::ws::Message as Frame;

pub(crate) use legacy::Legacy;
pub(crate) use message::{Channel, Message, timestamp};

/// The subprotocol with binary frames. The parts of a message are relayed without parsing JSON.
pub(crate) const KERNEL_PROTOCOL: &str = "v1.kernel.websocket.jupyter.org";

/// The format of the messages on one socket, which the WebSocket handshake negotiates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    /// [`KERNEL_PROTOCOL`].
    V1,

    /// JSON in text frames, or in binary frames for messages with buffers.
    Legacy,
}

impl Format {
    /// Returns the format for a negotiated subprotocol.
    pub(crate) fn of(subprotocol: Option<&[u8]>) -> Self {
        match subprotocol {
            Some(protocol) if protocol == KERNEL_PROTOCOL.as_bytes() => Self::V1,
            _ => Self::Legacy,
        }
    }

    /// Decodes a message. Returns `None` for control frames such as pings.
    pub(crate) fn decode(self, frame: Frame) -> Result<Option<Message>, Malformed> {
        match (self, frame) {
            (Self::V1, Frame::Binary(frame)) => v1::decode(&frame).map(Some),
            (Self::V1, Frame::Text(_)) => Err(Malformed::TextFrame),
            (Self::Legacy, Frame::Text(text)) => legacy::decode_text(&text.into()).map(Some),
            (Self::Legacy, Frame::Binary(frame)) => legacy::decode_binary(&frame).map(Some),
            _ => Ok(None),
        }
    }

    /// Encodes a message.
    pub(crate) fn encode(self, message: &Message) -> Result<Frame, Malformed> {
        match self {
            Self::V1 => Ok(Frame::Binary(v1::encode(message))),
            Self::Legacy => Ok(match legacy::encode(message)? {
                Legacy::Text(json) => Frame::Text(json.into()),
                Legacy::Binary(frame) => Frame::Binary(frame),
            }),
        }
    }
}

/// Why a frame is not a valid message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Malformed {
    /// The subprotocol allows only binary frames.
    TextFrame,

    /// The table of offsets does not match the frame.
    Offsets,

    /// There is no channel with this name.
    Channel,

    /// A part is not valid JSON, or has the wrong type.
    Json,
}

impl Malformed {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::TextFrame => "text frames are not supported",
            Self::Offsets => "offsets do not match the frame",
            Self::Channel => "unknown channel",
            Self::Json => "invalid JSON message",
        }
    }
}
