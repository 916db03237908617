//! The sixth step: adds the identity to the request, with the data that opens a socket.

use std::fmt;
#[cfg(feature = "dialects")]
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

use http::{Extensions, Request};
#[cfg(feature = "dialects")]
use hyper::upgrade::OnUpgrade;
use portcullis_core::{Credential, Handshake, Identity, IdentityRejection};

#[cfg(feature = "dialects")]
use crate::dialect::{Dialect, PendingPermit, PendingRefused, PendingSockets};
use crate::peer::peer_of;
use crate::refusal::AdmittedAnonymously;
#[cfg(feature = "dialects")]
use crate::refusal::{Refusal, RefusalKind};
use crate::session::{Session, SessionContext, SessionRejection};

/// Adds a [`SocketGrant`] to admitted requests.
#[derive(Debug)]
pub(super) struct Grants {
    /// The grant that requests share, unless they need one with more data.
    shared: Arc<SocketGrant>,
    /// Whether sessions verify the credential again.
    keeps_credential: bool,
    #[cfg(feature = "dialects")]
    pending: Arc<PendingSockets>,
}

/// The data that opens the socket of an admitted upgrade. It is stored in the identity or, for a
/// pending socket, in the extensions of the request.
#[derive(Clone)]
pub(crate) struct SocketGrant {
    pub(crate) context: Arc<SessionContext>,
    /// The number of sessions that were opened, minus the number of responses that opened a socket.
    opened: Arc<AtomicIsize>,
    #[cfg(feature = "dialects")]
    pub(crate) dialect: Option<Arc<dyn Dialect>>,
    /// The handshake, if the verifier asks to see it with credentials of messages.
    #[cfg(feature = "dialects")]
    pub(crate) handshake: Option<Arc<Handshake>>,
    /// The permit of a pending socket.
    #[cfg(feature = "dialects")]
    pub(crate) pending: Option<PendingPermit>,
    /// The upgrade of a pending socket. It is not in the request, so that only `GuardedUpgrade` can
    /// open the socket.
    #[cfg(feature = "dialects")]
    pub(crate) on_upgrade: Option<OnUpgrade>,
    /// The address of the client of a pending socket.
    #[cfg(feature = "dialects")]
    peer: Option<SocketAddr>,
}

/// The credential of an admitted request, if sessions verify it again.
///
/// It is not a part of the identity, because the handler can pass that on.
#[derive(Clone)]
pub(crate) struct Presented {
    credential: Credential,
}

impl Presented {
    /// Returns the credential that proved `identity`.
    pub(crate) fn proving(extensions: &Extensions, identity: &Identity) -> Option<Credential> {
        let Self { credential } = extensions.get()?;
        let carrier = identity.proof()?.carrier;
        (credential.carrier() == carrier).then(|| credential.clone())
    }
}

impl Grants {
    pub(super) fn new(
        context: Arc<SessionContext>,
        #[cfg(feature = "dialects")] dialect: Option<Arc<dyn Dialect>>,
        #[cfg(feature = "dialects")] pending: Arc<PendingSockets>,
    ) -> Self {
        Self {
            keeps_credential: context.sessions.needs_credential(),
            shared: Arc::new(SocketGrant {
                context,
                opened: Arc::default(),
                #[cfg(feature = "dialects")]
                dialect,
                #[cfg(feature = "dialects")]
                handshake: None,
                #[cfg(feature = "dialects")]
                pending: None,
                #[cfg(feature = "dialects")]
                on_upgrade: None,
                #[cfg(feature = "dialects")]
                peer: None,
            }),
            #[cfg(feature = "dialects")]
            pending,
        }
    }

    /// Adds the identity to the request and, for an upgrade, the data that opens its socket.
    ///
    /// Both are one value, because each value in the extensions costs an allocation.
    pub(super) fn grant<B>(
        &self,
        request: &mut Request<B>,
        identity: Identity,
        credential: &Credential,
        upgrade: bool,
        handshake: Option<Arc<Handshake>>,
    ) {
        let extensions = request.extensions_mut();
        if self.keeps_credential {
            let credential = credential.clone();
            extensions.insert(Presented { credential });
        }
        extensions.insert(match upgrade {
            true => identity.with_socket_grant(self.socket_grant(handshake)),
            false => identity,
        });
    }

    /// Marks the request as admitted without an identity.
    pub(super) fn grant_anonymously<B>(&self, request: &mut Request<B>) {
        request.extensions_mut().insert(AdmittedAnonymously);
    }

    /// Adds the data that opens a pending socket to an upgrade without a credential, if the dialect
    /// of the route admits such upgrades.
    #[cfg(feature = "dialects")]
    pub(super) fn grant_pending<B>(
        &self,
        request: &mut Request<B>,
        handshake: Option<Arc<Handshake>>,
    ) -> Result<Option<PendingPermit>, Refusal> {
        if !self.admits_pending() {
            return Ok(None);
        }
        let peer = peer_of(request.extensions());
        let permit = self.pending.acquire(peer.map(|peer| peer.ip()));
        let permit = permit.map_err(|error| {
            Refusal::new(match error {
                PendingRefused::Total => RefusalKind::ServerFull,
                PendingRefused::Address => RefusalKind::TooManySessions,
            })
        })?;
        let grant = SocketGrant {
            pending: Some(permit.clone()),
            on_upgrade: request.extensions_mut().remove(),
            peer,
            ..SocketGrant::clone(&self.socket_grant(handshake))
        };
        request.extensions_mut().insert(grant);
        Ok(Some(permit))
    }

