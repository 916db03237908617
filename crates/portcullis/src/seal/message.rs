use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::{Zeroize, Zeroizing};

use super::CookieKeys;

/// A secret with the times that are sealed with it, before or after encryption.
pub(crate) struct Message {
    pub(crate) secret: Zeroizing<String>,
    /// Seconds since 1970.
    pub(super) issued: u64,
    /// Seconds since 1970.
    pub(super) expires: u64,
    /// Whether a previous key of the ring sealed it, and not the present one.
    pub(crate) has_previous_key: bool,
}

impl Message {
    pub(super) fn new(secret: &str, issued: u64, expires: u64) -> Self {
        Self {
            secret: Zeroizing::new(secret.to_owned()),
            issued,
            expires,
            has_previous_key: false,
        }
    }

    /// Encrypts the message for one purpose, and encodes it in unpadded base64url.
    pub(super) fn seal(&self, keys: &CookieKeys, purpose: &[u8]) -> String {
        let times = [self.issued.to_be_bytes(), self.expires.to_be_bytes()];
        let mut plain = times.concat();
        plain.extend_from_slice(self.secret.as_bytes());
        let sealed = keys.seal(&plain, purpose);
        plain.zeroize();
        URL_SAFE_NO_PAD.encode(sealed)
    }

    /// Decrypts a message; `None` if it was sealed for another purpose or has expired.
    pub(super) fn open(
        sealed: &[u8],
        keys: &CookieKeys,
        purpose: &[u8],
        now: SystemTime,
    ) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let has_previous_key = !keys.is_sealed_by_present_key(&sealed);
        let mut plain = keys.open(sealed, purpose)?;
        let (issued, rest) = plain.split_first_chunk()?;
        let (expires, _) = rest.split_first_chunk()?;
        let (issued, expires) = (u64::from_be_bytes(*issued), u64::from_be_bytes(*expires));
        plain.drain(..TIMES);
        let secret = Zeroizing::new(String::from_utf8(plain).ok()?);

        let now = unix_seconds(now);
        let is_valid = issued <= now.saturating_add(SKEW) && now < expires;
        is_valid.then_some(Self {
            secret,
            issued,
            expires,
            has_previous_key,
        })
    }
}

pub(super) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// The length of the two times in front of the secret.
const TIMES: usize = 16;

/// By how many seconds the clock of another machine may be ahead of ours.
const SKEW: u64 = 60;
