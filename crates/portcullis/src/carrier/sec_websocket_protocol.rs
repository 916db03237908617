use std::fmt;

use headers::{Error, Header};
use http::header::{HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL};

use super::split::{split, trim};

/// The `Sec-WebSocket-Protocol` header (RFC 6455 §11.3.4), in the client's order.
///
/// The crate `headers` has a typed header for its siblings but not for this one. Several lines are
/// one list; order, duplicates and the bytes of every entry are kept, and encoding writes the lines
/// as they came.
///
/// Entries are bytes, since clients send what the standard calls illegal:
/// `SPDY/3.1+portforward.k8s.io` is real. `Debug` does not print them: without a layer that takes
/// tokens out, one of them may be a secret.
///
/// ```
/// use headers::{HeaderMapExt, HeaderValue};
/// use http::HeaderMap;
/// use portcullis::carrier::SecWebSocketProtocol;
///
/// let mut headers = HeaderMap::new();
/// headers.append("sec-websocket-protocol", HeaderValue::from_static("chat.v2, chat.v1"));
/// headers.append("sec-websocket-protocol", HeaderValue::from_static("SPDY/3.1"));
///
/// let offered = headers.typed_get::<SecWebSocketProtocol>().unwrap();
/// assert!(offered.iter().eq([&b"chat.v2"[..], b"chat.v1", b"SPDY/3.1"]));
/// assert!(offered.contains("chat.v1"));
/// ```
#[derive(Clone, Default, Eq, PartialEq)]
pub struct SecWebSocketProtocol(Vec<HeaderValue>);

impl SecWebSocketProtocol {
    /// The one entry of a response.
    ///
    /// ```
    /// use headers::HeaderMapExt;
    /// use http::{HeaderMap, HeaderValue};
    /// use portcullis::carrier::SecWebSocketProtocol;
    ///
    /// let mut headers = HeaderMap::new();
    /// headers.typed_insert(SecWebSocketProtocol::one(HeaderValue::from_static("chat.v2")));
    /// assert_eq!(headers["sec-websocket-protocol"], "chat.v2");
    /// ```
    pub fn one(entry: HeaderValue) -> Self {
        Self(vec![entry])
    }

    /// The entries in the client's order, without the white space around them. Empty ones are left
    /// out.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().flat_map(|line| entries(line.as_bytes()))
    }

    /// Whether `protocol` is offered. Subprotocols are compared byte for byte.
    pub fn contains(&self, protocol: &str) -> bool {
        self.iter().any(|entry| entry == protocol.as_bytes())
    }

    /// Whether nothing is offered.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl Header for SecWebSocketProtocol {
    fn name() -> &'static HeaderName {
        &SEC_WEBSOCKET_PROTOCOL
    }

    fn decode<'i, I: Iterator<Item = &'i HeaderValue>>(values: &mut I) -> Result<Self, Error> {
        let lines: Vec<_> = values.cloned().collect();
        if lines.is_empty() {
            Err(Error::invalid())
        } else {
            Ok(Self(lines))
        }
    }

    fn encode<E: Extend<HeaderValue>>(&self, values: &mut E) {
        values.extend(self.0.iter().cloned());
    }
}

impl fmt::Debug for SecWebSocketProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.iter().count();
        f.debug_struct("SecWebSocketProtocol")
            .field("entries", &entries)
            .finish_non_exhaustive()
    }
}

/// The entries of one line, trimmed, without the empty ones (RFC 9110 §5.6.1.2).
pub(crate) fn entries(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    split(line, b',')
        .map(trim)
        .filter(|entry| !entry.is_empty())
}

/// Whether one line has any.
pub(crate) fn has_entries(line: &[u8]) -> bool {
    line.iter().any(|byte| !matches!(byte, b',' | b' ' | b'\t'))
}
