use std::fmt;
use std::sync::Arc;

use http::Request;
use hyper::upgrade::OnUpgrade;
use portcullis_core::{Credential, Verify, VerifyError};

use super::admission::{Candidate, Settings, handshake_of, peer_of};
use crate::dialect::{Dialect, Pending, PendingPermit, PendingRefused};
use crate::refusal::{Refusal, RefusalKind};
use crate::session::{Answer, Ask, Grant, Policy, Presented};

/// Prepares what the opener of a socket needs.
pub(super) struct Granting<C> {
    pub(super) policy: Arc<Policy<C>>,
    pub(super) dialect: Option<Arc<dyn Dialect>>,
    pub(super) pending: Arc<Pending>,
    /// Whether the verifier wants to see the request beside a credential.
    pub(super) needs_handshake: bool,
    pub(super) in_band: bool,
}

impl<C: Send + Sync + 'static> Granting<C> {
    /// Puts the grant into the request. It is worth nothing without an identity beside it, or a
    /// dialect; then its socket has a place among the pending ones.
    pub(super) fn grant<B>(
        &self,
        request: &mut Request<B>,
        candidate: &Candidate,
    ) -> Result<Option<PendingPermit>, Refusal> {
        let peer = peer_of(request.extensions());
        let speaks = self.dialect.as_ref().is_some_and(|it| it.admits_pending());
        let pending = match speaks && candidate.is_anonymous() {
            true => {
                let place = self.pending.acquire(peer.map(|peer| peer.ip()));
                Some(place.map_err(|why| Refusal::new(why.into()))?)
            }
            false => None,
        };
        let credentials = match self.policy.sessions.needs_credential() {
            true => candidate.credentials().cloned().collect(),
            false => Arc::default(),
        };
        let later = self.needs_handshake && self.dialect.is_some();
        let handshake = later.then(|| Arc::new(handshake_of(request, true)));
        let on_upgrade = match &pending {
            Some(_) => request.extensions_mut().remove::<OnUpgrade>(),
            None => None,
        };
        request.extensions_mut().insert(Grant {
            policy: Arc::clone(&self.policy),
            peer,
            credentials,
            handshake,
            dialect: self.dialect.clone(),
            pending: pending.clone(),
            on_upgrade,
            in_band: self.in_band,
        });
        Ok(pending)
    }
}

impl<C: Send + Sync + 'static> Granting<C> {
    /// Keeps the credentials of a request that may renew a session, if sessions need them.
    pub(super) fn keep<B>(&self, request: &mut Request<B>, candidate: &Candidate) {
        if self.policy.sessions.needs_credential() {
            let credentials = candidate.credentials().cloned().collect();
            request.extensions_mut().insert(Presented { credentials });
        }
    }
}

impl From<PendingRefused> for RefusalKind {
    fn from(why: PendingRefused) -> Self {
        match why {
            PendingRefused::Full => Self::ServerFull,
            PendingRefused::PeerFull => Self::TooManySessions,
        }
    }
}

/// The verifier of a layer, for those who ask after the admission.
pub(super) struct Asker<V> {
    pub(super) verifier: Arc<V>,
    pub(super) settings: Arc<Settings>,
}

impl<V: Verify> Ask<V::Claims> for Asker<V> {
    fn ask<'a>(&'a self, credential: &'a Credential) -> Answer<'a, V::Claims> {
        Box::pin(async {
            let answer = self.settings.wait_for(&*self.verifier, credential).await;
            answer.map_err(|refusal| match refusal.kind() {
                RefusalKind::ExpiredCredential => VerifyError::Expired,
                RefusalKind::ForbiddenCredential => VerifyError::Forbidden,
                RefusalKind::VerifierUnavailable | RefusalKind::VerifierFailed => {
                    VerifyError::Unavailable {
                        retry_after: refusal.retry_after(),
                    }
                }
                _ => VerifyError::Invalid,
            })
        })
    }
}

impl<C> fmt::Debug for Granting<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Granting")
            .field("dialect", &self.dialect)
            .finish_non_exhaustive()
    }
}
