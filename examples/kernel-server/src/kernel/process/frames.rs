//! The signed ZeroMQ frames of a message.
//!
//! ```text
//! identities or topic … | <IDS|MSG> | signature
//!     | header | parent_header | metadata | content | buffers …
//! ```

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeromq::ZmqMessage;

use crate::wire::{Channel, Message};

const DELIMITER: &[u8] = b"<IDS|MSG>";

/// Signs messages to the kernel, and checks the signatures of messages from it.
#[derive(Clone)]
pub(super) struct Signer(Hmac<Sha256>);

impl Signer {
    pub(super) fn new(key: &[u8]) -> Self {
        // HMAC takes keys of any length (RFC 2104).
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    pub(super) fn pack(&self, message: Message) -> ZmqMessage {
        let parts = [
            message.header,
            message.parent_header,
            message.metadata,
            message.content,
        ];
        let signature = hex(&self.mac(&parts).finalize().into_bytes());
        let mut frames = ZmqMessage::from(Bytes::from_static(DELIMITER));
        frames.push_back(signature.into());
        for part in parts.into_iter().chain(message.buffers) {
            frames.push_back(part);
        }
        frames
    }

    /// Returns `None` if the frames are malformed or not signed with the key.
    pub(super) fn unpack(&self, channel: Channel, frames: ZmqMessage) -> Option<Message> {
        let mut frames = frames.into_vec().into_iter();
        frames.find(|frame| frame == DELIMITER)?;
        let signature = unhex(&frames.next()?)?;
        let parts = [
            frames.next()?,
            frames.next()?,
            frames.next()?,
            frames.next()?,
        ];
        self.mac(&parts).verify_slice(&signature).ok()?;
        Message::from_parts(channel, parts, frames.collect()).ok()
    }

    fn mac(&self, parts: &[Bytes]) -> Hmac<Sha256> {
        parts.iter().fold(self.0.clone(), Mac::chain_update)
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_chunks::<2>() else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message() -> Message {
        Message {
            buffers: vec![Bytes::from_static(b"\0\xff")],
            ..Message::new(
                Channel::Shell,
                "execute_request",
                "s",
                None,
                &json!({"code": "1"}),
            )
        }
    }

    #[test]
    fn packed_message_is_unpacked_after_any_topic() {
        let signer = Signer::new(b"key");
        let mut frames = signer.pack(message());
        frames.push_front(Bytes::from_static(b"kernel.1.stream"));
        let unpacked = signer.unpack(Channel::Shell, frames).unwrap();
        assert_eq!(unpacked.content, r#"{"code":"1"}"#);
        assert_eq!(unpacked.buffers, message().buffers);
    }

    #[test]
    fn signature_matches_the_protocol() {
        // python: hmac.new(b"key", b"{}{}{}{}", "sha256").hexdigest()
        let empty = [b"{}"; 4].map(|part| Bytes::from_static(part));
        let signature = Signer::new(b"key").mac(&empty).finalize().into_bytes();
        assert_eq!(
            hex(&signature),
            "ca767b02c5bc061ed184a9a029e7f93a7f2f7ed4e8fe74120fc1212f0b008fa3"
        );
    }

    #[test]
    fn changed_frame_or_wrong_key_is_rejected() {
        let signer = Signer::new(b"key");
        let pack = || signer.pack(message()).into_vec();
        assert!(
            Signer::new(b"other")
                .unpack(Channel::Shell, pack().try_into().unwrap())
                .is_none()
        );
        for changed in 0..6 {
            let mut frames = pack();
            frames[changed] = Bytes::from_static(b"{ }");
            let frames = ZmqMessage::try_from(frames).unwrap();
            assert!(
                signer.unpack(Channel::Shell, frames).is_none(),
                "frame {changed}"
            );
        }
        for missing in 1..6 {
            let frames = ZmqMessage::try_from(pack()[..missing].to_vec()).unwrap();
            assert!(
                signer.unpack(Channel::Shell, frames).is_none(),
                "{missing} frames"
            );
        }
    }
}