    /// Returns whether upgrades without a credential are admitted as pending.
    #[cfg(feature = "dialects")]
    pub(super) fn admits_pending(&self) -> bool {
        let dialect = self.shared.dialect.as_ref();
        dialect.is_some_and(|dialect| dialect.admits_pending())
    }

    /// Records a response that opens a socket. Returns whether a socket was opened without a
    /// session.
    ///
    /// A handler opens the session before it responds, so more responses than sessions mean that a
    /// socket has no session. A session that never gets a socket can hide this, which is rare.
    pub(super) fn is_unguarded(&self) -> bool {
        self.shared.opened.fetch_sub(1, Ordering::Relaxed) <= 0
    }

    #[inline]
    fn socket_grant(&self, handshake: Option<Arc<Handshake>>) -> Arc<SocketGrant> {
        #[cfg(feature = "dialects")]
        if handshake.is_some() && self.shared.dialect.is_some() {
            return Arc::new(SocketGrant {
                handshake,
                ..SocketGrant::clone(&self.shared)
            });
        }
        #[cfg(not(feature = "dialects"))]
        drop(handshake);
        Arc::clone(&self.shared)
    }
}

impl SocketGrant {
    /// Returns the grant of a request, if it is an admitted upgrade. A pending upgrade is put back
    /// into the request.
    #[cfg(feature = "axum")]
    pub(crate) fn of(extensions: &mut Extensions) -> Option<Arc<Self>> {
        #[cfg(feature = "dialects")]
        if let Some(mut grant) = extensions.get::<Self>().cloned() {
            if let Some(on_upgrade) = grant.on_upgrade.take() {
                extensions.insert(on_upgrade);
            }
            return Some(Arc::new(grant));
        }
        extensions.get::<Identity>()?.socket_grant()
    }

    /// Opens the session of a pending socket, with the credential from a message.
    #[cfg(feature = "dialects")]
    pub(crate) fn open_with(
        &self,
        identity: Identity,
        credential: Credential,
    ) -> Result<Session, Refusal> {
        let kept = self.context.sessions.needs_credential();
        let credential = kept.then_some(credential);
        Session::admit(&self.context, identity, credential, self.peer)
    }
}

impl Session {
    /// Opens the session of an admitted upgrade, from the request's extensions.
    ///
    /// Use it with WebSocket crates and frameworks that portcullis has no extractor for. With axum,
    /// take `Session` as an argument of the handler. Further calls for the same request return the
    /// same session.
    ///
    /// ```
    /// use http::{Request, Response};
    /// use hyper::body::Incoming;
    /// use portcullis::{session::SessionRejection, Session};
    ///
    /// /// A service of hyper inside of an `AuthLayer`.
    /// async fn ws(mut request: Request<Incoming>) -> http::Result<Response<String>> {
    ///     let session: Session = match Session::open(request.extensions_mut()) {
    ///         Ok(session) => session,
    ///         Err(SessionRejection::Refused(refusal)) => {
    ///             return Response::builder().status(refusal.status()).body(refusal.detail().to_owned());
    ///         }
    ///         Err(error) => return Response::builder().status(500).body(error.to_string()),
    ///     };
    ///     let socket = hyper::upgrade::on(&mut request);
    ///     // … answer the handshake, wait for the socket in a task, and guard it with the session.
    /// #   drop((session, socket));
    ///     Response::builder().status(101).body(String::new())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if no layer has admitted the request as an upgrade, if a middleware has
    /// replaced its identity by an unrelated one, or if there are too many sessions.
    pub fn open(extensions: &mut Extensions) -> Result<Self, SessionRejection> {
        if let Some(session) = extensions.get::<Self>() {
            return Ok(session.clone());
        }
        let missing = || SessionRejection::Identity(IdentityRejection);
        let mut identity: Identity = extensions.get().cloned().ok_or_else(missing)?;
        let grant: Arc<SocketGrant> = identity
            .take_socket_grant()
            .ok_or(SessionRejection::NotAnUpgrade)?;
        let credential = match grant.context.sessions.needs_credential() {
            true => Presented::proving(extensions, &identity),
            false => None,
        };
        let peer = peer_of(extensions);
        let session = Session::admit(&grant.context, identity, credential, peer);
        let session = session.map_err(SessionRejection::Refused)?;
        grant.opened.fetch_add(1, Ordering::Relaxed);
        extensions.insert(session.clone());
        Ok(session)
    }
}

/// Prints no credential.
impl fmt::Debug for SocketGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketGrant")
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}
