use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_core::{Revocation, Revoked, StoreError};

use super::SessionId;
use super::shared::Shared;
use crate::close::CloseCause;

/// The store did not acknowledge a revocation.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RevokeError {
    /// How many sessions it has closed on this machine, where it is in force all the same.
    pub closed: usize,

    /// What the store says.
    pub store: StoreError,
}

impl Shared {
    /// Takes back credentials, here and on every machine.
    pub(super) async fn revoke(
        self: &Arc<Self>,
        revocation: Revocation,
    ) -> Result<usize, RevokeError> {
        let now = self.now();
        let revocation = self.complete(revocation, now);
        let closed = self.apply(std::slice::from_ref(&revocation), now);
        if let Some(store) = &self.store {
            let told = store.revoke(&revocation).await;
            told.map_err(|store| RevokeError { closed, store })?;
        }
        Ok(closed)
    }

    /// A revocation that says nothing else is of what was issued until now, and has an end.
    fn complete(&self, revocation: Revocation, now: SystemTime) -> Revocation {
        let revocation = match (revocation.revoked(), revocation.covers_issued_before()) {
            (
                Revoked::Subject { .. } | Revoked::SubjectAtAnyIssuer(_) | Revoked::Everything,
                None,
            ) => revocation.issued_before(now),
            _ => revocation,
        };
        match revocation.ends_at() {
            Some(_) => revocation,
            None => {
                let end = now.checked_add(self.settings.max_credential_lifetime);
                revocation.until(end.unwrap_or(now + FAR))
            }
        }
    }

    /// Takes note of revocations and closes the sessions that they cover, in one pass.
    pub(super) fn apply(self: &Arc<Self>, revocations: &[Revocation], now: SystemTime) -> usize {
        for revocation in revocations {
            self.registry.revocations.add(revocation, now);
        }
        let named = revocations.iter().filter_map(|one| match one.revoked() {
            Revoked::Session(id) => id.parse::<SessionId>().ok(),
            _ => None,
        });
        let mut covered: Vec<_> = named.filter_map(|id| self.registry.find(id)).collect();
        let lasting = |one: &Revocation| !matches!(one.revoked(), Revoked::Session(_));
        if revocations.iter().any(lasting) {
            covered.extend(self.registry.all().into_iter().filter(|entry| {
                entry.with_identity(|identity| self.registry.revocations.cover(identity))
            }));
        }
        self.end(covered, &CloseCause::Revoked)
    }
}

impl fmt::Display for RevokeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "other machines may not know of the revocation: {}",
            self.store
        )
    }
}

impl std::error::Error for RevokeError {}

/// The end of a revocation whose end no clock can tell.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
