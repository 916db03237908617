use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, TRANSFER_ENCODING};
use http::header::{SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{Method, Request, Version};

use crate::carrier::entries;
use crate::refusal::{Refusal, RefusalKind};

/// Whether what asks for an upgrade asks for it as the standards say.
///
/// hyper and axum let pass what proxies in front of them may read differently: two hosts, a body,
/// a key of two characters. Two readings of one request are how a tunnel is smuggled past a
/// proxy, so all of it is refused here (RFC 6455 §4.2.1, RFC 8441 §4, RFC 9112 §3.2).
pub(super) fn check<B>(request: &Request<B>) -> Result<(), Refusal> {
    let headers = request.headers();
    let http2 = request.version() > Version::HTTP_11;
    if http2 {
        check_connect(request)?;
    } else {
        check_upgrade(request)?;
    }

    if has_body(headers, http2) {
        return Err(malformed("a handshake has no body"));
    }
    if one(headers, &SEC_WEBSOCKET_VERSION) != Some(b"13") {
        return Err(Refusal::new(RefusalKind::UnsupportedVersion));
    }
    Ok(())
}

/// RFC 6455 §4.2.1.
fn check_upgrade<B>(request: &Request<B>) -> Result<(), Refusal> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(malformed("over HTTP/1.1 a handshake is a GET"));
    }
    match (one(headers, &HOST), request.uri().authority()) {
        (None, _) => return Err(malformed("a handshake has exactly one Host")),
        // RFC 9112 §3.2.2: an absolute target overrides the header. A client that sends both
        // sends the same.
        (Some(host), Some(authority))
            if !authority.as_str().as_bytes().eq_ignore_ascii_case(host) =>
        {
            return Err(malformed("the Host is not that of the request's target"));
        }
        _ => {}
    }
    let is_websocket = one(headers, &UPGRADE).is_some_and(|v| v.eq_ignore_ascii_case(b"websocket"));
    if !is_websocket {
        return Err(malformed("the one thing to upgrade to is `websocket`"));
    }
    let mut connection = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| entries(line.as_bytes()));
    if !connection.any(|option| option.eq_ignore_ascii_case(b"upgrade")) {
        return Err(malformed("`Connection` has to list `upgrade`"));
    }
    if !one(headers, &SEC_WEBSOCKET_KEY).is_some_and(is_key) {
        return Err(malformed(
            "`Sec-WebSocket-Key` has to be 16 bytes in base64, once",
        ));
    }
    Ok(())
}

/// RFC 8441 §4 and §5.
fn check_connect<B>(request: &Request<B>) -> Result<(), Refusal> {
    let headers = request.headers();
    if request.method() != Method::CONNECT {
        return Err(malformed("over HTTP/2 a handshake is an extended CONNECT"));
    }
    if headers.contains_key(UPGRADE) || headers.contains_key(CONNECTION) {
        return Err(malformed("`Upgrade` and `Connection` are not for HTTP/2"));
    }
    if request.uri().authority().is_none() {
        return Err(malformed("a handshake names its authority"));
    }
    Ok(())
}

fn has_body(headers: &HeaderMap, http2: bool) -> bool {
    let announced = headers
        .get(CONTENT_LENGTH)
        .is_some_and(|length| length != "0");
    announced || (!http2 && headers.contains_key(TRANSFER_ENCODING))
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
    let is_symbol = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    key.len() == 24 && key[..22].iter().all(is_symbol) && key.ends_with(b"==")
}

fn malformed(detail: &'static str) -> Refusal {
    Refusal::new(RefusalKind::MalformedHandshake).detail(detail)
}
