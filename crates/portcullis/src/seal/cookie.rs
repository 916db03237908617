use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_core::{Clock, SystemClock};
use zeroize::Zeroize;

use super::CookieKeys;
use crate::carrier::Unreadable;

/// The cookie that keeps a browser logged in: its name, its attributes and the keys that seal it.
///
/// Hand a clone of it to [`PersistTokenLayer`](crate::PersistTokenLayer), which sets it, and one
/// to a [`Profile`](crate::Profile), which reads it.
///
/// ```
/// use portcullis::{Profile, seal::{CookieKey, CookieKeys, SealedCookie}};
///
/// let cookie = SealedCookie::new("session", CookieKeys::new(&CookieKey::generate()));
/// assert_eq!(cookie.name(), "__Host-session");
///
/// let profile = Profile::default().carrier(cookie.clone());
/// ```
///
/// # Defaults
///
/// `__Host-` in front of the name, `Secure`, `HttpOnly`, `SameSite=Lax`, `Path=/`, no `Domain`, and
/// a lifetime of eight hours, never longer than the credential's own. A browser treats
/// `http://localhost` as secure, so the defaults work there.
///
/// A cookie is at most 4096 bytes, so a long token is spread over up to three: `name`, `name-1`,
/// `name-2`. They open together or not at all.
#[derive(Clone)]
pub struct SealedCookie {
    name: Cow<'static, str>,
    secure: bool,
    lifetime: Duration,
    keys: Arc<RwLock<Arc<CookieKeys>>>,
    clock: Arc<dyn Clock>,
}

impl SealedCookie {
    /// A cookie named `__Host-` and then `name`.
    ///
    /// # Panics
    ///
    /// If the name is empty or has other characters than letters, digits, `-`, `_` and `.`.
    pub fn new(name: impl AsRef<str>, keys: CookieKeys) -> Self {
        let name = name.as_ref();
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        assert!(
            !name.is_empty() && name.bytes().all(is_legal),
            "the name of a sealed cookie consists of letters, digits, `-`, `_` and `.`"
        );
        Self {
            name: Cow::Owned(format!("{HOST_PREFIX}{name}")),
            secure: true,
            lifetime: Duration::from_secs(8 * 3600),
            keys: Arc::new(RwLock::new(Arc::new(keys))),
            clock: Arc::new(SystemClock),
        }
    }

    /// How long the cookie lives at most; eight hours by default.
    ///
    /// The end is inside the seal and checked by the server. It holds whatever the browser does.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Drops `Secure` and the `__Host-` in front of the name, for a server that is reached over
    /// plain HTTP on another host than `localhost`.
    ///
    /// # Security
    ///
    /// Whoever can listen on the network can copy the cookie and is logged in from then on.
    /// Whoever can speak on it, or owns a neighbouring domain, can plant one.
    #[must_use]
    pub fn insecure_over_plain_http(mut self) -> Self {
        self.secure = false;
        self.name = match self.name.strip_prefix(HOST_PREFIX) {
            Some(name) => Cow::Owned(name.to_owned()),
            None => self.name,
        };
        self
    }

