use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::Request;
use portcullis_core::{Credential, Identity, Verify, VerifyError};

use super::admission::{Candidate, Settings, handshake_of};
use super::{Presented, SocketGrant};
use crate::dialect::{PendingPermit, PendingRefused, PendingSockets};
use crate::peer::peer_of;
use crate::refusal::{Refusal, RefusalKind};
use crate::session::ReVerify;

/// Prepares what the opener of a socket needs.
pub(super) struct Granting {
    /// What holds for every socket of the layer.
    plain: Arc<SocketGrant>,
    pending: Arc<PendingSockets>,
    /// Sessions ask the verifier again.
    keeps_credentials: bool,
    /// The verifier wants to see the request, also beside a credential that comes later.
    keeps_handshake: bool,
}

/// What a request gets beside its identity.
pub(super) enum Granted {
    /// Nothing: it opens no socket.
    Nothing,

    /// A place for a socket whose client is to say who it is.
    Place(PendingPermit),

    /// What opens the socket of whom the verifier finds it to be of.
    Socket(Arc<SocketGrant>),
}

impl Granted {
    /// Puts `identity` into the request.
    ///
    /// One value and not two: each is an allocation, and the table of extensions grows.
    pub(super) fn admit<B>(self, request: &mut Request<B>, identity: Identity) {
        let identity = match self {
            Self::Socket(grant) => identity.with_socket_grant(grant),
            Self::Nothing | Self::Place(_) => identity,
        };
        request.extensions_mut().insert(identity);
    }
}

impl Granting {
    /// For a layer whose verifier `needs_handshake`: it wants to see the request beside a
    /// credential.
    pub(super) fn new(
        plain: SocketGrant,
        pending: Arc<PendingSockets>,
        needs_handshake: bool,
    ) -> Self {
        Self {
            keeps_credentials: plain.context.sessions.needs_credential(),
            keeps_handshake: needs_handshake && plain.dialect.is_some(),
            plain: Arc::new(plain),
            pending,
        }
    }

    /// What a candidate is granted. An upgrade of nobody gets a place among the pending ones, if
    /// the dialect of the route asks who it is; it is worth nothing else without an identity.
    pub(super) fn grant<B>(
        &self,
        request: &mut Request<B>,
        candidate: &Candidate,
        upgrade: bool,
    ) -> Result<Granted, Refusal> {
        if self.keeps_credentials {
            let credentials = candidate.credentials().cloned().collect();
            request.extensions_mut().insert(Presented { credentials });
        }
        if !upgrade {
            return Ok(Granted::Nothing);
        }
        if !candidate.is_anonymous() {
            return Ok(Granted::Socket(self.grant_of(request)));
        }
        let dialect = self.plain.dialect.as_ref();
        if !dialect.is_some_and(|dialect| dialect.admits_pending()) {
            return Ok(Granted::Nothing);
        }
        let peer = peer_of(request.extensions());
        let place = self.pending.acquire(peer.map(|peer| peer.ip()));
        let place = place.map_err(|why| Refusal::new(why.into()))?;
        let grant = SocketGrant {
            peer,
            pending: Some(place.clone()),
            on_upgrade: request.extensions_mut().remove(),
            ..SocketGrant::clone(&self.grant_of(request))
        };
        request.extensions_mut().insert(grant);
        Ok(Granted::Place(place))
    }

    /// The one of the layer, if nothing of the request is to be kept, as nearly always.
    fn grant_of<B>(&self, request: &Request<B>) -> Arc<SocketGrant> {
        match self.keeps_handshake {
            true => Arc::new(SocketGrant {
                handshake: Some(Arc::new(handshake_of(request, true))),
                ..SocketGrant::clone(&self.plain)
            }),
            false => Arc::clone(&self.plain),
        }
    }
}

impl From<PendingRefused> for RefusalKind {
    fn from(why: PendingRefused) -> Self {
        match why {
            PendingRefused::Total => Self::ServerFull,
            PendingRefused::Address => Self::TooManySessions,
        }
    }
}

/// The verifier of a layer, for those who ask after the admission.
pub(super) struct Asker<V> {
    pub(super) verifier: Arc<V>,
    pub(super) settings: Arc<Settings>,
}

impl<V: Verify> ReVerify for Asker<V> {
    fn verify<'a>(
        &'a self,
        credential: &'a Credential,
    ) -> BoxFuture<'a, Result<Identity, VerifyError>> {
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

impl fmt::Debug for Granting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Granting")
            .field("plain", &self.plain)
            .finish_non_exhaustive()
    }
}
