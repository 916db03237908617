//! The first step: reads the head of a request, and checks that an upgrade is a valid handshake.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Version};
use portcullis_core::Handshake;

use crate::carrier::{entries, is_word};
use crate::peer::peer_of;
use crate::refusal::{Refusal, RefusalKind};
use crate::upgrade::is_upgrade_without_header;

/// What the next steps need to know about the head of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) upgrade: bool,
    pub(super) has_authorization: bool,
    pub(super) has_cookie: bool,
    pub(super) has_protocols: bool,
    pub(super) has_referer: bool,
    /// The rule that an upgrade breaks, if any.
    pub(super) flaw: Option<Flaw>,
}

impl Head {
    pub(super) fn read<B>(request: &Request<B>) -> Self {
        let headers = Headers::find(request.headers());
        let upgrade = headers.has(Index::Upgrade) || is_upgrade_without_header(request);
        Self {
            upgrade,
            has_authorization: headers.has(Index::Authorization),
            has_cookie: headers.has(Index::Cookie),
            has_protocols: headers.has(Index::SecWebSocketProtocol),
            has_referer: headers.has(Index::Referer),
            flaw: match upgrade {
                true => check(request, &headers).err(),
                false => None,
            },
        }
    }
}

/// Checks that an upgrade is a handshake as the standards define it.
///
/// hyper and axum accept more than that: two hosts, a body, a key of two characters. A proxy in
/// front may read such a request differently, which allows an attacker to smuggle a tunnel past it
/// (RFC 6455 §4.2.1, RFC 8441 §4, RFC 9112 §3.2).
fn check<B>(request: &Request<B>, headers: &Headers<'_>) -> Result<(), Flaw> {
    let http2 = request.version() > Version::HTTP_11;
    if http2 {
        check_connect(request, headers)?;
    } else {
        check_upgrade(request, headers)?;
    }
    let has_body = headers.any(Index::ContentLength, |it| it != b"0")
        || (headers.has(Index::TransferEncoding) && !http2);
    if has_body {
        return Err(Flaw::Malformed("a handshake has no body"));
    }
    match headers.one(Index::SecWebSocketVersion) {
        Some(b"13") => Ok(()),
        _ => Err(Flaw::UnsupportedVersion),
    }
}

/// RFC 6455 §4.2.1.
fn check_upgrade<B>(request: &Request<B>, headers: &Headers<'_>) -> Result<(), Flaw> {
    if request.method() != Method::GET {
        return Err(Flaw::Malformed("over HTTP/1.1 a handshake is a GET"));
    }
    let Some(host) = headers.one(Index::Host) else {
        return Err(Flaw::Malformed("a handshake has exactly one Host"));
    };
    // An absolute target overrides the header (RFC 9112 §3.2.2), and proxies may not know that.
    let target = request.uri().authority();
    if target.is_some_and(|target| !target.as_str().as_bytes().eq_ignore_ascii_case(host)) {
        return Err(Flaw::Malformed(
            "the Host is not that of the request's target",
        ));
    }
    let protocol = headers.one(Index::Upgrade);
    if !protocol.is_some_and(|it| is_word(it, b"websocket")) {
        return Err(Flaw::Malformed("`Upgrade` has to be `websocket`"));
    }
    if !headers.any(Index::Connection, lists_upgrade) {
        return Err(Flaw::Malformed("`Connection` has to list `upgrade`"));
    }
    match headers.one(Index::SecWebSocketKey) {
        Some(key) if is_key(key) => Ok(()),
        _ => Err(Flaw::Malformed(
            "`Sec-WebSocket-Key` has to be 16 bytes in base64, once",
        )),
    }
}

/// RFC 8441 §4 and §5.
fn check_connect<B>(request: &Request<B>, headers: &Headers<'_>) -> Result<(), Flaw> {
    if request.method() != Method::CONNECT {
        return Err(Flaw::Malformed(
            "over HTTP/2 a handshake is an extended CONNECT",
        ));
    }
    if headers.has(Index::Upgrade) || headers.has(Index::Connection) {
        return Err(Flaw::Malformed(
            "HTTP/2 has no `Upgrade` and no `Connection`",
        ));
    }
    if request.uri().authority().is_none() {
        return Err(Flaw::Malformed("a handshake names its authority"));
    }
    Ok(())
}

fn lists_upgrade(line: &[u8]) -> bool {
    is_word(line, b"Upgrade") || entries(line).any(|option| is_word(option, b"Upgrade"))
}

/// Returns whether `key` is 16 bytes in base64: 22 symbols and two equals signs.
fn is_key(key: &[u8]) -> bool {
    let Some((symbols, b"==")) = key.split_last_chunk::<2>() else {
        return false;
    };
    let (Some(first), Some(last)) = (symbols.first_chunk::<16>(), symbols.last_chunk::<16>())
    else {
        return false;
    };
    // Two vector registers, which overlap: 50 instead of 200 instructions.
    let mut illegal = [0_u8; 16];
    for (illegal, (first, last)) in illegal.iter_mut().zip(first.iter().zip(last)) {
        *illegal = u8::from(!is_symbol(*first)) | u8::from(!is_symbol(*last));
    }
    symbols.len() == 22 && illegal == [0; 16]
}

