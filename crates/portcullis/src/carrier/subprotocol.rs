use std::borrow::Cow;

use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use portcullis_core::{Carrier, Credential, Scheme};

use super::sec_websocket_protocol::entries;
use super::split::{split, trim};
use super::{MAX_ENTRIES, Taken, Unreadable, decode, lines};

/// Reads an entry of `Sec-WebSocket-Protocol` that consists of a prefix and the token.
///
/// It is the only header that a script in a browser can set, with the second argument of `new
/// WebSocket(url, […])`. The entry is removed from the request and never echoed. The other entries
/// stay byte for byte and in order, even those that the standard does not allow.
///
/// A browser fails the connection if the response echoes none of the offered entries. So the client
/// has to offer another entry next to the token: a subprotocol of the application, or the
/// [marker](Self::marker).
///
/// ```
/// use portcullis::Profile;
/// use portcullis::carrier::{SubprotocolCarrier, SubprotocolEncoding};
///
/// // new WebSocket(url, ["chat.v2", "acme.token." + base64url(token)])
/// let carrier = SubprotocolCarrier::prefixed("acme.token.", SubprotocolEncoding::Base64Url);
/// let profile = Profile::new("acme").carrier(carrier);
/// ```
#[derive(Clone, Debug)]
pub struct SubprotocolCarrier {
    prefix: Cow<'static, str>,
    encoding: SubprotocolEncoding,
    marker: Option<HeaderValue>,
    alone: Alone,
    empty: Empty,
    several: Several,
}

impl SubprotocolCarrier {
    /// Reads the entry that starts with `prefix`, compared byte for byte.
    ///
    /// End the prefix with a separator such as `.`, so that no other subprotocol starts with it. An
    /// empty prefix matches no entry.
    pub fn prefixed(prefix: impl Into<Cow<'static, str>>, encoding: SubprotocolEncoding) -> Self {
        Self {
            prefix: prefix.into(),
            encoding,
            marker: None,
            alone: Alone::Refused,
            empty: Empty::Malformed,
            several: Several::Malformed,
        }
    }

    /// Sets the marker: the entry that the response echoes if the token is accepted, the client
    /// offered the marker, and the application selects no subprotocol. None by default.
    ///
    /// # Panics
    ///
    /// Panics if a header cannot contain it.
    #[must_use]
    pub fn marker(mut self, marker: &'static str) -> Self {
        self.marker = Some(HeaderValue::from_static(marker));
        self
    }

    /// Admits a request that offers the token as its only subprotocol.
    ///
    /// By default it is refused with 400. There is nothing to echo, so a browser would fail after
    /// the upgrade without an explanation. Other clients accept such a response.
    #[must_use]
    pub fn allow_alone(mut self) -> Self {
        self.alone = Alone::Allowed;
        self
    }

    /// Ignores an entry that consists of the prefix only, like Kubernetes.
    #[must_use]
    pub(crate) fn ignore_empty(mut self) -> Self {
        self.empty = Empty::Nothing;
        self
    }

    /// Uses the first of several tokens, like the draft of Jupyter Server.
    #[must_use]
    pub(crate) fn first_wins(mut self) -> Self {
        self.several = Several::FirstWins;
        self
    }

    /// Returns the marker, if there is one.
    pub(crate) fn echoed_marker(&self) -> Option<&HeaderValue> {
        self.marker.as_ref()
    }

    /// Returns whether the token may be the only entry.
    pub(crate) fn may_be_alone(&self) -> bool {
        matches!(self.alone, Alone::Allowed)
    }

