//! The answer to a request that is not admitted.
//!
//! A [`Refusal`] has a [`RefusalKind`], a status that the [`Profile`] chose, and a body
//! that says no more than the kind. [`Problem`] writes it as `application/problem+json`
//! (RFC 9457); any closure that is a [`Respond`] writes something else.
//!
//! Whatever the responder answers, the layer sees to the rest: `Cache-Control: no-store`, the
//! challenges of RFC 6750 and RFC 7617, `Retry-After`, and `Connection: close` on a refused
//! HTTP/1.1 upgrade, whose bytes that follow must not be taken for a second request. The refusal
//! itself is put into the response's extensions, so that layers outside can count it.

mod kind;
mod respond;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONNECTION, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::response::Response;
use portcullis_core::{Carrier, Scheme, VerifyError};

pub use self::kind::RefusalKind;
#[cfg(feature = "axum")]
pub(crate) use self::respond::problem;
pub use self::respond::{Problem, Respond};
use crate::carrier::{CarrierConfig, Unreadable};
use crate::profile::Profile;
use crate::trace::Redacted;

/// Why a request is not admitted, and how that is answered.
///
/// It holds no secret and nothing that the client sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    kind: RefusalKind,
    carrier: Option<Carrier>,
    detail: Cow<'static, str>,
    status: StatusCode,
    retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn new(kind: RefusalKind) -> Self {
        Self {
            kind,
            carrier: None,
            detail: Cow::Borrowed(kind.default_detail()),
            status: kind.default_status(),
            retry_after: match kind {
                RefusalKind::ServerFull | RefusalKind::TooManySessions => Some(DEFAULT_RETRY_AFTER),
                _ => None,
            },
        }
    }

    pub(crate) fn unreadable(why: Unreadable, carrier: Carrier) -> Self {
        match why {
            #[cfg(feature = "cookie")]
            Unreadable::BrokenSeal => Self::new(RefusalKind::InvalidCredential),
            Unreadable::Malformed(detail) => {
                Self::new(RefusalKind::MalformedCredential).with_detail(detail)
            }
            Unreadable::TooLarge => Self::new(RefusalKind::TooLarge),
            Unreadable::Unsupported => Self::new(RefusalKind::UnsupportedScheme),
        }
        .carrier_is(carrier)
    }

    pub(crate) fn unverified(error: VerifyError, carrier: Carrier) -> Self {
        let refusal = match error {
            VerifyError::Expired => Self::new(RefusalKind::ExpiredCredential),
            VerifyError::Forbidden => Self::new(RefusalKind::ForbiddenCredential),
            VerifyError::Unavailable { retry_after } => Self {
                retry_after: Some(retry_after.unwrap_or(DEFAULT_RETRY_AFTER)),
                ..Self::new(RefusalKind::VerifierUnavailable)
            },
            // What a verifier of a later version says and we do not know is no admission.
            _ => Self::new(RefusalKind::InvalidCredential),
        };
        refusal.carrier_is(carrier)
    }

    pub(crate) fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = detail.into();
        self
    }

    pub(crate) fn carrier_is(mut self, carrier: Carrier) -> Self {
        self.carrier = Some(carrier);
        self
    }

    /// Why the request is refused.
    pub fn kind(&self) -> RefusalKind {
        self.kind
    }

    /// The carrier of the credential that is at fault, if one is.
    pub fn carrier(&self) -> Option<Carrier> {
        self.carrier
    }

    /// A sentence for whoever debugs the client. It tells nothing about credentials: expired,
    /// revoked and unknown ones get the same.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// When it is worth to try again, for refusals that pass.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Answers, logs and marks: the one way a refusal leaves the house.
    ///
    /// `request` must be without its credentials by now: the responder sees it.
    pub(crate) fn answer<R: Respond<B>, B>(
        mut self,
        profile: &Profile,
        responder: &R,
        request: &Parts,
        upgrade: bool,
    ) -> Response<B> {
        self.status = profile.status_for(self.kind, self.carrier);
        tracing::event!(
            name: "refused",
            target: "portcullis",
            tracing::Level::DEBUG,
            kind = self.kind.as_str(),
            carrier = self.carrier.map(Carrier::as_str),
            profile = profile.name(),
            status = self.status.as_u16(),
            method = %request.method,
            uri = %Redacted(&request.uri),
            "{self}"
        );
        let mut response = responder.respond(&self, request);
        if upgrade && is_admission(response.status()) {
            tracing::error!(
                "a responder answers a refused upgrade with {}",
                response.status()
            );
            *response.status_mut() = self.status;
        }
        self.mark(profile, request, upgrade, &mut response);
        response.extensions_mut().insert(self);
        response
    }

    fn mark<B>(
        &self,
        profile: &Profile,
        request: &Parts,
        upgrade: bool,
        response: &mut Response<B>,
    ) {
        let status = response.status();
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if upgrade && request.version <= http::Version::HTTP_11 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if self.kind == RefusalKind::UnsupportedVersion {
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        if let Some(delay) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(delay.as_secs().max(1)));
        }
        if status == StatusCode::UNAUTHORIZED || self.kind == RefusalKind::InsufficientScope {
            // A challenge for Basic makes a browser ask for a password, in the name of whatever
            // page opened the socket.
            let may_prompt = !request.headers.contains_key(http::header::ORIGIN);
            for scheme in challenges(profile) {
                match scheme {
                    Scheme::Basic if may_prompt => {
                        let basic = r#"Basic realm="portcullis", charset="UTF-8""#;
                        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(basic));
                    }
                    Scheme::Basic => {}
                    _ => {
                        headers.append(WWW_AUTHENTICATE, self.bearer_challenge());
                    }
                }
            }
        }
    }

    /// RFC 6750 §3: no error code if the client has not tried yet.
    fn bearer_challenge(&self) -> HeaderValue {
        match self.kind.error_code() {
            None => HeaderValue::from_static("Bearer"),
            Some("invalid_request") => {
                HeaderValue::from_static(r#"Bearer error="invalid_request""#)
            }
            Some("insufficient_scope") => {
                HeaderValue::from_static(r#"Bearer error="insufficient_scope""#)
            }
            Some(_) => HeaderValue::from_static(r#"Bearer error="invalid_token""#),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Refusal {}

/// Whether a client would take this status for an accepted upgrade.
fn is_admission(status: StatusCode) -> bool {
    status.is_informational() || status.is_success()
}

/// The schemes that a client may answer with. A profile without the header still names `Bearer`:
/// RFC 9110 §15.5.2 wants a challenge with every 401.
fn challenges(profile: &Profile) -> impl Iterator<Item = Scheme> {
    let mut headers = profile
        .carriers()
        .iter()
        .filter_map(|reader| match reader {
            CarrierConfig::Authorization(authorization) => Some(authorization.challenges()),
            _ => None,
        })
        .flatten()
        .peekable();
    let fallback = headers.peek().is_none().then_some(Scheme::Bearer);
    headers.chain(fallback)
}

/// What a client is told to wait when the verifier does not say.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);
