//! `v1.kernel.websocket.jupyter.org`: one binary frame with a table of offsets and the parts.
//!
//! ```text
//! n | offset 0 … offset n-1 | channel | header | parent_header | metadata | content | buffers …
//! ```
//!
//! All numbers have 64 bits and are little-endian. The last offset is the end of the frame.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Channel, Malformed, Message};

/// The offsets of the channel and the four JSON parts, and the end.
const MIN_OFFSETS: usize = 6;

pub(super) fn decode(frame: &Bytes) -> Result<Message, Malformed> {
    let number = |index: usize| -> Option<usize> {
        let at = index.checked_mul(8)?;
        let bytes = frame.get(at..at.checked_add(8)?)?;
        usize::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    let count = number(0).ok_or(Malformed::Offsets)?;
    // Checked before the allocation, so that a frame cannot claim more offsets than it contains.
    if count < MIN_OFFSETS || count > frame.len() / 8 - 1 {
        return Err(Malformed::Offsets);
    }
    let mut at = 8 * (count + 1);
    if number(1) != Some(at) {
        return Err(Malformed::Offsets);
    }
    let mut parts = Vec::with_capacity(count - 1);
    for index in 2..=count {
        let end = number(index).ok_or(Malformed::Offsets)?;
        if end < at || end > frame.len() {
            return Err(Malformed::Offsets);
        }
        parts.push(frame.slice(at..end));
        at = end;
    }
    if at != frame.len() {
        return Err(Malformed::Offsets);
    }
    let buffers = parts.split_off(MIN_OFFSETS - 1);
    let [channel, header, parent_header, metadata, content] =
        <[Bytes; 5]>::try_from(parts).map_err(|_| Malformed::Offsets)?;
    let parts = [header, parent_header, metadata, content];
    Message::from_parts(Channel::parse(&channel)?, parts, buffers)
}

pub(super) fn encode(message: &Message) -> Bytes {
    let channel = Bytes::from_static(message.channel.as_str().as_bytes());
    let parts = [
        &channel,
        &message.header,
        &message.parent_header,
        &message.metadata,
        &message.content,
    ];
    let parts = || parts.into_iter().chain(&message.buffers);
    let count = parts().count() + 1;
    let mut end = 8 * (count + 1);
    let mut frame = BytesMut::with_capacity(end + message.channel.as_str().len() + message.size());
    frame.put_u64_le(count as u64);
    frame.put_u64_le(end as u64);
    for part in parts() {
        end += part.len();
        frame.put_u64_le(end as u64);
    }
    parts().for_each(|part| frame.put_slice(part));
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::message::tests::example;
    use super::*;

    #[test]
    fn message_round_trips() {
        let frame = encode(&example());
        assert_eq!(decode(&frame), Ok(example()));

        let plain = Message {
            buffers: Vec::new(),
            ..example()
        };
        assert_eq!(decode(&encode(&plain)), Ok(plain));
    }

    #[test]
    fn table_is_first_and_its_last_offset_is_the_end() {
        let frame = encode(&Message {
            buffers: Vec::new(),
            ..example()
        });
        assert_eq!(frame[..8], 6_u64.to_le_bytes());
        assert_eq!(frame[8..16], 56_u64.to_le_bytes());
        assert_eq!(frame[48..56], (frame.len() as u64).to_le_bytes());
        assert_eq!(&frame[56..61], b"shell");
    }

    #[test]
    fn truncated_frame_is_malformed() {
        let frame = encode(&example());
        for length in 0..frame.len() {
            assert_eq!(decode(&frame.slice(..length)), Err(Malformed::Offsets));
        }
    }

    #[test]
    fn wrong_offsets_are_malformed() {
        let frame = encode(&example());
        let last = frame[0] as usize;
        for (index, value) in [
            (0, 0),
            (0, 5),
            (0, u64::MAX),
            (0, u64::MAX / 8),
            (0, frame.len() as u64 / 8),
            (1, 0),
            (1, 8),
            (2, 0),
            (2, frame.len() as u64 + 1),
            (2, u64::MAX),
            (3, 8 * (last as u64 + 1)),
            (last, frame.len() as u64 - 1),
        ] {
            let mut changed = BytesMut::from(&frame[..]);
            changed[8 * index..][..8].copy_from_slice(&value.to_le_bytes());
            assert!(
                decode(&changed.freeze()).is_err(),
                "number {index} is {value}"
            );
        }
    }

    #[test]
    fn unknown_channel_is_malformed() {
        let mut frame = BytesMut::from(&encode(&example())[..]);
        let at = frame.windows(5).position(|part| part == b"shell").unwrap();
        frame[at] = b'S';
        assert_eq!(decode(&frame.freeze()), Err(Malformed::Channel));
    }

    proptest! {
        #[test]
        fn buffers_round_trip(buffers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6)) {
            let buffers = buffers.into_iter().map(Bytes::from).collect();
            let message = Message { buffers, ..example() };
            prop_assert_eq!(decode(&encode(&message)), Ok(message));
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(
            count in prop_oneof![0..12_u64, any::<u64>()],
            offsets in prop::collection::vec(prop_oneof![0..200_u64, any::<u64>()], 0..12),
            rest in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut frame = BytesMut::new();
            frame.put_u64_le(count);
            offsets.into_iter().for_each(|offset| frame.put_u64_le(offset));
            frame.put_slice(&rest);
            let _ = decode(&frame.freeze());
        }
    }
}
