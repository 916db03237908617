//! Strict decoding: each credential has only one accepted encoding.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroize;

use super::{MAX_CREDENTIAL, Unreadable};

/// Decodes base64url without padding (RFC 4648 §5). The unused bits have to be zero.
pub(super) fn base64url(encoded: &[u8]) -> Result<String, Unreadable> {
    decode_base64(&URL_SAFE_NO_PAD, encoded)
}

/// Decodes base64 without padding in either alphabet, but not in a mixture of both.
///
/// The client of Phoenix uses `btoa`, which has the standard alphabet, although the name of its
/// subprotocol says base64url.
pub(super) fn base64_unpadded(encoded: &[u8]) -> Result<String, Unreadable> {
    match encoded.iter().any(|byte| matches!(byte, b'+' | b'/')) {
        true => decode_base64(&STANDARD_NO_PAD, encoded),
        false => base64url(encoded),
    }
}

/// Decodes base64 with padding (RFC 4648 §4), as `Basic` uses it.
pub(super) fn base64_padded(encoded: &[u8]) -> Result<String, Unreadable> {
    decode_base64(&STANDARD, encoded)
}

/// Decodes percent-encoding (RFC 3986 §2.1). A `%` without two digits is malformed; `+` is a plus.
pub(super) fn percent(encoded: &[u8]) -> Result<String, Unreadable> {
    if memchr::memchr(b'%', encoded).is_none() {
        return copy(encoded);
    }
    if encoded.len() > 3 * MAX_CREDENTIAL {
        return Err(Unreadable::TooLarge);
    }
    let mut rest = encoded;
    while let Some(at) = memchr::memchr(b'%', rest) {
        let [high, low, ..] = rest[at + 1..] else {
            return Err(BAD_ESCAPE);
        };
        if !(high.is_ascii_hexdigit() && low.is_ascii_hexdigit()) {
            return Err(BAD_ESCAPE);
        }
        rest = &rest[at + 3..];
    }
    text(percent_encoding::percent_decode(encoded).collect())
}

/// Copies a credential that is not encoded.
pub(super) fn copy(bytes: &[u8]) -> Result<String, Unreadable> {
    if bytes.len() > MAX_CREDENTIAL {
        return Err(Unreadable::TooLarge);
    }
    text(bytes.to_vec())
}

/// Checks that a credential is UTF-8 without control characters and not too long. Otherwise it is
/// zeroized.
pub(super) fn text(bytes: Vec<u8>) -> Result<String, Unreadable> {
    let refuse = |mut bytes: Vec<u8>, why| {
        bytes.zeroize();
        Err(why)
    };
    if bytes.is_empty() {
        return Err(Unreadable::Malformed("the credential is empty"));
    }
    if bytes.len() > MAX_CREDENTIAL {
        return refuse(bytes, Unreadable::TooLarge);
    }
    // A `fold`, because a loop without an early exit tests many bytes at once.
    let is_control = |found, byte: &u8| found | byte.is_ascii_control();
    if bytes.iter().fold(false, is_control) {
        return refuse(
            bytes,
            Unreadable::Malformed("the credential contains a control character"),
        );
    }
    String::from_utf8(bytes).or_else(|error| {
        refuse(
            error.into_bytes(),
            Unreadable::Malformed("the credential is not UTF-8"),
        )
    })
}

const BAD_ESCAPE: Unreadable =
    Unreadable::Malformed("a `%` of the credential is not followed by two hexadecimal digits");

fn decode_base64(engine: &impl Engine, encoded: &[u8]) -> Result<String, Unreadable> {
    // Before the allocation. Four symbols are three bytes.
    if encoded.len() > MAX_CREDENTIAL / 3 * 4 + 4 {
        return Err(Unreadable::TooLarge);
    }
    let bytes = engine
        .decode(encoded)
        .map_err(|_| Unreadable::Malformed("the credential is not valid base64"))?;
    text(bytes)
}
