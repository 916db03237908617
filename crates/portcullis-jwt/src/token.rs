use base64::Engine as _;
use base64::engine::general_purpose;
use memchr::{memchr, memrchr};

use crate::JwtError;

/// The maximum length of a token in bytes: 8 KiB, the maximum length of a credential in portcullis.
pub const MAX_TOKEN_LENGTH: usize = 8 * 1024;

/// The longest signature, of an RSA key of 8192 bits, in whole blocks of base64url.
const MAX_SIGNATURE_LENGTH: usize = 1024_usize.div_ceil(3) * 4;

/// The three parts of a JWS in compact serialization (RFC 7515 §3.1), still encoded.
///
/// With more than three parts, the payload contains a dot, which base64url does not allow.
#[derive(Debug)]
pub(crate) struct Token<'a> {
    pub(crate) header: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) signature: &'a str,
    /// Header, dot and payload: the signed message.
    pub(crate) signed: &'a str,
}

impl<'a> Token<'a> {
    pub(crate) fn split(token: &'a str) -> Result<Self, JwtError> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(JwtError::TooLong);
        }
        let last = memrchr(b'.', token.as_bytes()).ok_or(JwtError::Malformed)?;
        let (signed, signature) = (&token[..last], &token[last + 1..]);
        let first = memchr(b'.', signed.as_bytes()).ok_or(JwtError::Malformed)?;
        Ok(Self {
            header: &signed[..first],
            payload: &signed[first + 1..],
            signature,
            signed,
        })
    }
}

/// Decodes the payload of a small token with half the instructions of `URL_SAFE_NO_PAD`.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
static BASE64URL: std::sync::LazyLock<base64::engine::Simd> =
    std::sync::LazyLock::new(|| base64::engine::Simd::url_safe(general_purpose::NO_PAD));

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
static BASE64URL: general_purpose::GeneralPurpose = general_purpose::URL_SAFE_NO_PAD;

/// Space for one decoded part at a time: on the stack for parts of the usual size.
pub(crate) struct Buffer {
    stack: [u8; 1024],
    heap: Vec<u8>,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self {
            stack: [0; 1024],
            heap: Vec::new(),
        }
    }

    /// Decodes a part, replacing the one before.
    ///
    /// It is base64url without padding and white space (RFC 7515 §2). The unused bits of the last
    /// symbol have to be zero, so that a token has exactly one spelling.
    fn decode(&mut self, part: &str) -> Result<&[u8], JwtError> {
        let needed = base64::decoded_len_estimate(part.len());
        let space = match self.stack.get_mut(..needed) {
            Some(space) => space,
            None => {
                self.heap.resize(needed, 0);
                &mut self.heap
            }
        };
        match BASE64URL.decode_slice(part, space) {
            Ok(length) => Ok(&space[..length]),
            Err(_) => Err(JwtError::Malformed),
        }
    }

    pub(crate) fn decode_signature(&mut self, part: &str) -> Result<&[u8], JwtError> {
        match part.len() <= MAX_SIGNATURE_LENGTH {
            true => self.decode(part),
            false => Err(JwtError::Malformed),
        }
    }

    /// Decodes a part that contains text.
    pub(crate) fn decode_text(&mut self, part: &str) -> Result<&str, JwtError> {
        std::str::from_utf8(self.decode(part)?).map_err(|_| JwtError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Short parts and long ones are decoded by different code of the SIMD engine.
        #[test]
        fn decoding_agrees_with_the_scalar_engine(
            bytes in prop::collection::vec(any::<u8>(), 0..2000),
            place in any::<prop::sample::Index>(),
            symbol in "[ -~]",
        ) {
            let good = general_purpose::URL_SAFE_NO_PAD.encode(&bytes);
            let mut buffer = Buffer::new();
            prop_assert_eq!(buffer.decode(&good), Ok(&bytes[..]));

            let mut changed = good;
            if !changed.is_empty() {
                let place = place.index(changed.len());
                changed.replace_range(place..=place, &symbol);
            }
            let expected = general_purpose::URL_SAFE_NO_PAD.decode(&changed).ok();
            prop_assert_eq!(buffer.decode(&changed).ok(), expected.as_deref());
        }
    }
}
