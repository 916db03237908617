use std::fmt;
use std::mem;

use portcullis_core::{Identity, VerifyError};

use super::{Entry, Recheck};
use crate::session::sync::lock;

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

impl Entry {
    /// Swaps the identity for a later one of the same subject, in one step.
    pub(crate) fn renew(
        &self,
        identity: Identity,
        recheck: Option<Box<Recheck>>,
        deadline: impl FnOnce(&Identity) -> u64,
    ) -> Result<u64, RenewError> {
        let mut life = lock(&self.life);
        if life.state.cause().is_some() {
            return Err(RenewError::Ended);
        }
        let present = &life.identity;
        if present.subject() != identity.subject() || present.issuer() != identity.issuer() {
            return Err(RenewError::OtherSubject);
        }
        if present.audience() != identity.audience() {
            return Err(RenewError::OtherAudience);
        }
        if !is_later(&identity, present) {
            return Err(RenewError::NotLater);
        }
        life.deadline = deadline(&identity);
        let deadline = life.deadline;
        // The last reference to the claims may go here, and their drop is not ours.
        let before = mem::replace(&mut life.identity, identity);
        let recheck_before = mem::replace(&mut life.recheck, recheck);
        life.warned = false;
        life.renewals = life.renewals.wrapping_add(1);
        let watchers = mem::take(&mut life.watchers);
        drop(life);
        drop(before);
        drop(recheck_before);
        watchers.wake();
        Ok(deadline)
    }
}

/// Whether a session that rests on `new` ends later than one that rests on `present`, or never.
fn is_later(new: &Identity, present: &Identity) -> bool {
    let end = |identity: &Identity| {
        let ends = [identity.expires_at(), identity.session_ends_at()];
        ends.into_iter().flatten().min()
    };
    match (end(present), end(new)) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(present), Some(new)) => new > present,
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    /// What ends first counts: the credential, or what its verifier said about the connection.
    #[test]
    fn which_identity_ends_later() {
        let at =
            |second: Option<u64>| second.map(|s| SystemTime::UNIX_EPOCH + Duration::from_secs(s));
        let identity = |(expiry, told): (Option<u64>, Option<u64>)| -> Identity {
            let builder = Identity::builder("alice").expires_at(at(expiry));
            builder.session_ends_at(at(told)).build()
        };
        let rows = [
            // (expiry, told) now, and of the new one
            ((Some(9), None), (Some(10), None), true),
            ((Some(9), None), (Some(9), None), false),
            ((Some(9), None), (Some(8), None), false),
            ((Some(9), None), (None, None), true),
            ((None, None), (None, None), true),
            ((None, None), (Some(9), None), false),
            ((None, Some(5)), (None, Some(6)), true),
            ((None, Some(5)), (None, Some(5)), false),
            ((Some(9), Some(5)), (Some(9), Some(6)), true),
            ((Some(9), Some(5)), (Some(9), None), true),
            ((Some(9), Some(9)), (Some(9), Some(12)), false),
            ((Some(9), Some(5)), (Some(12), Some(5)), false),
        ];
        for (present, new, later) in rows {
            let is = is_later(&identity(new), &identity(present));
            assert_eq!(is, later, "{present:?} {new:?}");
        }
    }
}
