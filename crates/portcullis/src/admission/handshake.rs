use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Version};

use super::detect::is_upgrade_without_header;
use crate::carrier::{Carrier, entries, is_word};
use crate::refusal::{Refusal, RefusalKind};

/// What the head of a request says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) carriers: Carriers,
    pub(super) upgrade: bool,
    /// Whether what asks for an upgrade asks for it as the standards say.
    pub(super) handshake: Result<(), Flaw>,
}

/// Reads the head of a request, its header lines once.
pub(super) fn read<B>(request: &Request<B>) -> Reading {
    let mut lines = Lines::of(request.headers());
    lines.find();
    let upgrade = lines.has(Line::Upgrade) || is_upgrade_without_header(request);
    Reading {
        carriers: Carriers {
            authorization: lines.has(Line::Authorization),
            cookie: lines.has(Line::Cookie),
            referer: lines.has(Line::Referer),
            subprotocol: lines.has(Line::Protocol),
        },
        upgrade,
        handshake: match upgrade {
            true => check(request, &lines),
            false => Ok(()),
        },
    }
}

/// Whether what asks for an upgrade asks for it as the standards say.
///
/// hyper and axum let pass what proxies in front of them may read differently: two hosts, a body,
/// a key of two characters. Two readings of one request are how a tunnel is smuggled past a
/// proxy, so all of it is refused here (RFC 6455 §4.2.1, RFC 8441 §4, RFC 9112 §3.2).
fn check<B>(request: &Request<B>, lines: &Lines<'_>) -> Result<(), Flaw> {
    let http2 = request.version() > Version::HTTP_11;
    if http2 {
        check_connect(request, lines)?;
    } else {
        check_upgrade(request, lines)?;
    }
    let has_length = lines.any(Line::ContentLength, &header::CONTENT_LENGTH, |it| {
        it != b"0"
    });
    if has_length || (lines.has(Line::TransferEncoding) && !http2) {
        return Err(Flaw::Malformed("a handshake has no body"));
    }
    match lines.one(Line::Version) {
        Some(b"13") => Ok(()),
        _ => Err(Flaw::UnsupportedVersion),
    }
}

/// RFC 6455 §4.2.1.
fn check_upgrade<B>(request: &Request<B>, lines: &Lines<'_>) -> Result<(), Flaw> {
    if request.method() != Method::GET {
        return Err(Flaw::Malformed("over HTTP/1.1 a handshake is a GET"));
    }
    let Some(host) = lines.one(Line::Host) else {
        return Err(Flaw::Malformed("a handshake has exactly one Host"));
    };
    // RFC 9112 §3.2.2: an absolute target overrides the header. A client that sends both sends
    // the same.
    let target = request.uri().authority();
    if target.is_some_and(|target| !target.as_str().as_bytes().eq_ignore_ascii_case(host)) {
        return Err(Flaw::Malformed(
            "the Host is not that of the request's target",
        ));
    }
    if !lines
        .one(Line::Upgrade)
        .is_some_and(|to| is_word(to, b"websocket"))
    {
        return Err(Flaw::Malformed(
            "the one thing to upgrade to is `websocket`",
        ));
    }
    if !lines.any(Line::Connection, &header::CONNECTION, lists_upgrade) {
        return Err(Flaw::Malformed("`Connection` has to list `upgrade`"));
    }
    match lines.one(Line::Key) {
        Some(key) if is_key(key) => Ok(()),
        _ => Err(Flaw::Malformed(
            "`Sec-WebSocket-Key` has to be 16 bytes in base64, once",
        )),
    }
}

/// RFC 8441 §4 and §5.
fn check_connect<B>(request: &Request<B>, lines: &Lines<'_>) -> Result<(), Flaw> {
    if request.method() != Method::CONNECT {
        return Err(Flaw::Malformed(
            "over HTTP/2 a handshake is an extended CONNECT",
        ));
    }
    if lines.has(Line::Upgrade) || lines.has(Line::Connection) {
        return Err(Flaw::Malformed(
            "`Upgrade` and `Connection` are not for HTTP/2",
        ));
    }
    if request.uri().authority().is_none() {
        return Err(Flaw::Malformed("a handshake names its authority"));
    }
    Ok(())
}

