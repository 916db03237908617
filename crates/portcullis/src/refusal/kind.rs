use std::fmt;

use http::StatusCode;

use crate::close::CloseReason;

/// The reason for a refusal.
///
/// Each kind has a default status, taken from RFC 6750 where that defines one. A
/// [`Profile`](crate::Profile) can set another.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum RefusalKind {
    /// Two carriers contain different credentials: 400.
    ConflictingCredentials,

    /// The credential has expired: 401.
    ExpiredCredential,

    /// The credential is valid, but the verifier does not accept it here: 403.
    ForbiddenCredential,

    /// An ambient credential comes from an origin that is not allowed, or without an `Origin`: 403.
    ForeignOrigin,

    /// The identity lacks a scope that the route requires: 403.
    InsufficientScope,

    /// The verifier does not know the credential, or it is revoked: 401.
    InvalidCredential,

    /// A carrier contains something that is not a well-formed credential: 400.
    MalformedCredential,

    /// The request asks for an upgrade but is not a valid WebSocket handshake (RFC 6455 §4.1,
    /// RFC 8441 §4): 400.
    MalformedHandshake,

    /// The body of a request to renew a session or to mint a ticket is malformed: 400.
    MalformedRequest,

    /// The request contains no credential: 401.
    MissingCredential,

    /// The entry with the token is the only subprotocol offered, so none can be echoed: 400.
    MissingProtocol,

    /// The new credential does not expire later than the one of the session: 409.
    NotLater,

    /// The server has reached a limit for sockets, or is shutting down: 503.
    ServerFull,

    /// The store of tickets is unavailable: 503.
    StoreUnavailable,

    /// A credential, the cookies or a list exceed a limit: 431.
    TooLarge,

    /// The subject or the address has reached its limit for sockets: 429.
    TooManySessions,

    /// The store of tickets is full: 429.
    TooManyTickets,

    /// The request is for a host that is not [allowed](crate::AuthLayer::hosts): 421.
    UnknownHost,

    /// No session with the given id is open: 404.
    UnknownSession,

    /// The `Authorization` header uses a scheme that is not accepted: 401.
    UnsupportedScheme,

    /// The request asks for a version of the WebSocket protocol other than 13: 426.
    UnsupportedVersion,

    /// The verifier panicked: 500.
    VerifierFailed,

    /// The verifier is unavailable, or did not answer in time: 503.
    VerifierUnavailable,
}

impl RefusalKind {
    /// Returns the name that logs, metrics and problem bodies use.
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// Returns the status that applies unless the profile sets another.
    pub const fn default_status(self) -> StatusCode {
        self.row().1
    }

