//! The format without a subprotocol: JSON in text frames, and binary frames for messages with
//! buffers.
//!
//! ```text
//! n | offset 0 … offset n-1 | JSON | buffers …
//! ```
//!
//! All numbers have 32 bits and are big-endian. An offset is the start of a part. The last part
//! ends at the end of the frame.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Channel, Malformed, Message};

/// An encoded message, for a text frame or for a binary frame.
#[derive(Debug)]
pub(crate) enum Legacy {
    Text(String),
    Binary(Bytes),
}

pub(super) fn decode_text(text: &Bytes) -> Result<Message, Malformed> {
    decode_json(text, Vec::new())
}

pub(super) fn decode_binary(frame: &Bytes) -> Result<Message, Malformed> {
    let number = |index: usize| -> Option<usize> {
        let at = index.checked_mul(4)?;
        let bytes = frame.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_be_bytes(bytes.try_into().ok()?)).ok()
    };
    let count = number(0).ok_or(Malformed::Offsets)?;
    // Checked before the allocation, so that a frame cannot claim more offsets than it contains.
    if count == 0 || count > frame.len() / 4 - 1 {
        return Err(Malformed::Offsets);
    }
    let mut at = number(1).ok_or(Malformed::Offsets)?;
    if at != 4 * (count + 1) {
        return Err(Malformed::Offsets);
    }
    let mut parts = Vec::with_capacity(count);
    for index in 1..=count {
        let end = match index == count {
            true => frame.len(),
            false => number(index + 1).ok_or(Malformed::Offsets)?,
        };
        if end < at || end > frame.len() {
            return Err(Malformed::Offsets);
        }
        parts.push(frame.slice(at..end));
        at = end;
    }
    let json = parts.remove(0);
    decode_json(&json, parts)
}

pub(super) fn encode(message: &Message) -> Result<Legacy, Malformed> {
    let json = encode_json(message)?;
    if message.buffers.is_empty() {
        return Ok(Legacy::Text(json));
    }
    let json = Bytes::from(json);
    let parts = || std::iter::once(&json).chain(&message.buffers);
    let count = parts().count();
    let mut at = 4 * (count + 1);
    let mut frame = BytesMut::with_capacity(at + parts().map(Bytes::len).sum::<usize>());
    frame.put_u32(offset(count)?);
    for part in parts() {
        frame.put_u32(offset(at)?);
        at += part.len();
    }
    parts().for_each(|part| frame.put_slice(part));
    Ok(Legacy::Binary(frame.freeze()))
}

/// The JSON of a message from a client. Other fields are ignored.
#[derive(Deserialize)]
struct Incoming<'a> {
    #[serde(default = "shell")]
    channel: Channel,
    #[serde(borrow)]
    header: &'a RawValue,
    #[serde(borrow, default)]
    parent_header: Option<&'a RawValue>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    content: &'a RawValue,
}

/// The JSON of a message to a client.
#[derive(Serialize)]
struct Outgoing<'a> {
    channel: Channel,
    msg_id: &'a str,
    msg_type: &'a str,
    header: &'a RawValue,
    parent_header: &'a RawValue,
    metadata: &'a RawValue,
    content: &'a RawValue,
    buffers: [(); 0],
}

fn decode_json(json: &Bytes, buffers: Vec<Bytes>) -> Result<Message, Malformed> {
    let incoming: Incoming<'_> = serde_json::from_slice(json).map_err(|_| Malformed::Json)?;
    let part = |part: &RawValue| json.slice_ref(part.get().as_bytes());
    let optional = |value: Option<&RawValue>| value.map_or(Bytes::from_static(b"{}"), part);
    let parts = [
        part(incoming.header),
        optional(incoming.parent_header),
        optional(incoming.metadata),
        part(incoming.content),
    ];
    Message::from_parts(incoming.channel, parts, buffers)
}

fn encode_json(message: &Message) -> Result<String, Malformed> {
    fn raw(part: &Bytes) -> Result<&RawValue, Malformed> {
        serde_json::from_slice(part).map_err(|_| Malformed::Json)
    }
    let header = message.header()?;
    let outgoing = Outgoing {
        channel: message.channel,
        msg_id: &header.msg_id,
        msg_type: &header.msg_type,
        header: raw(&message.header)?,
        parent_header: raw(&message.parent_header)?,
        metadata: raw(&message.metadata)?,
        content: raw(&message.content)?,
        buffers: [],
    };
    serde_json::to_string(&outgoing).map_err(|_| Malformed::Json)
}