/// Returns whether `byte` is a symbol of base64: a letter, a digit, `+` or `/`.
fn is_symbol(byte: u8) -> bool {
    let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    // `/` and the digits are adjacent.
    let is_digit_or_slash = byte.wrapping_sub(b'/') < 11;
    is_letter | is_digit_or_slash | (byte == b'+')
}

/// The headers that a handshake and its carriers depend on, found in one pass.
struct Headers<'a> {
    map: &'a HeaderMap,
    /// Whether no header of the request occurs more than once.
    distinct: bool,
    /// The last value of each header.
    values: [Option<&'a HeaderValue>; COUNT],
}

impl<'a> Headers<'a> {
    fn find(map: &'a HeaderMap) -> Self {
        let mut headers = Self {
            map,
            distinct: map.len() == map.keys_len(),
            values: [None; COUNT],
        };
        for (name, value) in map {
            if let Some(index) = Index::of(name) {
                headers.values[index as usize] = Some(value);
            }
        }
        headers
    }

    fn has(&self, index: Index) -> bool {
        self.values[index as usize].is_some()
    }

    /// Returns the value of a header that occurs exactly once.
    #[inline]
    fn one(&self, index: Index) -> Option<&'a [u8]> {
        let value = self.values[index as usize]?;
        match self.distinct {
            true => Some(value.as_bytes()),
            false => one(self.map, &NAMES[index as usize]),
        }
    }

    /// Returns whether a value of the header passes `test`.
    fn any(&self, index: Index, test: impl Fn(&[u8]) -> bool) -> bool {
        let test = |value: &HeaderValue| test(value.as_bytes());
        match self.values[index as usize] {
            Some(value) if self.distinct => test(value),
            Some(_) => self.map.get_all(&NAMES[index as usize]).iter().any(test),
            None => false,
        }
    }
}

/// The position of a header in [`Headers`].
#[derive(Clone, Copy)]
enum Index {
    Authorization,
    Connection,
    ContentLength,
    Cookie,
    Host,
    Referer,
    SecWebSocketKey,
    SecWebSocketProtocol,
    SecWebSocketVersion,
    TransferEncoding,
    Upgrade,
}

const COUNT: usize = 11;

/// The name of the header at each [`Index`].
static NAMES: [HeaderName; COUNT] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::COOKIE,
    header::HOST,
    header::REFERER,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_VERSION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

impl Index {
    /// Finds the index of a header. The crate `http` keeps a number for each of these names, so
    /// this compares no text.
    fn of(name: &HeaderName) -> Option<Self> {
        Some(match *name {
            header::AUTHORIZATION => Self::Authorization,
            header::CONNECTION => Self::Connection,
            header::CONTENT_LENGTH => Self::ContentLength,
            header::COOKIE => Self::Cookie,
            header::HOST => Self::Host,
            header::REFERER => Self::Referer,
            header::SEC_WEBSOCKET_KEY => Self::SecWebSocketKey,
            header::SEC_WEBSOCKET_PROTOCOL => Self::SecWebSocketProtocol,
            header::SEC_WEBSOCKET_VERSION => Self::SecWebSocketVersion,
            header::TRANSFER_ENCODING => Self::TransferEncoding,
            header::UPGRADE => Self::Upgrade,
            _ => return None,
        })
    }
}

/// Why an upgrade is not a valid handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Flaw {
    /// The text names the broken rule.
    Malformed(&'static str),

    UnsupportedVersion,
}

impl From<Flaw> for Refusal {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Malformed(detail) => {
                Self::new(RefusalKind::MalformedHandshake).with_detail(detail)
            }
            Flaw::UnsupportedVersion => Self::new(RefusalKind::UnsupportedVersion),
        }
    }
}

/// Returns the value of a header that occurs exactly once.
pub(super) fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    // In most requests no header occurs twice, and then the first value is the only one.
    if headers.len() == headers.keys_len() {
        return Some(headers.get(name)?.as_bytes());
    }
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.as_bytes()),
        _ => None,
    }
}

/// Returns what a verifier can see of the request, if it asks for that.
pub(super) fn handshake_of<B>(request: &Request<B>, upgrade: bool) -> Handshake {
    let origin = request.headers().get(header::ORIGIN);
    Handshake {
        origin: origin
            .and_then(|origin| origin.to_str().ok())
            .map(Into::into),
        peer: peer_of(request.extensions()),
        upgrade,
        ..Handshake::new(request.uri().path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_header_is_found_at_its_index() {
        for (position, name) in NAMES.iter().enumerate() {
            let index = Index::of(name).unwrap();
            assert_eq!(index as usize, position, "{name}");
        }
        assert!(Index::of(&header::ORIGIN).is_none());
    }

    #[test]
    fn repeated_header_has_no_single_value() {
        let mut map = HeaderMap::new();
        map.append(header::CONNECTION, HeaderValue::from_static("keep-alive"));
        map.append(header::HOST, HeaderValue::from_static("a"));
        map.append(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        let headers = Headers::find(&map);
        assert_eq!(headers.one(Index::Host), Some(&b"a"[..]));
        assert_eq!(headers.one(Index::Connection), None);
        assert_eq!(headers.one(Index::Upgrade), None);
        assert!(headers.any(Index::Connection, lists_upgrade));
        assert!(!headers.any(Index::Upgrade, |_| true));
    }
}
