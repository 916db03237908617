use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::JwtError;

/// The longest token that is looked at, in bytes. A credential of portcullis is no longer.
pub const MAX_TOKEN_LENGTH: usize = 8 * 1024;

/// The longest signature there can be: one of an RSA key of 8192 bits.
const MAX_SIGNATURE_LENGTH: usize = 1024;

/// The three parts of a JWS in compact serialisation (RFC 7515 §3.1), still encoded.
///
/// One part or two end here. More than three leave a dot in the payload, which is no base64url.
#[derive(Debug)]
pub(crate) struct Token<'a> {
    pub(crate) header: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) signature: &'a str,
    /// Header and payload with the dot between them, which is what was signed.
    pub(crate) signed: &'a str,
}

impl<'a> Token<'a> {
    pub(crate) fn split(token: &'a str) -> Result<Self, JwtError> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(JwtError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(JwtError::Malformed)?;
        Ok(Self {
            header,
            payload,
            signature,
            signed,
        })
    }

    /// Decodes the signature onto the stack and hands it to `check`.
    pub(crate) fn with_signature<T>(&self, check: impl FnOnce(&[u8]) -> T) -> Result<T, JwtError> {
        // A little longer than the longest signature, since the decoder estimates in blocks.
        let mut buffer = [0; MAX_SIGNATURE_LENGTH + 4];
        let length = URL_SAFE_NO_PAD
            .decode_slice(self.signature, &mut buffer)
            .map_err(|_| JwtError::Malformed)?;
        Ok(check(&buffer[..length]))
    }
}

/// Decodes a part into `buffer`, whose former content is lost.
///
/// base64url as RFC 7515 §2 has it: no padding, no white space, and the unused bits of the last
/// symbol are zero, so that a token has one spelling.
pub(crate) fn decode<'b>(part: &str, buffer: &'b mut Vec<u8>) -> Result<&'b str, JwtError> {
    buffer.clear();
    URL_SAFE_NO_PAD
        .decode_vec(part, buffer)
        .map_err(|_| JwtError::Malformed)?;
    std::str::from_utf8(buffer).map_err(|_| JwtError::Malformed)
}