/// Fails at 4 GiB, the limit of this format.
fn offset(at: usize) -> Result<u32, Malformed> {
    u32::try_from(at).map_err(|_| Malformed::Offsets)
}

fn shell() -> Channel {
    Channel::Shell
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::message::tests::example;
    use super::*;

    fn binary(message: &Message) -> Bytes {
        match encode(message).unwrap() {
            Legacy::Binary(frame) => frame,
            Legacy::Text(json) => panic!("expected a binary frame: {json}"),
        }
    }

    #[test]
    fn message_without_buffers_is_text() {
        let message = Message {
            buffers: Vec::new(),
            ..example()
        };
        let Legacy::Text(json) = encode(&message).unwrap() else {
            panic!("expected a text frame");
        };
        let read: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["channel"], "shell");
        assert_eq!(read["msg_type"], "comm_msg");
        assert_eq!(read["header"]["subshell_id"], "s");
        assert_eq!(read["buffers"], serde_json::json!([]));
        assert_eq!(decode_text(&json.into()), Ok(message));
    }

    #[test]
    fn message_with_buffers_is_binary() {
        let frame = binary(&example());
        assert_eq!(frame[..4], 3_u32.to_be_bytes());
        assert_eq!(frame[4..8], 16_u32.to_be_bytes());
        assert_eq!(decode_binary(&frame), Ok(example()));
    }

    #[test]
    fn optional_fields_have_defaults() {
        let json = r#"{"header":{"msg_id":"1","msg_type":"a"},"content":{},"parent_header":null}"#;
        let message = decode_text(&Bytes::from_static(json.as_bytes())).unwrap();
        assert_eq!(message.channel, Channel::Shell);
        assert_eq!(message.parent_header, "{}");
        assert_eq!(message.metadata, "{}");
    }

    #[test]
    fn invalid_json_is_malformed() {
        for json in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"header":{},"content":{}}"#,
            r#"{"header":{"msg_id":"1","msg_type":"a"},"content":[]}"#,
            r#"{"header":{"msg_id":"1","msg_type":"a"},"content":{},"channel":"shel"}"#,
        ] {
            let text = Bytes::from_static(json.as_bytes());
            assert_eq!(decode_text(&text), Err(Malformed::Json), "{json}");
        }
    }

    #[test]
    fn wrong_offsets_are_malformed() {
        let frame = binary(&example());
        for (index, value) in [
            (0, 0),
            (0, u32::MAX),
            (0, frame.len() as u32 / 4),
            (1, 0),
            (1, 12),
            (2, 15),
            (2, frame.len() as u32 + 1),
            (3, u32::MAX),
        ] {
            let mut changed = BytesMut::from(&frame[..]);
            changed[4 * index..][..4].copy_from_slice(&value.to_be_bytes());
            assert!(
                decode_binary(&changed.freeze()).is_err(),
                "number {index} is {value}"
            );
        }
    }

    #[test]
    fn truncated_table_is_malformed() {
        let frame = binary(&example());
        for length in 0..16 {
            assert_eq!(
                decode_binary(&frame.slice(..length)),
                Err(Malformed::Offsets)
            );
        }
    }

    proptest! {
        #[test]
        fn buffers_round_trip(buffers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6)) {
            let buffers = buffers.into_iter().map(Bytes::from).collect();
            let message = Message { buffers, ..example() };
            prop_assert_eq!(decode_binary(&binary(&message)), Ok(message));
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(
            count in prop_oneof![0..8_u32, any::<u32>()],
            offsets in prop::collection::vec(prop_oneof![0..100_u32, any::<u32>()], 0..8),
            rest in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut frame = BytesMut::new();
            frame.put_u32(count);
            offsets.into_iter().for_each(|offset| frame.put_u32(offset));
            frame.put_slice(&rest);
            let _ = decode_binary(&frame.freeze());
        }
    }
}
