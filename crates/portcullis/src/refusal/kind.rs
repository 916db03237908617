use std::fmt;

use http::StatusCode;

/// The reasons not to admit a request.
///
/// Each has a status of its own, RFC 6750's where it has one. A [`Profile`](crate::Profile) may
/// answer with another.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum RefusalKind {
    /// Two carriers bear different credentials: 400.
    ConflictingCredentials,

    /// The credential was good once: 401.
    ExpiredCredential,

    /// The credential is good, but the verifier does not want it here: 403.
    ForbiddenCredential,

    /// An ambient credential comes from a page of an origin that is not allowed, or from no page
    /// at all: 403.
    ForeignOrigin,

    /// The identity lacks a scope that the route asks for: 403.
    InsufficientScope,

    /// Nobody's credential: 401.
    InvalidCredential,

    /// There is something where a credential should be, in a form that it cannot have: 400.
    MalformedCredential,

    /// It asks for an upgrade, but not as RFC 6455 §4.1 or RFC 8441 §4 say: 400.
    MalformedHandshake,

    /// No credential at all: 401.
    MissingCredential,

    /// The entry with the token is the only subprotocol offered, so none could be echoed: 400.
    MissingProtocol,

    /// There is no room for another socket, or the server is about to stop: 503.
    ServerFull,

    /// A credential, the cookies or a list are beyond a limit: 431.
    TooLarge,

    /// This subject, or this address, has as many sockets as it may: 429.
    TooManySessions,

    /// The request is for a host that is not on the list: 421.
    UnknownHost,

    /// The `Authorization` header is in a scheme that is not accepted: 401.
    UnsupportedScheme,

    /// It asks for another version of the WebSocket protocol than 13: 426.
    UnsupportedVersion,

    /// The verifier panicked: 500.
    VerifierFailed,

    /// The verifier could not tell, or not in time: 503.
    VerifierUnavailable,
}

impl RefusalKind {
    /// The name that logs, metrics and problem bodies use.
    pub const fn as_str(self) -> &'static str {
        self.facts().0
    }

    /// The status, unless the profile says otherwise.
    pub const fn default_status(self) -> StatusCode {
        self.facts().1
    }

    /// The error code of RFC 6750 §3.1, if it has one for this.
    pub const fn error_code(self) -> Option<&'static str> {
        match self {
            Self::ExpiredCredential | Self::InvalidCredential => Some("invalid_token"),
            Self::InsufficientScope | Self::ForbiddenCredential => Some("insufficient_scope"),
            Self::ConflictingCredentials | Self::MalformedCredential => Some("invalid_request"),
            _ => None,
        }
    }

    /// Whether the credential is at fault, and not the verifier.
    pub(crate) const fn is_of_the_credential(self) -> bool {
        matches!(
            self,
            Self::ExpiredCredential | Self::ForbiddenCredential | Self::InvalidCredential
        )
    }

    pub(crate) const fn default_detail(self) -> &'static str {
        self.facts().2
    }

    /// Name, status and sentence, one row for each.
    const fn facts(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;

        /// Unknown, expired and revoked get one sentence, so that it tells nothing apart.
        const NOT_ACCEPTED: &str = "The credential is not accepted.";

        match self {
            Self::ConflictingCredentials => (
                "conflicting-credentials",
                S::BAD_REQUEST,
                "Send one credential, not two.",
            ),
            Self::ExpiredCredential => ("expired-credential", S::UNAUTHORIZED, NOT_ACCEPTED),
            Self::ForbiddenCredential => (
                "forbidden-credential",
                S::FORBIDDEN,
                "The credential is not good for this.",
            ),
            Self::ForeignOrigin => (
                "foreign-origin",
                S::FORBIDDEN,
                "This credential is accepted only from an allowed origin.",
            ),
            Self::InsufficientScope => (
                "insufficient-scope",
                S::FORBIDDEN,
                "The identity lacks a scope for this.",
            ),
            Self::InvalidCredential => ("invalid-credential", S::UNAUTHORIZED, NOT_ACCEPTED),
            Self::MalformedCredential => (
                "malformed-credential",
                S::BAD_REQUEST,
                "The credential is malformed.",
            ),
            Self::MalformedHandshake => (
                "malformed-handshake",
                S::BAD_REQUEST,
                "The handshake is malformed.",
            ),
            Self::MissingCredential => (
                "missing-credential",
                S::UNAUTHORIZED,
                "This needs a credential.",
            ),
            Self::MissingProtocol => (
                "missing-protocol",
                S::BAD_REQUEST,
                "Offer a second subprotocol beside the token: only that one can be echoed.",
            ),
            Self::ServerFull => (
                "server-full",
                S::SERVICE_UNAVAILABLE,
                "There is no room for another socket at the moment.",
            ),
            Self::TooManySessions => (
                "too-many-sessions",
                S::TOO_MANY_REQUESTS,
                "Close a socket before you open another one.",
            ),
            Self::TooLarge => (
                "too-large",
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "A header is beyond its limit.",
            ),
            Self::UnknownHost => (
                "unknown-host",
                S::MISDIRECTED_REQUEST,
                "This server does not serve that host.",
            ),
            Self::UnsupportedScheme => (
                "unsupported-scheme",
                S::UNAUTHORIZED,
                "The scheme of the Authorization header is not accepted.",
            ),
            Self::UnsupportedVersion => (
                "unsupported-version",
                S::UPGRADE_REQUIRED,
                "The WebSocket version must be 13.",
            ),
            Self::VerifierFailed => (
                "verifier-failed",
                S::INTERNAL_SERVER_ERROR,
                "The credential was not checked.",
            ),
            Self::VerifierUnavailable => (
                "verifier-unavailable",
                S::SERVICE_UNAVAILABLE,
                "The credential cannot be checked at the moment.",
            ),
        }
    }
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
