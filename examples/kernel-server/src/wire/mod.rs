//! Messages of the Jupyter protocol, and the two ways to put them on a WebSocket.
//!
//! The server relays messages. It reads the header and leaves the rest as its sender wrote it, so
//! that no field is lost which this server does not know.

mod legacy;
mod message;
mod v1;

pub(crate) use legacy::Legacy;
pub(crate) use message::{Channel, Message, timestamp};

use crate::auth::ws;

/// The subprotocol whose binary frames spare both sides the parsing of what they only pass on.
pub(crate) const KERNEL_PROTOCOL: &str = "v1.kernel.websocket.jupyter.org";

/// How one socket writes its messages. Both sides agree on it in the handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    /// [`KERNEL_PROTOCOL`].
    V1,

    /// JSON in text frames, or in binary frames where there are buffers.
    Legacy,
}

impl Format {
    /// The format that goes with the subprotocol of a socket.
    pub(crate) fn of(subprotocol: Option<&[u8]>) -> Self {
        match subprotocol {
            Some(protocol) if protocol == KERNEL_PROTOCOL.as_bytes() => Self::V1,
            _ => Self::Legacy,
        }
    }

    /// Reads a message; `None` if the frame carries none (a ping, for example).
    pub(crate) fn decode(self, frame: ws::Message) -> Result<Option<Message>, Malformed> {
        match (self, frame) {
            (Self::V1, ws::Message::Binary(frame)) => v1::decode(&frame).map(Some),
            (Self::V1, ws::Message::Text(_)) => Err(Malformed::KindOfFrame),
            (Self::Legacy, ws::Message::Text(text)) => legacy::decode_text(&text.into()).map(Some),
            (Self::Legacy, ws::Message::Binary(frame)) => legacy::decode_binary(&frame).map(Some),
            _ => Ok(None),
        }
    }

    /// Writes a message.
    pub(crate) fn encode(self, message: &Message) -> Result<ws::Message, Malformed> {
        match self {
            Self::V1 => Ok(ws::Message::Binary(v1::encode(message))),
            Self::Legacy => Ok(match legacy::encode(message)? {
                Legacy::Text(json) => ws::Message::Text(json.into()),
                Legacy::Binary(frame) => ws::Message::Binary(frame),
            }),
        }
    }
}

/// Why something that came in is no message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Malformed {
    /// The subprotocol knows only binary frames.
    KindOfFrame,

    /// The offsets do not describe the frame they stand in.
    Offsets,

    /// There is no channel of this name.
    Channel,

    /// A part is not the JSON it should be.
    Json,
}

impl Malformed {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::KindOfFrame => "a text frame where only binary ones are known",
            Self::Offsets => "offsets that do not describe the frame",
            Self::Channel => "no such channel",
            Self::Json => "not the JSON of a message",
        }
    }
}