    pub(crate) fn take(&self, headers: &mut HeaderMap) -> Taken {
        let mut scan = Scan::default();
        for line in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
            for entry in entries(line.as_bytes()) {
                scan.entries += 1;
                if let Some(token) = self.token_of(entry) {
                    scan.tokens += 1;
                    scan.first.get_or_insert(token);
                }
            }
        }
        let Some(token) = scan.first else {
            return if scan.entries > MAX_ENTRIES {
                Err(Unreadable::TooLarge)
            } else {
                Ok(None)
            };
        };
        let taken = if scan.entries > MAX_ENTRIES {
            Err(Unreadable::TooLarge)
        } else if scan.tokens > 1 && matches!(self.several, Several::Malformed) {
            Err(Unreadable::Malformed(
                "more than one subprotocol contains a token",
            ))
        } else if token.is_empty() && matches!(self.empty, Empty::Nothing) {
            Ok(None)
        } else {
            self.encoding.decode(token).map(Some)
        };
        lines::retain(headers, &SEC_WEBSOCKET_PROTOCOL, |line| {
            self.without_tokens(line)
        });
        taken.map(|secret| {
            secret.map(|secret| Credential::new(Carrier::Subprotocol, Scheme::Bearer, secret))
        })
    }

    fn token_of<'a>(&self, entry: &'a [u8]) -> Option<&'a [u8]> {
        if self.prefix.is_empty() {
            return None;
        }
        entry.strip_prefix(self.prefix.as_bytes())
    }

    /// Returns whether `line` consists of `marker` and of entries that contain a token.
    ///
    /// Most browsers send such a line. A clone of the marker costs nothing, and a new header value
    /// 400 instructions.
    fn is_beside_tokens(&self, marker: &HeaderValue, line: &[u8]) -> bool {
        let mut others = entries(line).filter(|entry| self.token_of(entry).is_none());
        others.next() == Some(marker.as_bytes()) && others.next().is_none()
    }

    /// Returns the line without the entries that contain a token; `None` if no entry is left. The
    /// white space between the other entries stays.
    fn without_tokens(&self, line: &HeaderValue) -> Option<HeaderValue> {
        let bytes = line.as_bytes();
        if let Some(marker) = &self.marker
            && self.is_beside_tokens(marker, bytes)
        {
            return Some(marker.clone());
        }
        let mut kept = Vec::with_capacity(bytes.len());
        let (mut has_tokens, mut has_others) = (false, false);
        for segment in split(bytes, b',') {
            let entry = trim(segment);
            if self.token_of(entry).is_some() {
                has_tokens = true;
                continue;
            }
            if kept.is_empty() {
                kept.extend_from_slice(entry);
            } else {
                kept.push(b',');
                kept.extend_from_slice(segment);
            }
            has_others |= !entry.is_empty();
        }
        match (has_tokens, has_others) {
            (false, _) => Some(line.clone()),
            (true, false) => None,
            (true, true) => {
                kept.truncate(trim(&kept).len());
                // A part of a header value is always a valid one. If it were not, losing the other
                // entries would be better than passing on the token.
                HeaderValue::from_maybe_shared(bytes::Bytes::from(kept)).ok()
            }
        }
    }
}

/// How the token after the prefix is encoded.
///
/// A subprotocol consists of the characters that RFC 9110 §5.6.2 calls `tchar`, so a token with
/// other characters must be encoded. For arbitrary bytes, base64url is the shortest encoding.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SubprotocolEncoding {
    /// Base64 without padding, in either alphabet. The client of Phoenix sends it.
    Base64Unpadded,

    /// Base64url without padding (RFC 4648 §5). The clients of Kubernetes send it.
    Base64Url,

    /// Percent-encoding, which JEP 121 of Jupyter requires. `encodeURIComponent` is not sufficient:
    /// it does not encode `(` and `)`, which browsers do not accept in a subprotocol.
    Percent,

    /// No encoding, for tokens of allowed characters only, such as a JWT.
    Plain,
}

impl SubprotocolEncoding {
    fn decode(self, token: &[u8]) -> Result<String, Unreadable> {
        match self {
            Self::Base64Unpadded => decode::base64_unpadded(token),
            Self::Base64Url => decode::base64url(token),
            Self::Percent => decode::percent(token),
            Self::Plain => decode::copy(token),
        }
    }
}

#[derive(Default)]
struct Scan<'a> {
    entries: usize,
    tokens: usize,
    first: Option<&'a [u8]>,
}

#[derive(Clone, Copy, Debug)]
enum Alone {
    Allowed,
    Refused,
}

#[derive(Clone, Copy, Debug)]
enum Empty {
    Malformed,
    Nothing,
}

#[derive(Clone, Copy, Debug)]
enum Several {
    FirstWins,
    Malformed,
}
