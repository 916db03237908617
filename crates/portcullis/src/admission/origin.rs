//! The third step, second part: checks the `Origin` of requests with an ambient credential.

use std::fmt;
use std::str::FromStr;

use http::header::{HeaderName, ORIGIN};
use http::uri::Scheme as UriScheme;
use http::{HeaderMap, Request};
use portcullis_core::{CarrierKind, Credential, Scheme};

use super::handshake::one;
use super::host::{display, host_of, split_port};
use crate::profile::SameOrigin;
use crate::refusal::{Refusal, RefusalKind};

/// The origins that may use an ambient credential, in addition to the server's own.
#[derive(Clone, Debug, Default)]
pub(crate) struct OriginPolicy {
    pub(crate) allowed: Vec<AllowedOrigin>,
    pub(crate) any: bool,
    pub(crate) https: bool,
    pub(crate) allow_absent: bool,
    /// Whether the origin of every upgrade is checked.
    pub(crate) always: bool,
}

/// Why an origin is not allowed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OriginError {
    /// The request has no `Origin`, or the browser says that it comes from another site.
    Absent,

    /// The request has several.
    Repeated,

    /// The origin has the host of the request, but the other scheme: the server does not know
    /// whether browsers use HTTPS.
    OtherScheme,

    /// The origin is not a serialized origin, or not an allowed one.
    NotAllowed,
}

impl OriginPolicy {
    /// Returns the policy for the server's own pages only.
    #[cfg(feature = "cookie")]
    pub(crate) fn of_own_pages(&self) -> Self {
        Self {
            https: self.https,
            ..Self::default()
        }
    }

    /// Checks a request with a credential.
    ///
    /// A browser attaches an ambient credential to the requests of every page, so the `Origin` has
    /// to show which page sent the request. A request that opens no socket and changes nothing
    /// needs no check, because the browser does not show the response to a page of another origin.
    pub(super) fn check_credential<B>(
        &self,
        request: &Request<B>,
        upgrade: bool,
        same_origin: SameOrigin,
        credential: &Credential,
    ) -> Result<(), OriginError> {
        if !upgrade && request.method().is_safe() {
            return Ok(());
        }
        let ambient = credential.carrier().kind() == CarrierKind::Ambient;
        // A browser repeats a password automatically, but then it sends an `Origin`.
        let repeated = credential.scheme() == Scheme::Basic;
        match ambient || repeated || (self.always && upgrade) {
            true => self.check(request, same_origin, repeated || !upgrade),
            false => Ok(()),
        }
    }

    /// Checks that the `Origin` is allowed, or is absent where that is allowed.
    ///
    /// No other header overrides an `Origin`. If there is none, a foreign `Sec-Fetch-Site` makes
    /// the check fail.
    pub(crate) fn check<B>(
        &self,
        request: &Request<B>,
        same_origin: SameOrigin,
        absent_passes: bool,
    ) -> Result<(), OriginError> {
        if self.any {
            return Ok(());
        }
        let lenient = same_origin == SameOrigin::Lenient;
        let headers = request.headers();
        if !headers.contains_key(ORIGIN) {
            let passes = absent_passes || self.allow_absent || lenient;
            return match passes && !is_from_another_site(headers) {
                true => Ok(()),
                false => Err(OriginError::Absent),
            };
        }
        let line = one(headers, &ORIGIN).ok_or(OriginError::Repeated)?;
        let origin = SerializedOrigin::parse(line).ok_or(OriginError::NotAllowed)?;
        let is_own_host = host_of(request).is_some_and(|(host, port)| {
            origin.host.eq_ignore_ascii_case(host)
                && origin.effective_port() == port.or(default_port(origin.scheme))
        });
        let is_own_scheme = lenient || origin.scheme == self.own_scheme(request);
        if (is_own_host && is_own_scheme) || self.allowed.iter().any(|it| it.matches(&origin)) {
            return Ok(());
        }
        match is_own_host && matches!(origin.scheme, "http" | "https") {
            true => Err(OriginError::OtherScheme),
            false => Err(OriginError::NotAllowed),
        }
    }

    /// Builds the refusal, with the compared origins for the log.
    pub(super) fn refusal<B>(&self, error: OriginError, request: &Request<B>) -> Refusal {
        let refusal = Refusal::new(match error {
            OriginError::Repeated => RefusalKind::MalformedHandshake,
            _ => RefusalKind::ForeignOrigin,
        });
        match error {
            OriginError::Absent => {
                refusal.with_detail("A cookie opens a socket only with an `Origin`.")
            }
            OriginError::Repeated => refusal.with_detail("a request has at most one Origin"),
            OriginError::OtherScheme | OriginError::NotAllowed => refusal,
        }
        .with_reason(|| self.explain(error, request))
    }

    /// Describes an error for the log: what was compared, and how to allow it.
    pub(super) fn explain<B>(&self, error: OriginError, request: &Request<B>) -> String {
        let own_scheme = self.own_scheme(request);
        let own = match host_of(request) {
            Some((name, port)) => format!("{own_scheme}://{}", display(name, port)),
            None => "an origin of this server, but the request has no host".to_owned(),
        };
        let received = request.headers().get(ORIGIN);
        let received: String = received
            .map(|line| String::from_utf8_lossy(line.as_bytes()))
            .unwrap_or_default()
            .chars()
            .take(MAX_LOGGED_ORIGIN)
            .collect();
        match error {
            OriginError::Absent => format!(
                "the request has no `Origin`; expected `{own}`. Browsers send one on every \
                 upgrade. For other clients, call `.allow_absent_origin()`"
            ),
            OriginError::Repeated => "the request has more than one `Origin`".to_owned(),
            OriginError::OtherScheme if own_scheme == "http" => format!(
                "origin `{received}` is not allowed; expected `{own}`. If browsers use HTTPS, call \
                 `.https()`"
            ),
            OriginError::OtherScheme => format!(
                "origin `{received}` is not allowed; expected `{own}`. If browsers do not use \
                 HTTPS, do not call `.https()`"
            ),
            OriginError::NotAllowed => format!(
                "origin `{received}` is not allowed; expected `{own}`. To allow it, call \
                 `.allow_origins([\"{received}\"])`"
            ),
        }
    }

    fn own_scheme<B>(&self, request: &Request<B>) -> &'static str {
        match self.https || request.uri().scheme() == Some(&UriScheme::HTTPS) {
            true => "https",
            false => "http",
        }
    }
}

/// An origin that may use ambient credentials: `https://app.example.com`.
///
/// It is written as browsers write it: the scheme, the host, and the port unless it is the default
/// of the scheme; in lower case, without a path. `https://*.example.com` stands for every host
/// below `example.com`, but not for `example.com`. There are no other patterns.
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

/// The error for a text that is not an origin; see [`AllowedOrigin`].
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

/// An origin in the serialization of RFC 6454 §6.2.
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

/// Returns whether the browser says that the request comes from another site. Tornado checks this
/// where an `Origin` is absent, too.
fn is_from_another_site(headers: &HeaderMap) -> bool {
    const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    headers
        .get(SEC_FETCH_SITE)
        .is_some_and(|site| site != "same-origin" && site != "none")
}

/// The maximum number of characters of an `Origin` in a log.
const MAX_LOGGED_ORIGIN: usize = 270;