    /// Takes the time from `clock` instead of the machine.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The cookie's whole name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// From now on `keys` seal and open, in every clone of this cookie.
    pub fn replace_keys(&self, keys: CookieKeys) {
        // Nobody panics while holding the lock, and there is nothing half-done to see.
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.secure
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// How long a cookie for a credential with this end lives from now on.
    pub(crate) fn lifetime_until(&self, credential_end: Option<SystemTime>) -> Duration {
        let rest = credential_end
            .map(|end| end.duration_since(self.now()).unwrap_or_default())
            .unwrap_or(Duration::MAX);
        rest.min(self.lifetime)
    }

    /// The names and values that together hold `secret` for `lifetime`.
    pub(crate) fn seal(&self, secret: &str, lifetime: Duration) -> Vec<(String, String)> {
        let issued = unix_seconds(self.now());
        let message = Message {
            issued,
            expires: issued.saturating_add(lifetime.as_secs()),
        };
        let mut plain = message.to_bytes().to_vec();
        plain.extend_from_slice(secret.as_bytes());
        let sealed = URL_SAFE_NO_PAD.encode(self.current_keys().seal(&plain, &self.bound_to()));
        plain.zeroize();

        let parts = sealed.len().div_ceil(PART);
        sealed
            .as_bytes()
            .chunks(PART)
            .enumerate()
            .map(|(index, part)| {
                let part = std::str::from_utf8(part).expect("base64 is ASCII");
                let count = if index == 0 {
                    format!("{parts}.")
                } else {
                    String::new()
                };
                (
                    part_name(&self.name, index).into_owned(),
                    format!("{count}{part}"),
                )
            })
            .collect()
    }

    /// The secret, from the values of the cookies that hold it.
    pub(crate) fn open<'a>(
        &self,
        find: impl Fn(&str) -> Result<Option<&'a [u8]>, Unreadable>,
    ) -> Result<Option<String>, Unreadable> {
        let first = match find(&self.name)? {
            None | Some(b"") => return Ok(None),
            Some(first) => first,
        };
        let (count, sealed) = match first {
            [count @ b'1'..=b'9', b'.', sealed @ ..] => (usize::from(count - b'0'), sealed),
            _ => return Err(Unreadable::BrokenSeal),
        };
        let mut sealed = Cow::Borrowed(sealed);
        for index in 1..count.min(MAX_PARTS + 1) {
            let part = find(&part_name(&self.name, index))?.ok_or(Unreadable::BrokenSeal)?;
            sealed.to_mut().extend_from_slice(part);
        }
        let opened = URL_SAFE_NO_PAD
            .decode(&*sealed)
            .ok()
            .and_then(|sealed| self.current_keys().open(sealed, &self.bound_to()))
            .ok_or(Unreadable::BrokenSeal)?;
        let (message, secret) = Message::split(opened).ok_or(Unreadable::BrokenSeal)?;
        let now = unix_seconds(self.now());
        if message.issued > now.saturating_add(SKEW) || message.expires <= now {
            return Err(Unreadable::BrokenSeal);
        }
        Ok(Some(secret))
    }

    /// Whether a cookie of this name is one of ours, needed or left over from a longer token.
    pub(crate) fn is_part(&self, name: &[u8]) -> bool {
        match name.strip_prefix(self.name.as_bytes()) {
            Some([]) => true,
            Some([b'-', digit @ b'1'..=b'9']) => usize::from(digit - b'0') < MAX_PARTS,
            _ => false,
        }
    }

    /// The names of all cookies that may hold a part.
    fn part_names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        (0..MAX_PARTS).map(|index| part_name(&self.name, index))
    }

    fn current_keys(&self) -> Arc<CookieKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the seal is good for: this version of this cookie.
    fn bound_to(&self) -> Vec<u8> {
        [b"portcullis cookie 1 ", self.name.as_bytes()].concat()
    }
}

impl fmt::Debug for SealedCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedCookie")
            .field("name", &self.name)
            .field("secure", &self.secure)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// The name of the cookie that holds the part of this index.
fn part_name(name: &str, index: usize) -> Cow<'_, str> {
    match index {
        0 => Cow::Borrowed(name),
        _ => Cow::Owned(format!("{name}-{index}")),
    }
}

const HOST_PREFIX: &str = "__Host-";

/// What fits into a cookie of 4096 bytes beside the longest name and the attributes.
const PART: usize = 3800;

/// A credential of 8 KiB, sealed and in base64, fits into so many parts.
const MAX_PARTS: usize = 3;

/// A neighbour's clock may be so many seconds ahead of ours.
const SKEW: u64 = 60;

/// What is sealed in front of the secret, in seconds since 1970.
struct Message {
    issued: u64,
    expires: u64,
}

impl Message {
    const LENGTH: usize = 16;

    fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let packed = (u128::from(self.issued) << 64) | u128::from(self.expires);
        packed.to_be_bytes()
    }

    fn split(mut opened: Vec<u8>) -> Option<(Self, String)> {
        let packed = u128::from_be_bytes(*opened.first_chunk::<{ Self::LENGTH }>()?);
        opened.drain(..Self::LENGTH);
        let message = Self {
            issued: (packed >> 64) as u64,
            expires: packed as u64,
        };
        Some((message, String::from_utf8(opened).ok()?))
    }
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
