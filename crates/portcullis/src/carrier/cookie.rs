use std::borrow::Cow;

use http::header::{COOKIE, HeaderMap, HeaderValue};
use portcullis_core::{Carrier, Credential, Scheme};

use super::split::{split, trim};
use super::{MAX_COOKIES, Taken, Unreadable, decode, lines};
#[cfg(feature = "cookie")]
use crate::seal::{OpenError, SealedCookie};

/// Reads a cookie (RFC 6265).
///
/// The name is matched byte for byte and never percent-decoded: a decoded `%5F%5FHost-` must not
/// become `__Host-`. Two cookies with the name are malformed, because a neighboring domain can add
/// a second one. The value is used unchanged. An empty value, as a logout leaves it, counts as no
/// cookie.
///
/// # Security
///
/// A browser attaches cookies automatically, even if a page of another site opens the socket
/// (cross-site WebSocket hijacking). An upgrade with a cookie therefore needs an allowed `Origin`;
/// see [`AuthLayer::allow_origins`](crate::AuthLayer::allow_origins).
///
/// ```
/// use portcullis::Profile;
/// use portcullis::carrier::CookieCarrier;
///
/// let profile = Profile::default().carrier(CookieCarrier::named("__Host-session"));
/// ```
#[derive(Clone, Debug)]
pub struct CookieCarrier {
    kind: Kind,
}

impl CookieCarrier {
    /// Reads the cookie with this name. Its value is the credential.
    pub fn named(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: Kind::Plain(name.into()),
        }
    }

    /// Reads the cookie that [`PersistTokenLayer`](crate::PersistTokenLayer) seals.
    #[cfg(feature = "cookie")]
    pub fn sealed(cookie: SealedCookie) -> Self {
        Self {
            kind: Kind::Sealed(cookie),
        }
    }

    /// Returns the name of the cookie.
    pub fn name(&self) -> &str {
        match &self.kind {
            Kind::Plain(name) => name,
            #[cfg(feature = "cookie")]
            Kind::Sealed(cookie) => cookie.name(),
        }
    }

    pub(crate) fn take(&self, headers: &mut HeaderMap) -> Taken {
        if !headers.contains_key(COOKIE) {
            return Ok(None);
        }
        let taken = self.read(headers);
        lines::retain(headers, &COOKIE, |line| self.without_ours(line));
        taken.map(|secret| {
            secret.map(|secret| Credential::new(Carrier::Cookie, Scheme::Bearer, secret))
        })
    }

    fn read(&self, headers: &HeaderMap) -> Result<Option<String>, Unreadable> {
        match &self.kind {
            Kind::Plain(name) => match find(headers, name)? {
                None | Some(b"") => Ok(None),
                Some(value) if value.iter().all(is_cookie_octet) => decode::copy(value).map(Some),
                Some(_) => Err(Unreadable::Malformed(
                    "the value of the cookie is quoted or contains an illegal character",
                )),
            },
            #[cfg(feature = "cookie")]
            Kind::Sealed(cookie) => {
                cookie
                    .open(|name| find(headers, name))
                    .map_err(|error| match error {
                        OpenError::BrokenSeal => Unreadable::BrokenSeal,
                        OpenError::Find(why) => why,
                    })
            }
        }
    }

    /// Returns the line without the cookie; `None` if nothing is left. The other cookies stay byte
    /// for byte, and are marked as sensitive.
    fn without_ours(&self, line: &HeaderValue) -> Option<HeaderValue> {
        let bytes = line.as_bytes();
        let mut kept = Vec::new();
        let mut has_ours = false;
        for segment in split(bytes, b';') {
            if self.is_ours(trim(segment)) {
                has_ours = true;
            } else if kept.is_empty() {
                kept.reserve(bytes.len());
                kept.extend_from_slice(segment.trim_ascii_start());
            } else {
                kept.push(b';');
                kept.extend_from_slice(segment);
            }
        }
        if !has_ours {
            return Some(line.clone());
        }
        kept.truncate(kept.trim_ascii_end().len());
        if kept.is_empty() {
            return None;
        }
        // A part of a header value is always a valid one. If it were not, losing the other cookies
        // would be better than passing on the credential.
        let mut rest = HeaderValue::from_maybe_shared(bytes::Bytes::from(kept)).ok()?;
        rest.set_sensitive(true);
        Some(rest)
    }

    fn is_ours(&self, pair: &[u8]) -> bool {
        match &self.kind {
            Kind::Plain(name) => value_of(pair, name).is_some(),
            // Most other cookies begin with another name.
            #[cfg(feature = "cookie")]
            Kind::Sealed(cookie) => {
                pair.starts_with(cookie.name().as_bytes())
                    && memchr::memchr(b'=', pair).is_some_and(|end| cookie.is_part(&pair[..end]))
            }
        }
    }
}

#[cfg(feature = "cookie")]
impl From<SealedCookie> for super::CarrierConfig {
    fn from(cookie: SealedCookie) -> Self {
        CookieCarrier::sealed(cookie).into()
    }
}

#[derive(Clone, Debug)]
enum Kind {
    Plain(Cow<'static, str>),
    #[cfg(feature = "cookie")]
    Sealed(SealedCookie),
}

/// Returns the value of the only cookie with this name. HTTP/2 can spread cookies over several
/// lines.
pub(crate) fn find<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a [u8]>, Unreadable> {
    let mut found = None;
    let mut length = 0;
    for line in headers.get_all(COOKIE) {
        length += line.len();
        if length > MAX_COOKIES {
            return Err(Unreadable::TooLarge);
        }
        for pair in split(line.as_bytes(), b';') {
            if let Some(value) = value_of(trim(pair), name)
                && found.replace(value).is_some()
            {
                return Err(Unreadable::Malformed("the cookie occurs more than once"));
            }
        }
    }
    Ok(found)
}

/// Returns the value of `pair` if its name is `name`.
fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
    Some(trim(value))
}

/// RFC 6265 §4.1.1.
fn is_cookie_octet(byte: &u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_cookies_stay_byte_for_byte() {
        let table: [(&[&str], &[&str]); 6] = [
            (&["a=1; t=x; b=2"], &["a=1; b=2"]),
            (&["t=x;b=\"2\" ;c"], &["b=\"2\" ;c"]),
            (&["t=x"], &[]),
            (&["a=1", "t=x", "b=2"], &["a=1", "b=2"]),
            (&["T=x; t =y; %74=z; =t"], &["T=x; t =y; %74=z; =t"]),
            (&["t=x; t=y"], &[]),
        ];
        for (before, after) in table {
            let mut headers = HeaderMap::new();
            for line in before {
                headers.append(COOKIE, HeaderValue::from_static(line));
            }
            let _ = CookieCarrier::named("t").take(&mut headers);
            assert!(
                headers.get_all(COOKIE).iter().eq(after),
                "{before:?}: {headers:?}"
            );
        }
    }
}
