//! The handle to one session, and the data of its layer that a session keeps.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use futures_sink::Sink;
use futures_util::future::BoxFuture;
use portcullis_core::{Credential, Identity, IdentityRejection, VerifyError};

use super::guarded::{Frames, Guarded};
use super::registry::{Entry, OpenError, RegisterError};
use super::slot::{SessionStream, Slot};
use super::tasks::closing;
use super::{Change, Changes, SessionEvent, SessionId, SessionInfo, Sessions};
use crate::close::{CloseCause, CloseCodes, CloseFrame};
use crate::refusal::{Refusal, RefusalKind};

/// One admitted socket, from its upgrade to its close.
///
/// [`GuardedSocket`](crate::GuardedSocket) contains one. For a socket of another WebSocket crate,
/// extract the session from the request, and [`guard`](Self::guard) the socket with it.
///
/// Clones refer to the same session. Use one in a task that does not have the socket:
///
/// ```
/// use axum::response::Response;
/// use portcullis::GuardedUpgrade;
///
/// async fn ws(upgrade: GuardedUpgrade) -> Response {
///     upgrade.on_upgrade(async move |mut socket| {
///         let session = socket.session();
///         tokio::spawn(async move {
///             let cause = session.closed().await;
///             tracing::info!(id = %session.id(), %cause, "closed");
///         });
///         while let Some(Ok(message)) = socket.recv().await {
///             let _ = socket.send(message).await;
///         }
///     })
/// }
/// ```
#[derive(Clone)]
pub struct Session {
    entry: Arc<Entry>,
    /// Set until the socket opens.
    #[expect(dead_code, reason = "releases the session when it is dropped")]
    unopened: Option<Unopened>,
}

/// Releases a session whose socket never opens, when the last clone is dropped.
struct Unopened {
    entry: Arc<Entry>,
}

impl Session {
    /// Registers an admitted request. If all clones are dropped before a socket opens, the session
    /// is released.
    pub(crate) fn admit(
        context: &Arc<SessionContext>,
        identity: Identity,
        credential: Option<Credential>,
        peer: Option<SocketAddr>,
    ) -> Result<Self, Refusal> {
        let admitted = context.sessions.admit(context, identity, credential, peer);
        let entry = admitted.map_err(|error| Refusal::new(error.into()))?;
        let unopened = Some(Unopened::new(&entry));
        Ok(Self { entry, unopened })
    }

    /// Creates a handle to a session that has a socket.
    pub(super) fn of(entry: Arc<Entry>) -> Self {
        Self {
            entry,
            unopened: None,
        }
    }

    /// Returns the id of the session.
    pub fn id(&self) -> SessionId {
        self.entry.id
    }

    /// Returns the identity of the client, as of the last renewal.
    pub fn identity(&self) -> Identity {
        self.entry.identity()
    }

    /// Returns the same information as [`Sessions::list`].
    pub fn info(&self) -> SessionInfo {
        self.entry.info()
    }

    /// Returns the time until the deadline, by the clock of the [`Sessions`].
    pub fn expires_in(&self) -> Duration {
        self.entry.time_left()
    }

    /// Returns why the session has ended; `None` if it is open.
    pub fn ended(&self) -> Option<CloseCause> {
        self.entry.state().cause().cloned()
    }

    /// Waits until the session ends, without reading from the socket.
    pub async fn closed(&self) -> CloseCause {
        let mut changes = self.changes();
        loop {
            match changes.next().await {
                Some(Change::Ended(cause)) => return cause,
                Some(_) => {}
                // Not reached: the stream ends after `Ended`.
                None => return CloseCause::Handler,
            }
        }
    }

    /// Returns a stream of the changes from now on: renewals, the warning and the end. A warning or
    /// an end that is in effect already comes first.
    pub fn changes(&self) -> Changes {
        Changes::new(Arc::clone(&self.entry))
    }

    /// Closes the socket with this frame, and ends the session.
    pub fn close(&self, frame: CloseFrame) {
        let cause = CloseCause::Application(frame);
        closing::end([Arc::clone(&self.entry)], &cause);
    }

    /// Verifies a credential with the verifier of the layer, and renews the session with it.
    /// Returns the time until the new deadline.
    ///
    /// # Errors
    ///
    /// Returns an error if the credential does not renew the session; see [`RenewError`].
    pub async fn renew(&self, credential: Credential) -> Result<Duration, RenewError> {
        self.verify_and_renew(credential).await.1
    }

    /// Renews the session, and also returns the identity of a valid credential that does not renew
    /// it.
    pub(crate) async fn verify_and_renew(
        &self,
        credential: Credential,
    ) -> (Option<Identity>, Result<Duration, RenewError>) {
        let sessions = self.entry.sessions();
        sessions.verify_and_renew(&self.entry, credential).await
    }

    /// Guards a socket of any WebSocket crate with this session.
    ///
    /// `close` converts a close frame to a message of that crate. When the session ends, the socket
    /// is taken away from the handler: the close frame is sent, the client has three seconds to
    /// answer it, and the connection is dropped.
    ///
    /// If the session has already ended, reads return `None`, writes fail, and the client gets a
    /// close frame. A session has only one socket: a second socket is dropped, and the first one
    /// stays open.
    ///
    /// ```
    /// # use portcullis::{session::Guarded, Session};
    /// # use tokio_tungstenite::{WebSocketStream, tungstenite::{Message, protocol::CloseFrame}};
    /// # fn guard<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static>(
    /// #     session: Session, socket: WebSocketStream<S>
    /// # ) -> Guarded<WebSocketStream<S>, Message> {
    /// session.guard(socket, |frame| {
    ///     let reason = frame.reason().to_owned().into();
    ///     Message::Close(Some(CloseFrame { code: frame.code().into(), reason }))
    /// })
    /// # }
    /// ```
    pub fn guard<S, M>(self, socket: S, close: fn(CloseFrame) -> M) -> Guarded<S, M>
    where
        S: Stream + Sink<M> + Send + Unpin + 'static,
        S::Item: Send,
        M: Send + 'static,
    {
        self.guard_with(socket, Frames::new(close))
    }

