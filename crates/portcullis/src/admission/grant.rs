use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use http::Extensions;
use hyper::upgrade::OnUpgrade;
use portcullis_core::{Credential, Handshake, Identity, IdentityRejection};

use crate::dialect::{Dialect, PendingPermit};
use crate::peer::peer_of;
use crate::refusal::Refusal;
use crate::session::{Session, SessionContext, SessionRejection};

/// What the layer hands to whoever opens the socket: with the identity, or in the request's
/// extensions while the socket is pending.
pub(crate) struct SocketGrant {
    pub(crate) context: Arc<SessionContext>,
    /// The client's address, kept for a socket that is pending.
    pub(crate) peer: Option<SocketAddr>,
    /// The request, if the verifier wants to see it beside a credential that comes later.
    pub(crate) handshake: Option<Arc<Handshake>>,
    /// The dialect of the route.
    pub(crate) dialect: Option<Arc<dyn Dialect>>,
    /// The place of a socket whose client has not said who it is.
    pub(crate) pending: Option<PendingPermit>,
    /// What opens such a socket. It is not in the request, where anybody else would find it.
    pub(crate) on_upgrade: Option<OnUpgrade>,
    /// Whether a socket for which there is no room is opened and closed with a code.
    pub(crate) in_band: bool,
}

/// The credentials of a request that opens or renews a session, if the sessions ask the verifier
/// again. Not in the grant: that goes wherever the handler takes the identity.
#[derive(Clone)]
pub(crate) struct Presented {
    pub(crate) credentials: Arc<[Credential]>,
}

impl Presented {
    /// The one that `identity` rests on, of the credentials of a request.
    pub(crate) fn proving(extensions: &Extensions, identity: &Identity) -> Option<Credential> {
        let Self { credentials } = extensions.get()?;
        let carrier = identity.proof()?.carrier;
        let mut credentials = credentials.iter();
        credentials
            .find(|credential| credential.carrier() == carrier)
            .cloned()
    }
}

impl SocketGrant {
    /// What holds for every socket of a layer.
    pub(crate) fn new(
        context: SessionContext,
        dialect: Option<Arc<dyn Dialect>>,
        in_band: bool,
    ) -> Self {
        Self {
            context: Arc::new(context),
            peer: None,
            handshake: None,
            dialect,
            pending: None,
            on_upgrade: None,
            in_band,
        }
    }

    /// What a request was granted, if it is an upgrade.
    #[cfg(feature = "axum")]
    pub(crate) fn of(extensions: &Extensions) -> Option<Self> {
        let of_identity = || {
            let mut identity: Identity = extensions.get().cloned()?;
            identity.take_socket_grant::<Self>().as_deref().cloned()
        };
        extensions.get().cloned().or_else(of_identity)
    }

    /// Opens the session of an identity that came by a message.
    pub(crate) fn open_with(
        &self,
        identity: Identity,
        credential: Credential,
    ) -> Result<Session, Refusal> {
        let kept = self.context.sessions.needs_credential();
        self.admit(identity, kept.then_some(credential), self.peer)
    }

    fn admit(
        &self,
        identity: Identity,
        credential: Option<Credential>,
        peer: Option<SocketAddr>,
    ) -> Result<Session, Refusal> {
        Session::admit(&self.context, identity, credential, peer)
    }
}

impl Session {
    /// The session of an admitted upgrade, from the request's extensions: for WebSocket crates and
    /// frameworks that have no extractor of ours. The first call registers it, the next ones find
    /// it.
    ///
    /// With axum, take `Session` as an argument of the handler.
    ///
    /// ```
    /// use http::{Request, Response};
    /// use hyper::body::Incoming;
    /// use portcullis::{session::SessionRejection, Session};
    ///
    /// /// A service of hyper behind an `AuthLayer`.
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
    /// If no layer has admitted the request, if its identity is not what the layer has put there
    /// nor made of that, or if there is no room for another session.
    pub fn open(extensions: &mut Extensions) -> Result<Self, SessionRejection> {
        if let Some(session) = extensions.get::<Self>() {
            return Ok(session.clone());
        }
        let missing = || SessionRejection::Identity(IdentityRejection);
        let mut identity: Identity = extensions.get().cloned().ok_or_else(missing)?;
        let grant: Arc<SocketGrant> = identity.take_socket_grant().ok_or_else(missing)?;
        let credential = Presented::proving(extensions, &identity);
        let session = grant.admit(identity, credential, peer_of(extensions));
        let session = session.map_err(SessionRejection::Refused)?;
        extensions.insert(session.clone());
        Ok(session)
    }
}

impl Clone for SocketGrant {
    fn clone(&self) -> Self {
        Self {
            context: Arc::clone(&self.context),
            peer: self.peer,
            handshake: self.handshake.clone(),
            dialect: self.dialect.clone(),
            pending: self.pending.clone(),
            on_upgrade: self.on_upgrade.clone(),
            in_band: self.in_band,
        }
    }
}

/// Prints no credential.
impl fmt::Debug for SocketGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketGrant")
            .field("peer", &self.peer)
            .field("pending", &self.pending.is_some())
            .finish_non_exhaustive()
    }
}
