use std::fmt;

use headers::{Error, Header};
use http::header::{HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL};

use super::split::{split, trim};

/// The `Sec-WebSocket-Protocol` header (RFC 6455 §11.3.4), in the client's order.
///
/// The crate `headers` has no typed header for it. Several lines are one list. Order, duplicates and
/// the bytes of every entry stay, and encoding writes the same lines.
///
/// Entries are bytes, because clients send entries that the standard does not allow, such as
/// `SPDY/3.1+portforward.k8s.io`. `Debug` does not print them, because one of them can be a secret.
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
pub struct SecWebSocketProtocol {
    first_line: Option<HeaderValue>,
    /// Almost always empty, which needs no allocation.
    more_lines: Vec<HeaderValue>,
}

impl SecWebSocketProtocol {
    /// Creates the header of a response, which has one entry.
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
        Self {
            first_line: Some(entry),
            more_lines: Vec::new(),
        }
    }

    /// Returns the entries in the client's order, without the white space around them and without
    /// empty ones.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.lines().flat_map(|line| entries(line.as_bytes()))
    }

    /// Returns whether `protocol` is offered. Subprotocols are compared byte for byte.
    pub fn contains(&self, protocol: &str) -> bool {
        self.iter().any(|entry| entry == protocol.as_bytes())
    }

    /// Returns whether nothing is offered.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    fn lines(&self) -> impl Iterator<Item = &HeaderValue> {
        self.first_line.iter().chain(&self.more_lines)
    }
}

impl Header for SecWebSocketProtocol {
    fn name() -> &'static HeaderName {
        &SEC_WEBSOCKET_PROTOCOL
    }

    fn decode<'i, I: Iterator<Item = &'i HeaderValue>>(values: &mut I) -> Result<Self, Error> {
        let first_line = values.next().ok_or_else(Error::invalid)?;
        Ok(Self {
            first_line: Some(first_line.clone()),
            more_lines: values.cloned().collect(),
        })
    }

    fn encode<E: Extend<HeaderValue>>(&self, values: &mut E) {
        values.extend(self.lines().cloned());
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

/// Returns the entries of one line, without white space and empty ones (RFC 9110 §5.6.1.2).
pub(crate) fn entries(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    split(line, b',')
        .map(trim)
        .filter(|entry| !entry.is_empty())
}

/// Returns whether a line has an entry that is not empty.
pub(crate) fn has_entries(line: &[u8]) -> bool {
    line.iter().any(|byte| !matches!(byte, b',' | b' ' | b'\t'))
}
