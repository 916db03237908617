use std::borrow::Cow;

use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use portcullis_core::{Carrier, Credential, Scheme};

use super::sec_websocket_protocol::entries;
use super::split::{split, trim};
use super::{MAX_ENTRIES, Taken, Unreadable, decode, lines};

/// Reads an entry of `Sec-WebSocket-Protocol`: a prefix, and behind it the token.
///
/// It is the one header that a browser's script can fill, as the second argument of `new
/// WebSocket(url, […])`. The entry is taken out of the request; all others stay byte for byte and
/// in order, also those that are not legal. It is never echoed.
///
/// A browser fails the connection when nothing of its offer is echoed. So the client offers
/// something else beside the token: a protocol of the application, or the *marker*, which is
/// echoed if the token was accepted and the application chose nothing.
///
/// ```
/// use portcullis::Profile;
/// use portcullis::carrier::{SubprotocolCarrier, SubprotocolEncoding};
///
/// // new WebSocket(url, ["chat.v2", "acme.token." + base64url(token)])
/// let reader = SubprotocolCarrier::prefixed("acme.token.", SubprotocolEncoding::Base64Url);
/// let profile = Profile::new("acme").carrier(reader);
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
    /// Entries that start with `prefix`, byte for byte.
    ///
    /// End the prefix with a separator such as `.`, so that it is the prefix of nothing else. An
    /// empty prefix would take every protocol for a token; it matches nothing instead.
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

    /// The entry to echo if the token was accepted, the client offered it and the application
    /// chose nothing. None by default.
    ///
    /// # Panics
    ///
    /// If it has bytes that no header can hold.
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

    /// Kubernetes: the bare prefix is no credential, and no mistake either.
    #[must_use]
    pub(crate) fn ignore_empty(mut self) -> Self {
        self.empty = Empty::Nothing;
        self
    }

    /// The draft of Jupyter Server: the first of several wins.
    #[must_use]
    pub(crate) fn first_wins(mut self) -> Self {
        self.several = Several::FirstWins;
        self
    }

    /// The entry that stands for an accepted token, if there is one.
    pub(crate) fn echoed_marker(&self) -> Option<&HeaderValue> {
        self.marker.as_ref()
    }

    /// Whether a token may come without any other protocol beside it.
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
                "more than one subprotocol bears a token",
            ))
        } else if token.is_empty() && matches!(self.empty, Empty::Nothing) {
            Ok(None)
        } else {
            self.encoding.decode(token).map(Some)
        };
        // Every line that bears no token stays as it is.
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

    /// The line as it is if it bears no token; else the other entries with the white space between
    /// them, or `None` if there are none.
    fn without_tokens(&self, line: &HeaderValue) -> Option<HeaderValue> {
        let bytes = line.as_bytes();
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
                // Bytes of a header value are one again. Were they not, nothing is better than the
                // token.
                HeaderValue::from_maybe_shared(bytes::Bytes::from(kept)).ok()
            }
        }
    }
}

/// How the token behind the prefix is written.
///
/// A subprotocol consists of the characters that RFC 9110 §5.6.2 calls `tchar`, so a token that
/// has others must be encoded. Of the ways below, base64url is the shortest for arbitrary bytes.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SubprotocolEncoding {
    /// Base64 without padding, in either alphabet: what Phoenix's client sends.
    Base64Unpadded,

    /// Base64url without padding (RFC 4648 §5): what Kubernetes' clients send.
    Base64Url,

    /// Percent-encoding: what Jupyter's proposal asks for. `encodeURIComponent` is not enough,
    /// since it leaves `(` and `)` as they are, and no browser offers those.
    Percent,

    /// As it is. Fits tokens that consist of legal characters, such as a JWT.
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
