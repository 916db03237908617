//! Refusals: the responses to requests that are not admitted.
//!
//! A [`Refusal`] is data: a [`RefusalKind`], the carrier of the refused credential, a sentence for
//! the client and a status. A responder builds the response from it: [`Problem`] writes
//! `application/problem+json` (RFC 9457), and a closure can write anything else; see [`Respond`].
//!
//! [`AuthLayer`](crate::AuthLayer) completes the response of every responder:
//!
//! * `Cache-Control: no-store`;
//! * `Connection: close` on a refused HTTP/1.1 upgrade, because the bytes that follow must not be
//!   read as another request;
//! * the challenges of RFC 6750 and RFC 7617, and `Retry-After`;
//! * the [`Refusal`] in the response's extensions, so that an outer layer can count it.
//!
//! The same responder and headers apply if a part inside of the layer refuses: a
//! [`RequireScopeLayer`](crate::RequireScopeLayer) without a responder of its own,
//! [`GuardedUpgrade`](crate::GuardedUpgrade) at a limit for sessions, or the handlers that renew
//! sessions and mint tickets.

mod answer;
mod kind;
mod respond;
mod unanswered;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use http::StatusCode;
use portcullis_core::{Carrier, Scopes, VerifyError};

pub(crate) use self::answer::{RefusalPolicy, StatusRule, answer};
pub use self::kind::RefusalKind;
pub use self::respond::{Problem, Respond};
pub(crate) use self::unanswered::{AdmittedAnonymously, Unanswered, is_admitted};
use crate::carrier::Unreadable;

/// The reason why a request is refused, with the data for the response.
///
/// It contains no secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    kind: RefusalKind,
    carrier: Option<Carrier>,
    detail: Cow<'static, str>,
    status: StatusCode,
    retry_after: Option<Duration>,
    /// The scopes that a route requires.
    scopes: Option<Scopes>,
    /// The reason with the compared values, for the log only.
    reason: Option<Box<str>>,
}

impl Refusal {
    pub(crate) fn new(kind: RefusalKind) -> Self {
        Self {
            kind,
            carrier: None,
            detail: Cow::Borrowed(kind.default_detail()),
            status: kind.default_status(),
            retry_after: kind.is_temporary().then_some(DEFAULT_RETRY_AFTER),
            scopes: None,
            reason: None,
        }
    }

    pub(crate) fn unreadable(error: Unreadable, carrier: Carrier) -> Self {
        match error {
            #[cfg(feature = "cookie")]
            Unreadable::BrokenSeal => Self::new(RefusalKind::InvalidCredential),
            Unreadable::Malformed(detail) => {
                Self::new(RefusalKind::MalformedCredential).with_detail(detail)
            }
            Unreadable::TooLarge => Self::new(RefusalKind::TooLarge),
            Unreadable::Unsupported => Self::new(RefusalKind::UnsupportedScheme),
        }
        .with_carrier(carrier)
    }

    pub(crate) fn unverified(error: VerifyError) -> Self {
        match error {
            VerifyError::Expired => Self::new(RefusalKind::ExpiredCredential),
            VerifyError::Forbidden => Self::new(RefusalKind::ForbiddenCredential),
            VerifyError::Unavailable { retry_after } => Self {
                retry_after: Some(retry_after.unwrap_or(DEFAULT_RETRY_AFTER)),
                ..Self::new(RefusalKind::VerifierUnavailable)
            },
            // An error that a later version of `portcullis-core` adds does not admit either.
            _ => Self::new(RefusalKind::InvalidCredential),
        }
    }

    pub(crate) fn insufficient_scope(required: &Scopes) -> Self {
        Self {
            scopes: Some(required.clone()),
            ..Self::new(RefusalKind::InsufficientScope)
        }
    }

    pub(crate) fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = detail.into();
        self
    }

    pub(crate) fn with_carrier(mut self, carrier: Carrier) -> Self {
        self.carrier = Some(carrier);
        self
    }

    /// Adds the reason, with the compared values, to the event in the log. The client does not get
    /// it. It must not contain a secret.
    pub(crate) fn with_reason(mut self, reason: impl FnOnce() -> String) -> Self {
        if tracing::enabled!(target: "portcullis", tracing::Level::DEBUG) {
            self.reason = Some(reason().into());
        }
        self
    }

    pub(crate) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Returns why the request is refused.
    pub fn kind(&self) -> RefusalKind {
        self.kind
    }

    /// Returns the carrier of the refused credential, if there is one.
    pub fn carrier(&self) -> Option<Carrier> {
        self.carrier
    }

    /// Returns a sentence for the developer of the client. It is the same for expired, revoked and
    /// unknown credentials.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Returns the status of the response.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns how long the client should wait before it tries again, if the refusal is temporary.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Refusal {}

/// How long a client should wait if the verifier does not say.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);