    /// Reads once from the socket of the session, unless its handler has read before.
    pub(crate) fn read_first(&self) {
        if let Some(stream) = self.entry.stream() {
            stream.read_first();
        }
    }

    /// Guards a socket like [`guard`](Self::guard), with [pings](Frames::pings).
    pub fn guard_with<S, M>(self, socket: S, frames: Frames<S, M>) -> Guarded<S, M>
    where
        S: Stream + Sink<M> + Send + Unpin + 'static,
        S::Item: Send,
        M: Send + 'static,
    {
        let guarded = self.guard_unread(socket, frames);
        guarded.session().read_first();
        guarded
    }

    /// Guards a socket like [`guard_with`](Self::guard_with), and leaves the first read to the
    /// handler. The caller has to call [`read_first`](Self::read_first) after the handler had the
    /// opportunity.
    pub(crate) fn guard_unread<S, M>(self, socket: S, frames: Frames<S, M>) -> Guarded<S, M>
    where
        S: Stream + Sink<M> + Send + Unpin + 'static,
        S::Item: Send,
        M: Send + 'static,
    {
        let slot = Arc::new(Slot::new(socket, frames));
        let entry = Arc::clone(&self.entry);
        let sessions = entry.sessions();
        let opened = entry.open(Arc::clone(&slot) as Arc<dyn SessionStream>, || {
            let events = &sessions.inner.events;
            events.report(|| SessionEvent::Opened(entry.info()));
        });
        match &opened {
            // Sessions are warned only while they are open.
            Ok(()) if !sessions.inner.settings.warning.is_zero() => sessions.schedule(&entry),
            Ok(()) => {}
            Err(OpenError::Ended(cause)) => closing::close_late(&entry, &*slot, cause),
            Err(OpenError::AlreadyOpened) => drop(slot.take()),
        }
        let owns_session = opened.is_ok();
        Guarded::new(slot, entry, owns_session)
    }
}

impl Unopened {
    fn new(entry: &Arc<Entry>) -> Self {
        entry.add_unopened();
        Self {
            entry: Arc::clone(entry),
        }
    }
}

impl Clone for Unopened {
    fn clone(&self) -> Self {
        Self::new(&self.entry)
    }
}

impl Drop for Unopened {
    fn drop(&mut self) {
        if self.entry.remove_unopened() && self.entry.close_unopened() {
            self.entry.sessions().inner.registry.release(&self.entry);
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.entry).finish()
    }
}

/// The part of a layer that its sessions need for as long as they are open.
pub(crate) struct SessionContext {
    pub(crate) sessions: Sessions,
    pub(crate) codes: CloseCodes,
    pub(crate) verifier: Arc<dyn ReVerify>,
}

/// The verifier of a layer, without its type. It has a time limit and compares the identity with
/// the revocations, as admission does.
pub(crate) trait ReVerify: Send + Sync {
    /// Verifies a credential of an open or pending socket.
    fn verify<'a>(
        &'a self,
        credential: &'a Credential,
    ) -> BoxFuture<'a, Result<Identity, VerifyError>>;
}

impl fmt::Debug for SessionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionContext")
            .field("codes", &self.codes)
            .finish_non_exhaustive()
    }
}

/// Why a session is not renewed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RenewError {
    /// There is no open session with this id.
    Ended,

    /// The new credential does not expire later than the present one. The session does not change.
    NotLater,

    /// The new credential is for another audience. The session does not change.
    OtherAudience,

    /// The new credential belongs to another subject, or to the same subject of another issuer. The
    /// session is closed, because another user controls the client.
    OtherSubject,

    /// The new credential is revoked. The session does not change.
    Revoked,

    /// The verifier did not accept the new credential. The session does not change.
    Unverified(VerifyError),
}

impl RenewError {
    /// Returns the name that logs, metrics and audit records use. That of
    /// [`Unverified`](Self::Unverified) is the one of [`VerifyError::as_str`].
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

impl fmt::Display for RenewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ended => "no session of this id is open",
            Self::NotLater => "the new credential does not end later than the present one",
            Self::OtherAudience => "the new credential is meant for another audience",
            Self::OtherSubject => "the new credential belongs to another subject",
            Self::Revoked => "the new credential is revoked",
            Self::Unverified(error) => return error.fmt(f),
        })
    }
}

impl std::error::Error for RenewError {}

/// Why a request has no session.
#[non_exhaustive]
#[derive(Debug)]
pub enum SessionRejection {
    /// No layer has admitted the request with an identity.
    Identity(IdentityRejection),

    /// The request has an identity, but a layer has not admitted it as an upgrade: the request is
    /// not an upgrade, or a middleware has replaced the identity by an unrelated one.
    NotAnUpgrade,

    /// A limit is reached, or the credential was revoked after admission.
    Refused(Refusal),
}

impl fmt::Display for SessionRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(missing) => missing.fmt(f),
            Self::NotAnUpgrade => f.write_str(
                "the request was not admitted as an upgrade: use `Session` only in handlers that \
                 open a socket, and start from `identity.to_builder()` in a middleware that \
                 changes the identity",
            ),
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl std::error::Error for SessionRejection {}

impl From<RegisterError> for RefusalKind {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Full | RegisterError::ShutDown => Self::ServerFull,
            RegisterError::Revoked => Self::InvalidCredential,
            RegisterError::SubjectFull => Self::TooManySessions,
        }
    }
}
