use http::header::{HeaderMap, HeaderName};
use http::{Method, Request, Version};

use crate::carrier::{Carrier, entries};
use crate::refusal::{Refusal, RefusalKind};

/// Whether what asks for an upgrade asks for it as the standards say.
///
/// hyper and axum let pass what proxies in front of them may read differently: two hosts, a body,
/// a key of two characters. Two readings of one request are how a tunnel is smuggled past a
/// proxy, so all of it is refused here (RFC 6455 §4.2.1, RFC 8441 §4, RFC 9112 §3.2).
pub(super) fn check<B>(request: &Request<B>, lines: &Lines<'_>) -> Result<(), Refusal> {
    let http2 = request.version() > Version::HTTP_11;
    if http2 {
        check_connect(request, lines)?;
    } else {
        check_upgrade(request, lines)?;
    }
    if lines.has_length || (lines.has_transfer_encoding && !http2) {
        return Err(malformed("a handshake has no body"));
    }
    match lines.version {
        Occurs::Once(b"13") => Ok(()),
        _ => Err(Refusal::new(RefusalKind::UnsupportedVersion)),
    }
}

/// RFC 6455 §4.2.1.
fn check_upgrade<B>(request: &Request<B>, lines: &Lines<'_>) -> Result<(), Refusal> {
    if request.method() != Method::GET {
        return Err(malformed("over HTTP/1.1 a handshake is a GET"));
    }
    let Occurs::Once(host) = lines.host else {
        return Err(malformed("a handshake has exactly one Host"));
    };
    // RFC 9112 §3.2.2: an absolute target overrides the header. A client that sends both sends
    // the same.
    let target = request.uri().authority();
    if target.is_some_and(|target| !target.as_str().as_bytes().eq_ignore_ascii_case(host)) {
        return Err(malformed("the Host is not that of the request's target"));
    }
    if !matches!(lines.upgrade, Occurs::Once(to) if to.eq_ignore_ascii_case(b"websocket")) {
        return Err(malformed("the one thing to upgrade to is `websocket`"));
    }
    if !lines.connection_lists_upgrade {
        return Err(malformed("`Connection` has to list `upgrade`"));
    }
    match lines.key {
        Occurs::Once(key) if is_key(key) => Ok(()),
        _ => Err(malformed(
            "`Sec-WebSocket-Key` has to be 16 bytes in base64, once",
        )),
    }
}

/// RFC 8441 §4 and §5.
fn check_connect<B>(request: &Request<B>, lines: &Lines<'_>) -> Result<(), Refusal> {
    if request.method() != Method::CONNECT {
        return Err(malformed("over HTTP/2 a handshake is an extended CONNECT"));
    }
    if !matches!(lines.upgrade, Occurs::Never) || lines.has_connection {
        return Err(malformed("`Upgrade` and `Connection` are not for HTTP/2"));
    }
    if request.uri().authority().is_none() {
        return Err(malformed("a handshake names its authority"));
    }
    Ok(())
}

/// What the header lines of a request say about it, found in one pass: a look-up for each would
/// hash ten names.
#[derive(Default)]
pub(super) struct Lines<'a> {
    pub(super) carriers: Carriers,
    host: Occurs<'a>,
    upgrade: Occurs<'a>,
    key: Occurs<'a>,
    version: Occurs<'a>,
    has_connection: bool,
    connection_lists_upgrade: bool,
    has_length: bool,
    has_transfer_encoding: bool,
}

impl<'a> Lines<'a> {
    pub(super) fn read(headers: &'a HeaderMap) -> Self {
        let mut lines = Self::default();
        for (name, value) in headers {
            let value = value.as_bytes();
            match name.as_str() {
                "authorization" => lines.carriers.authorization = true,
                "connection" => {
                    lines.has_connection = true;
                    lines.connection_lists_upgrade |= lists_upgrade(value);
                }
                "content-length" => lines.has_length |= value != b"0",
                "cookie" => lines.carriers.cookie = true,
                "host" => lines.host.add(value),
                "sec-websocket-key" => lines.key.add(value),
                "sec-websocket-protocol" => lines.carriers.subprotocol = true,
                "sec-websocket-version" => lines.version.add(value),
                "transfer-encoding" => lines.has_transfer_encoding = true,
                "upgrade" => lines.upgrade.add(value),
                _ => {}
            }
        }
        lines
    }
}

/// The carriers that may bear something: their header is there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Carriers {
    authorization: bool,
    cookie: bool,
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

/// How often a header occurs.
#[derive(Clone, Copy, Default)]
enum Occurs<'a> {
    #[default]
    Never,
    Once(&'a [u8]),
    Often,
}

impl<'a> Occurs<'a> {
    fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Self::Never => Self::Once(value),
            Self::Once(_) | Self::Often => Self::Often,
        };
    }
}

fn lists_upgrade(line: &[u8]) -> bool {
    line.eq_ignore_ascii_case(b"upgrade")
        || entries(line).any(|option| option.eq_ignore_ascii_case(b"upgrade"))
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

fn malformed(detail: &'static str) -> Refusal {
    Refusal::new(RefusalKind::MalformedHandshake).detail(detail)
}
