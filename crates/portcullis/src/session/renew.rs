use std::fmt;

use portcullis_core::VerifyError;

use super::entry::NotRenewed;

/// Why a session is not renewed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RenewError {
    /// There is no such session, or it is ending.
    Ended,

    /// The new credential does not end later than the present one. Nothing changes.
    NotLater,

    /// The new credential is meant for somebody else than the present one. Nothing changes.
    OtherAudience,

    /// The new credential is of another subject, or of the same of another issuer. The session is
    /// closed: whoever is at the other end is not who was let in.
    OtherSubject,

    /// The new credential was taken back. Nothing changes.
    Revoked,

    /// What the verifier says of the new credential. Nothing changes.
    Unverified(VerifyError),
}

impl RenewError {
    /// The name that logs, metrics and audit records use. Of an [`Unverified`](Self::Unverified) it
    /// is the verifier's; see [`VerifyError::as_str`].
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::NotLater => "not-later",
            Self::OtherAudience => "other-audience",
            Self::OtherSubject => "other-subject",
            Self::Revoked => "revoked",
            Self::Unverified(error) => error.as_str(),
        }
    }
}

impl From<NotRenewed> for RenewError {
    fn from(why: NotRenewed) -> Self {
        match why {
            NotRenewed::Ended => Self::Ended,
            NotRenewed::NotLater => Self::NotLater,
            NotRenewed::OtherAudience => Self::OtherAudience,
            NotRenewed::OtherSubject => Self::OtherSubject,
        }
    }
}

impl fmt::Display for RenewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ended => "no session of this id is open",
            Self::NotLater => "the new credential does not end later than the present one",
            Self::OtherAudience => "the new credential is meant for another audience",
            Self::OtherSubject => "the new credential is of another subject",
            Self::Revoked => "the new credential was taken back",
            Self::Unverified(error) => return error.fmt(f),
        })
    }
}

impl std::error::Error for RenewError {}
