use std::fmt;

use portcullis_core::IdentityRejection;

use super::NotRegistered;
use crate::refusal::{Refusal, RefusalKind};

/// Why a request has no session.
#[non_exhaustive]
#[derive(Debug)]
pub enum SessionRejection {
    /// No layer has admitted it as an upgrade of somebody.
    Identity(IdentityRejection),

    /// There is no room, or the credential was taken back in the meantime.
    Refused(Refusal),
}

impl fmt::Display for SessionRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(missing) => missing.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl std::error::Error for SessionRejection {}

impl From<NotRegistered> for RefusalKind {
    fn from(why: NotRegistered) -> Self {
        match why {
            NotRegistered::Full | NotRegistered::ShutDown => Self::ServerFull,
            NotRegistered::Revoked => Self::InvalidCredential,
            NotRegistered::SubjectFull => Self::TooManySessions,
        }
    }
}
