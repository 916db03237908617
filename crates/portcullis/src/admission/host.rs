//! The third step, first part: checks that the request is for a host of this server.

use std::convert::Infallible;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use http::Request;
use http::header::HOST;
use http::uri::Authority;

use super::handshake::one;
use crate::refusal::{Refusal, RefusalKind};

/// The hosts that a server accepts requests for; every host if there is no list.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostPolicy {
    pub(crate) allowed: Option<Vec<AllowedHost>>,
}

impl HostPolicy {
    #[inline]
    pub(crate) fn check<B>(&self, request: &Request<B>) -> Result<(), Refusal> {
        match &self.allowed {
            Some(allowed) => check(allowed, request),
            None => Ok(()),
        }
    }
}

fn check<B>(allowed: &[AllowedHost], request: &Request<B>) -> Result<(), Refusal> {
    let host = host_of(request);
    if host.is_some_and(|(name, port)| allowed.iter().any(|it| it.matches(name, port))) {
        return Ok(());
    }
    Err(
        Refusal::new(RefusalKind::UnknownHost).with_reason(|| match host {
            Some((name, port)) => {
                let host = display(name, port);
                format!("host `{host}` is not allowed; add it to `.hosts([..])`")
            }
            None => "the request has no host, or more than one".to_owned(),
        }),
    )
}

/// Returns an authority as the client sent it. Its length is limited, because it goes into a log.
pub(super) fn display(name: &str, port: Option<u16>) -> String {
    let name: String = name.chars().take(MAX_LOGGED_HOST).collect();
    match port {
        Some(port) => format!("{name}:{port}"),
        None => name,
    }
}

/// The maximum length of a domain name (RFC 1035 §2.3.4).
const MAX_LOGGED_HOST: usize = 255;

/// A host that a server accepts requests for, as in the `Host` header: `localhost`, `[::1]:8080`.
///
/// It is a name or an IP address, with or without a port. Without a port it matches every port. An
/// IPv6 address can be written with or without brackets. Case does not matter.
///
/// ```
/// use portcullis::admission::AllowedHost;
///
/// for host in ["localhost", "localhost:3000", "127.0.0.1", "::1", "[::1]:8080"] {
///     assert!(host.parse::<AllowedHost>().is_ok());
/// }
/// for host in ["", "http://localhost", "localhost/", "*.example.com", "localhost:"] {
///     assert!(host.parse::<AllowedHost>().is_err());
/// }
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AllowedHost {
    name: Box<str>,
    port: Option<u16>,
}

impl AllowedHost {
    pub(super) fn matches(&self, name: &str, port: Option<u16>) -> bool {
        // A client leaves out the port that is the default of the scheme, which is not known here.
        let port_fits = match (self.port, port) {
            (None, _) | (Some(80 | 443), None) => true,
            (allowed, port) => allowed == port,
        };
        port_fits && self.name.eq_ignore_ascii_case(name)
    }
}

impl FromStr for AllowedHost {
    type Err = ParseHostError;

    fn from_str(text: &str) -> Result<Self, ParseHostError> {
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Ok(Self {
                name: format!("[{address}]").into(),
                port: None,
            });
        }
        let (name, port) = split_port(text).ok_or_else(|| ParseHostError { host: text.into() })?;
        let address = name
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let name = match address.and_then(|address| address.parse::<Ipv6Addr>().ok()) {
            Some(address) => format!("[{address}]").into(),
            None => name.into(),
        };
        Ok(Self { name, port })
    }
}

impl TryFrom<&str> for AllowedHost {
    type Error = ParseHostError;

    fn try_from(text: &str) -> Result<Self, ParseHostError> {
        text.parse()
    }
}

impl TryFrom<String> for AllowedHost {
    type Error = ParseHostError;

    fn try_from(text: String) -> Result<Self, ParseHostError> {
        text.parse()
    }
}

impl From<Infallible> for ParseHostError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// The error for a text that is not a host; see [`AllowedHost`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParseHostError {
    host: Box<str>,
}

impl fmt::Display for ParseHostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a host; write a name or an IP address, with or without a port: \
             `localhost`, `app.example.com:8080`, `127.0.0.1` or `[::1]`",
            self.host
        )
    }
}

impl std::error::Error for ParseHostError {}

/// Returns the host that a request is for, and its port if the request contains one.
///
/// The target and the `Host` header have to agree, in HTTP/1.1 (RFC 9112 §3.2.2) and in HTTP/2
/// (RFC 9113 §8.3.1). If they do not, the request has no host.
pub(super) fn host_of<B>(request: &Request<B>) -> Option<(&str, Option<u16>)> {
    let target = request.uri().authority().map(Authority::as_str);
    let header = match request.headers().contains_key(HOST) {
        true => Some(std::str::from_utf8(one(request.headers(), &HOST)?).ok()?),
        false => None,
    };
    match (target, header) {
        (Some(target), Some(header)) if !target.eq_ignore_ascii_case(header) => None,
        (Some(authority), _) | (None, Some(authority)) => split_port(authority),
        (None, None) => None,
    }
}

/// Splits an authority without user info into host and port.
pub(super) fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let end_of_host = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(end_of_host);
    let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_legal = match host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(is_host_byte),
    };
    if !is_legal {
        return None;
    }
    match port.strip_prefix(':') {
        None if port.is_empty() => Some((host, None)),
        // `parse` accepts a sign, an authority does not.
        Some(digits) if digits.starts_with(|c: char| c.is_ascii_digit()) => {
            Some((host, Some(digits.parse().ok()?)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowed_hosts_match_requests() {
        #[rustfmt::skip]
        let rows = [
            // (allowed, host of the request, port of the request, matches)
            ("localhost",         "localhost",       None,       true),
            ("localhost",         "localhost",       Some(3000), true),
            ("localhost",         "LOCALHOST",       None,       true),
            ("localhost",         "127.0.0.1",       None,       false),
            ("localhost",         "localhost.",      None,       false),
            ("localhost:3000",    "localhost",       Some(3000), true),
            ("localhost:3000",    "localhost",       Some(3001), false),
            ("localhost:3000",    "localhost",       None,       false),
            ("example.com:443",   "example.com",     None,       true),
            ("example.com:443",   "example.com",     Some(8443), false),
            ("::1",               "[::1]",           Some(8080), true),
            ("[::1]",             "[::1]",           None,       true),
            ("[0:0::1]:8080",     "[::1]",           Some(8080), true),
            ("[::1]:8080",        "[::1]",           None,       false),
        ];
        for (allowed, name, port, matches) in rows {
            let host: AllowedHost = allowed.parse().unwrap();
            assert_eq!(
                host.matches(name, port),
                matches,
                "{allowed} {name} {port:?}"
            );
        }
    }

    #[test]
    fn invalid_hosts_are_an_error() {
        let rows = [
            "",
            "http://localhost",
            "localhost/",
            "localhost:",
            "localhost:+80",
            "localhost:65536",
            "user@localhost",
            "*.example.com",
            "[::1",
            "[localhost]",
            "a b",
            "bücher.example",
        ];
        for text in rows {
            let error = text.parse::<AllowedHost>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