    /// Returns the error code of RFC 6750 §3.1, if that defines one for this kind.
    pub const fn error_code(self) -> Option<&'static str> {
        match self {
            Self::ExpiredCredential | Self::InvalidCredential => Some("invalid_token"),
            Self::InsufficientScope | Self::ForbiddenCredential => Some("insufficient_scope"),
            Self::ConflictingCredentials | Self::MalformedCredential => Some("invalid_request"),
            _ => None,
        }
    }

    /// Returns whether the verifier refused the credential.
    #[cfg(feature = "cookie")]
    pub(crate) const fn is_of_the_credential(self) -> bool {
        matches!(
            self,
            Self::ExpiredCredential | Self::ForbiddenCredential | Self::InvalidCredential
        )
    }

    /// Returns the reason of the close frame, if a close code can express this kind. A malformed
    /// handshake and a foreign origin are answered over HTTP only.
    pub(crate) const fn close_reason(self) -> Option<CloseReason> {
        match self {
            Self::ConflictingCredentials
            | Self::InvalidCredential
            | Self::MalformedCredential
            | Self::MissingCredential
            | Self::UnsupportedScheme => Some(CloseReason::Invalid),
            Self::ExpiredCredential => Some(CloseReason::Expired),
            Self::ForbiddenCredential => Some(CloseReason::Forbidden),
            Self::ServerFull
            | Self::TooManySessions
            | Self::VerifierFailed
            | Self::VerifierUnavailable => Some(CloseReason::Unavailable),
            _ => None,
        }
    }

    /// Returns the sentence for the client that applies unless the refusal has its own.
    pub(super) const fn default_detail(self) -> &'static str {
        self.row().2
    }

    /// Returns whether the client can expect success after a while.
    pub(super) const fn is_temporary(self) -> bool {
        matches!(
            self,
            Self::ServerFull
                | Self::StoreUnavailable
                | Self::TooManySessions
                | Self::TooManyTickets
                | Self::VerifierUnavailable
        )
    }

    /// Returns name, status and default sentence.
    #[rustfmt::skip] // a table, a line for each kind
    const fn row(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;

        /// Unknown, expired and revoked credentials get the same sentence, so that a client cannot
        /// tell them apart.
        const NOT_ACCEPTED: &str = "The credential is not accepted.";

        match self {
            Self::ConflictingCredentials => ("conflicting-credentials", S::BAD_REQUEST, "Send one credential, not two."),
            Self::ExpiredCredential => ("expired-credential", S::UNAUTHORIZED, NOT_ACCEPTED),
            Self::ForbiddenCredential => ("forbidden-credential", S::FORBIDDEN, "The credential is not valid for this."),
            Self::ForeignOrigin => ("foreign-origin", S::FORBIDDEN, "This credential is accepted only from an allowed origin."),
            Self::InsufficientScope => ("insufficient-scope", S::FORBIDDEN, "The identity lacks a scope for this."),
            Self::InvalidCredential => ("invalid-credential", S::UNAUTHORIZED, NOT_ACCEPTED),
            Self::MalformedCredential => ("malformed-credential", S::BAD_REQUEST, "The credential is malformed."),
            Self::MalformedHandshake => ("malformed-handshake", S::BAD_REQUEST, "The handshake is malformed."),
            Self::MalformedRequest => ("malformed-request", S::BAD_REQUEST, "The request is malformed."),
            Self::MissingCredential => ("missing-credential", S::UNAUTHORIZED, "This needs a credential."),
            Self::MissingProtocol => ("missing-protocol", S::BAD_REQUEST, "Offer another subprotocol next to the token: only that one can be echoed."),
            Self::NotLater => ("not-later", S::CONFLICT, "The new credential does not expire later than the present one."),
            Self::ServerFull => ("server-full", S::SERVICE_UNAVAILABLE, "The server accepts no more sockets at the moment."),
            Self::StoreUnavailable => ("store-unavailable", S::SERVICE_UNAVAILABLE, "No ticket can be minted at the moment."),
            Self::TooLarge => ("too-large", S::REQUEST_HEADER_FIELDS_TOO_LARGE, "A header exceeds its limit."),
            Self::TooManySessions => ("too-many-sessions", S::TOO_MANY_REQUESTS, "Close a socket before you open another one."),
            Self::TooManyTickets => ("too-many-tickets", S::TOO_MANY_REQUESTS, "There are too many unused tickets."),
            Self::UnknownHost => ("unknown-host", S::MISDIRECTED_REQUEST, "This server does not serve that host."),
            Self::UnknownSession => ("unknown-session", S::NOT_FOUND, "No session with this id is open."),
            Self::UnsupportedScheme => ("unsupported-scheme", S::UNAUTHORIZED, "The scheme of the Authorization header is not accepted."),
            Self::UnsupportedVersion => ("unsupported-version", S::UPGRADE_REQUIRED, "The WebSocket version must be 13."),
            Self::VerifierFailed => ("verifier-failed", S::INTERNAL_SERVER_ERROR, "The credential was not checked."),
            Self::VerifierUnavailable => ("verifier-unavailable", S::SERVICE_UNAVAILABLE, "The credential cannot be checked at the moment."),
        }
    }
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
