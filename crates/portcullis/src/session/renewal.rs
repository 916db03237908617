//! The way of a new credential to its session.

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{Credential, Identity};

use super::entry::Entry;
use super::lifetime::milliseconds;
use super::shared::Shared;
use super::{RenewError, SessionEvent};
use crate::close::CloseCause;

impl Shared {
    /// Asks whose a credential is, and renews a session with it. Whose it is is told also if it
    /// renews nothing.
    pub(super) async fn renew(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        credential: Credential,
    ) -> (Option<Identity>, Result<Duration, RenewError>) {
        match entry.context.verifier.verify(&credential).await {
            Ok(identity) => {
                let renewed = self.adopt(entry, identity.clone(), Some(credential));
                (Some(identity), renewed)
            }
            Err(error) => {
                let why = RenewError::Unverified(error);
                self.refuse(entry, why);
                (None, Err(why))
            }
        }
    }

    /// Renews a session with an identity that is proven. How long it has from now.
    pub(super) fn adopt(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        identity: Identity,
        credential: Option<Credential>,
    ) -> Result<Duration, RenewError> {
        let now = self.now();
        if self.registry.revocations.cover(&identity) {
            self.refuse(entry, RenewError::Revoked);
            return Err(RenewError::Revoked);
        }
        let recheck = self.settings.recheck_of(&identity, credential);
        let renewed = entry.renew(identity, recheck, |identity| {
            self.settings.deadline(identity, entry.since, now)
        });
        let deadline = match renewed {
            Ok(deadline) => deadline,
            Err(why) => {
                self.refuse(entry, why);
                if why == RenewError::OtherSubject {
                    self.end([Arc::clone(entry)], &CloseCause::OtherSubject);
                }
                return Err(why);
            }
        };
        // It may have been revoked since it was looked at; who revoked it has looked already.
        if entry.with_identity(|identity| self.registry.revocations.cover(identity)) {
            self.end([Arc::clone(entry)], &CloseCause::Revoked);
            return Err(RenewError::Revoked);
        }
        self.schedule(entry);
        self.tell(|| SessionEvent::Renewed(entry.info()));
        Ok(Duration::from_millis(
            deadline.saturating_sub(milliseconds(now)),
        ))
    }

    fn refuse(&self, entry: &Entry, why: RenewError) {
        self.tell(|| SessionEvent::RenewalRefused {
            session: entry.info(),
            why,
        });
    }
}
