use portcullis_core::Credential;

use super::Entry;
use crate::session::sync::lock;

/// What is needed to ask a verifier again.
pub(crate) struct Recheck {
    pub(crate) credential: Credential,
    /// When to ask, in milliseconds since 1970.
    pub(crate) due: u64,
    /// Until when an answer may fail to come, in milliseconds since 1970.
    pub(crate) good_until: u64,
}

impl Entry {
    /// The credential to be asked about, if it is time. The next time is `again`.
    pub(crate) fn recheck_due(&self, now: u64, again: u64) -> Option<Credential> {
        let mut life = lock(&self.life);
        let recheck = life.recheck.as_deref_mut()?;
        if recheck.due > now {
            return None;
        }
        recheck.due = again;
        Some(recheck.credential.clone())
    }

    /// The verifier was asked about `credential`. `false` if it has been away for too long.
    pub(crate) fn recheck_answered(
        &self,
        credential: &Credential,
        now: u64,
        good_until: Option<u64>,
    ) -> bool {
        let mut life = lock(&self.life);
        match (life.recheck.as_deref_mut(), good_until) {
            // Renewed in the meantime: the answer is about another credential.
            (Some(recheck), _) if !recheck.credential.is_same_as(credential) => true,
            (Some(recheck), Some(good_until)) => {
                recheck.good_until = good_until;
                true
            }
            (Some(recheck), None) => now < recheck.good_until,
            (None, _) => true,
        }
    }
}
