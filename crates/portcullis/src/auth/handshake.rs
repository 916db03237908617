use http::header::{HeaderMap, HeaderName};
use http::{Method, Request, Version};

use crate::carrier::entries;
use crate::refusal::{Refusal, RefusalKind};

/// Whether what asks for an upgrade asks for it as the standards say.
///
/// hyper and axum let pass what proxies in front of them may read differently: two hosts, a body,
/// a key of two characters. Two readings of one request are how a tunnel is smuggled past a
/// proxy, so all of it is refused here (RFC 6455 §4.2.1, RFC 8441 §4, RFC 9112 §3.2).
pub(super) fn check<B>(request: &Request<B>) -> Result<(), Refusal> {
    let lines = Lines::read(request.headers());
    let http2 = request.version() > Version::HTTP_11;
    if http2 {
        check_connect(request, &lines)?;
    } else {
        check_upgrade(request, &lines)?;
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

/// The header lines that a handshake is judged by, found in one pass: a look-up for each would
/// hash seven names.
#[derive(Default)]
struct Lines<'a> {
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
    fn read(headers: &'a HeaderMap) -> Self {
        let mut lines = Self::default();
        for (name, value) in headers {
            let value = value.as_bytes();
            match name.as_str() {
                "connection" => {
                    lines.has_connection = true;
                    lines.connection_lists_upgrade |= lists_upgrade(value);
                }
                "content-length" => lines.has_length |= value != b"0",
                "host" => lines.host.add(value),
                "sec-websocket-key" => lines.key.add(value),
                "sec-websocket-version" => lines.version.add(value),
                "transfer-encoding" => lines.has_transfer_encoding = true,
                "upgrade" => lines.upgrade.add(value),
                _ => {}
            }
        }
        lines
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