/// The header lines that a handshake and its carriers depend on, found in one pass: a look-up for
/// each would hash eleven names.
struct Lines<'a> {
    headers: &'a HeaderMap,
    found: [Occurs<'a>; Line::COUNT],
}

impl<'a> Lines<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        Self {
            headers,
            found: [Occurs::Never; Line::COUNT],
        }
    }

    fn find(&mut self) {
        for (name, value) in self.headers {
            if let Some(line) = Line::named(name) {
                let occurs = &mut self.found[line as usize];
                *occurs = match occurs {
                    Occurs::Never => Occurs::Once(value),
                    Occurs::Once(_) | Occurs::Often => Occurs::Often,
                };
            }
        }
    }

    fn has(&self, line: Line) -> bool {
        !matches!(self.found[line as usize], Occurs::Never)
    }

    /// The value of a header that occurs exactly once.
    fn one(&self, line: Line) -> Option<&'a [u8]> {
        match self.found[line as usize] {
            Occurs::Once(value) => Some(value.as_bytes()),
            Occurs::Never | Occurs::Often => None,
        }
    }

    /// Whether any line of the header, whose name is `name`, passes `test`.
    fn any(&self, line: Line, name: &HeaderName, test: impl Fn(&[u8]) -> bool) -> bool {
        let test = |value: &HeaderValue| test(value.as_bytes());
        match self.found[line as usize] {
            Occurs::Never => false,
            Occurs::Once(value) => test(value),
            Occurs::Often => self.headers.get_all(name).iter().any(test),
        }
    }
}

/// A header that is looked at.
#[derive(Clone, Copy)]
enum Line {
    Authorization,
    Connection,
    ContentLength,
    Cookie,
    Host,
    Key,
    Protocol,
    Referer,
    TransferEncoding,
    Upgrade,
    Version,
}

impl Line {
    const COUNT: usize = Self::Version as usize + 1;

    /// By the names that the crate `http` knows, and not by their text: it keeps a number for each.
    fn named(name: &HeaderName) -> Option<Self> {
        Some(match *name {
            header::AUTHORIZATION => Self::Authorization,
            header::CONNECTION => Self::Connection,
            header::CONTENT_LENGTH => Self::ContentLength,
            header::COOKIE => Self::Cookie,
            header::HOST => Self::Host,
            header::REFERER => Self::Referer,
            header::SEC_WEBSOCKET_KEY => Self::Key,
            header::SEC_WEBSOCKET_PROTOCOL => Self::Protocol,
            header::SEC_WEBSOCKET_VERSION => Self::Version,
            header::TRANSFER_ENCODING => Self::TransferEncoding,
            header::UPGRADE => Self::Upgrade,
            _ => return None,
        })
    }
}

/// How often a header occurs.
#[derive(Clone, Copy)]
enum Occurs<'a> {
    Never,
    Once(&'a HeaderValue),
    Often,
}

/// Where a credential may be: the header is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carriers {
    authorization: bool,
    cookie: bool,
    /// What names the page that was opened with the token.
    pub(super) referer: bool,
    pub(super) subprotocol: bool,
}

impl Carriers {
    pub(super) fn may_bear(self, carrier: Carrier) -> bool {
        match carrier {
            Carrier::Authorization => self.authorization,
            Carrier::Cookie => self.cookie,
            Carrier::Subprotocol => self.subprotocol,
            // The address, and whatever comes later.
            _ => true,
        }
    }
}

fn lists_upgrade(line: &[u8]) -> bool {
    is_word(line, b"upgrade") || entries(line).any(|option| is_word(option, b"upgrade"))
}

/// The value of a header that occurs exactly once.
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

/// 22 symbols and two equals signs: 16 bytes in base64.
fn is_key(key: &[u8]) -> bool {
    let Some((symbols, b"==")) = key.split_last_chunk::<2>() else {
        return false;
    };
    symbols.len() == 22
        && symbols
            .iter()
            .fold(true, |all, byte| all & IS_SYMBOL[*byte as usize])
}

/// Letters, digits, `+` and `/`. A table, since this runs for every byte of every key.
const IS_SYMBOL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'+' | b'/');
        byte += 1;
    }
    table
};

/// Why it is no handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Flaw {
    /// The text says which rule it breaks.
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
