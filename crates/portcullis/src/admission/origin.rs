use std::fmt;
use std::str::FromStr;

use http::header::{HeaderName, ORIGIN};
use http::uri::Scheme;
use http::{HeaderMap, Request};

use super::handshake::one;
use super::host::{AllowedHost, host_of, split_port};
use crate::profile::SameOrigin;
use crate::refusal::{Refusal, RefusalKind};

/// Which pages may use an ambient credential, and which hosts we answer for.
#[derive(Clone, Debug, Default)]
pub(crate) struct OriginPolicy {
    pub(crate) allowed: Vec<AllowedOrigin>,
    pub(crate) any: bool,
    pub(crate) https: bool,
    pub(crate) absent_passes: bool,
    pub(crate) for_all: bool,
    pub(crate) hosts: Option<Vec<AllowedHost>>,
}

impl OriginPolicy {
    /// The policy of the same server, without the pages of others that it trusts.
    #[cfg(feature = "cookie")]
    pub(crate) fn of_own_pages(&self) -> Self {
        Self {
            https: self.https,
            hosts: self.hosts.clone(),
            ..Self::default()
        }
    }

    /// Whether the request is for a host that we answer for.
    pub(crate) fn check_host<B>(&self, request: &Request<B>) -> Result<(), Refusal> {
        let Some(hosts) = &self.hosts else {
            return Ok(());
        };
        let host = host_of(request);
        let is_ours =
            host.is_some_and(|(name, port)| hosts.iter().any(|it| it.matches(name, port)));
        match is_ours {
            true => Ok(()),
            false => Err(Refusal::new(RefusalKind::UnknownHost)),
        }
    }

    /// Whether the page that sent the request may use an ambient credential.
    ///
    /// No other header can vouch for a foreign origin. `Sec-Fetch-Site` can only speak against an
    /// absent one.
    pub(crate) fn check_origin<B>(
        &self,
        request: &Request<B>,
        same_origin: SameOrigin,
        absent_passes: bool,
    ) -> Result<(), Refusal> {
        if self.any {
            return Ok(());
        }
        let lenient = same_origin == SameOrigin::Lenient;
        let headers = request.headers();
        if !headers.contains_key(ORIGIN) {
            let passes = absent_passes || self.absent_passes || lenient;
            return match passes && !is_from_another_site(headers) {
                true => Ok(()),
                false => Err(Refusal::new(RefusalKind::ForeignOrigin)
                    .with_detail("A cookie opens a socket only beside an `Origin`.")),
            };
        }
        let Some(line) = one(headers, &ORIGIN) else {
            return Err(Refusal::new(RefusalKind::MalformedHandshake)
                .with_detail("a request has at most one Origin"));
        };
        let Some(origin) = SerializedOrigin::parse(line) else {
            return Err(Refusal::new(RefusalKind::ForeignOrigin));
        };
        let host = host_of(request);
        let is_ours = host.is_some_and(|(host, port)| {
            let scheme_fits = match self.is_https(request) {
                _ if lenient => true,
                true => origin.scheme == "https",
                false => origin.scheme == "http",
            };
            scheme_fits
                && origin.host.eq_ignore_ascii_case(host)
                && origin.effective_port() == port.or(default_port(origin.scheme))
        });
        match is_ours || self.allowed.iter().any(|allowed| allowed.matches(&origin)) {
            true => Ok(()),
            false => Err(Refusal::new(RefusalKind::ForeignOrigin)),
        }
    }

    fn is_https<B>(&self, request: &Request<B>) -> bool {
        self.https || request.uri().scheme() == Some(&Scheme::HTTPS)
    }
}

/// An origin whose pages may use an ambient credential: `https://app.example.com`.
///
/// Written as browsers write it: scheme, host and, unless it is the scheme's own, port; in lower
/// case, without a path. `https://*.example.com` stands for every host below `example.com`, and
/// not for `example.com`. There are no patterns beyond that: the ones of others have all been
/// outwitted once.
///
/// ```
/// use portcullis::admission::AllowedOrigin;
///
/// let origin: AllowedOrigin = "https://app.example.com".parse()?;
/// assert!("https://app.example.com/".parse::<AllowedOrigin>().is_err());
/// assert!("null".parse::<AllowedOrigin>().is_err());
/// # Ok::<_, portcullis::admission::ParseOriginError>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AllowedOrigin {
    scheme: Box<str>,
    host: Box<str>,
    port: Option<u16>,
    below: bool,
}

impl AllowedOrigin {
    fn matches(&self, origin: &SerializedOrigin<'_>) -> bool {
        let host_fits = match self.below {
            false => *self.host == *origin.host,
            true => origin
                .host
                .strip_suffix(&*self.host)
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|label| !label.is_empty()),
        };
        *self.scheme == *origin.scheme && self.port == origin.effective_port() && host_fits
    }
}

impl FromStr for AllowedOrigin {
    type Err = ParseOriginError;

    fn from_str(text: &str) -> Result<Self, ParseOriginError> {
        let exact = text.replacen("://*.", "://", 1);
        let below = exact.len() != text.len();
        let origin = SerializedOrigin::parse(exact.as_bytes()).ok_or_else(|| ParseOriginError {
            origin: text.into(),
        })?;
        Ok(Self {
            scheme: origin.scheme.into(),
            host: origin.host.into(),
            port: origin.effective_port(),
            below,
        })
    }
}

impl TryFrom<&str> for AllowedOrigin {
    type Error = ParseOriginError;

    fn try_from(text: &str) -> Result<Self, ParseOriginError> {
        text.parse()
    }
}

impl TryFrom<String> for AllowedOrigin {
    type Error = ParseOriginError;

    fn try_from(text: String) -> Result<Self, ParseOriginError> {
        text.parse()
    }
}

impl From<std::convert::Infallible> for ParseOriginError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// The text is not an origin.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParseOriginError {
    origin: Box<str>,
}

impl fmt::Display for ParseOriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not an origin; write it as browsers do: `https://app.example.com`, \
             `http://localhost:8080` or `https://*.example.com`, without a path",
            self.origin
        )
    }
}

impl std::error::Error for ParseOriginError {}

/// An origin as RFC 6454 §6.2 serialises it, and in no other form.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct SerializedOrigin<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<u16>,
}

impl<'a> SerializedOrigin<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let (scheme, authority) = std::str::from_utf8(line).ok()?.split_once("://")?;
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
        let (host, port) = split_port(authority)?;
        let is_lower_case = !host.bytes().any(|byte| byte.is_ascii_uppercase());
        (is_scheme && is_lower_case).then_some(Self { scheme, host, port })
    }

    fn effective_port(&self) -> Option<u16> {
        self.port.or(default_port(self.scheme))
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Tornado looks at this where an origin is absent, and so do we where an absent one passes.
fn is_from_another_site(headers: &HeaderMap) -> bool {
    const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    headers
        .get(SEC_FETCH_SITE)
        .is_some_and(|site| site != "same-origin" && site != "none")
}
