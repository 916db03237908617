use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use portcullis_core::{Credential, Identity, Revocation};
use tokio::sync::broadcast;

use super::builder::SessionsBuilder;
use super::registry::NotRegistered;
use super::revocations::Revocations;
use super::shared::Shared;
#[cfg(feature = "axum")]
use super::shutdown::Unidentified;
use super::{
    RenewError, RevokeError, Session, SessionContext, SessionEvent, SessionId, SessionInfo,
};
use crate::close::{CloseCause, CloseFrame};

/// All sessions that share a fate: the handle to count, list, revoke and close them.
///
/// Give it to the [`AuthLayer`](crate::AuthLayer) whose sockets it shall hold, and keep a clone.
///
/// ```
/// use std::time::Duration;
/// use portcullis::{session::Revocation, AuthLayer, Sessions, StaticTokens};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let sessions = Sessions::builder().max_lifetime(Duration::from_secs(8 * 3600)).build();
/// let auth = AuthLayer::new(StaticTokens::new([("alice", "s3cret")])?).sessions(&sessions);
///
/// // Later, when Alice logs out:
/// let closed = sessions.revoke(Revocation::subject(None, "alice")).await?;
/// assert_eq!(closed, 0);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// A clone is the same handle. It needs a tokio runtime: one task keeps the deadlines of all
/// sessions, however many there are. What is not `async` may be called outside of it, too.
pub struct Sessions {
    pub(super) shared: Arc<Shared>,
}

impl Sessions {
    /// Starts with the defaults: a day at most, no leeway, no warning.
    pub fn builder() -> SessionsBuilder {
        SessionsBuilder::new()
    }

    pub(super) fn new(builder: SessionsBuilder) -> Self {
        let SessionsBuilder {
            settings,
            limits,
            store,
        } = builder;
        let shared = Arc::new(Shared::new(settings, limits, store));
        if shared.store.is_some() {
            shared.keep();
        }
        Self { shared }
    }

    /// How many there are: from the admission until the socket is gone.
    pub fn len(&self) -> usize {
        self.shared.registry.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every session there is, in no order.
    pub fn list(&self) -> Vec<SessionInfo> {
        let all = self.shared.registry.all();
        all.iter().map(|entry| entry.info()).collect()
    }

    /// Returns every session of one subject of one issuer, in no order. Pass `None` for identities
    /// without an issuer.
    pub fn list_of<'a>(
        &self,
        issuer: impl Into<Option<&'a str>>,
        subject: &str,
    ) -> Vec<SessionInfo> {
        let issuer = issuer.into();
        let all = self.shared.registry.all();
        let of_subject = all.iter().filter(|entry| {
            entry.with_identity(|identity| {
                identity.subject() == subject && identity.issuer() == issuer
            })
        });
        of_subject.map(|entry| entry.info()).collect()
    }

    /// The session of this id, as long as it is open.
    pub fn find(&self, id: SessionId) -> Option<SessionInfo> {
        self.shared.registry.find(id).map(|entry| entry.info())
    }

    /// Takes back credentials. Sessions that were opened with them close here before this returns
    /// and on every other machine that shares the store; admission refuses them from now on,
    /// whatever is cached.
    ///
    /// The number of sessions that it closes on this machine. They have their close frame on the
    /// way; [`len`](Self::len) counts them until their sockets are gone, a few seconds at most.
    ///
    /// # Errors
    ///
    /// If the store does not acknowledge it. On this machine it is in force all the same; call it
    /// again until the others have it, too.
    pub async fn revoke(&self, revocation: Revocation) -> Result<usize, RevokeError> {
        self.shared.revoke(revocation).await
    }

    /// Closes one session of this machine with a frame of the application's own. `false` if there
    /// is none of this id.
    pub fn close(&self, id: SessionId, frame: CloseFrame) -> bool {
        match self.shared.registry.find(id) {
            Some(entry) => self.shared.end([entry], &CloseCause::Application(frame)) == 1,
            None => false,
        }
    }

    /// Brings a new credential for a session of this machine, which the verifier of its layer is
    /// asked about. How long the session has from now.
    ///
    /// # Errors
    ///
    /// If it does not renew the session; see [`RenewError`].
    pub async fn renew(
        &self,
        id: SessionId,
        credential: Credential,
    ) -> Result<Duration, RenewError> {
        let entry = self.shared.registry.find(id).ok_or(RenewError::Ended)?;
        self.shared.renew(&entry, credential).await.1
    }

    /// The same with an identity that was proven by a request of its own. Its credential is not
    /// known here, so the verifier is not [asked again](SessionsBuilder::recheck_every) about it;
    /// `renewal_handler` keeps it.
    ///
    /// # Errors
    ///
    /// If it does not renew the session; see [`RenewError`].
    pub fn renew_with(&self, id: SessionId, identity: Identity) -> Result<Duration, RenewError> {
        self.renew_by(id, identity, None)
    }

    /// The same with the credential that it rests on, for those who ask the verifier again.
    pub(crate) fn renew_by(
        &self,
        id: SessionId,
        identity: Identity,
        credential: Option<Credential>,
    ) -> Result<Duration, RenewError> {
        let entry = self.shared.registry.find(id).ok_or(RenewError::Ended)?;
        self.shared.adopt(&entry, identity, credential)
    }

    /// What happens from now on. A reader that falls more than 1,024 events behind is told how many
    /// it has [missed](SessionEvent::Missed);
    /// [`observe`](SessionsBuilder::observe) misses none.
    pub fn events(&self) -> impl Stream<Item = SessionEvent> + Send + use<> {
        let receiver = self.shared.events.subscribe();
        futures_util::stream::unfold(receiver, async |mut receiver| {
            let event = match receiver.recv().await {
                Ok(event) => event,
                Err(broadcast::error::RecvError::Lagged(count)) => SessionEvent::Missed(count),
                Err(broadcast::error::RecvError::Closed) => return None,
            };
            Some((event, receiver))
        })
    }

    /// Lets nobody in any more and closes every session with 1001, and every socket whose client
    /// has not said who it is. Returns when the last one is gone, or after `limit`; how many are
    /// left then.
    ///
    /// It waits for three seconds for clients that do not answer the close, so a limit of five is
    /// a good one.
    pub async fn shutdown(&self, limit: Duration) -> usize {
        self.shared.shutdown(limit).await
    }

    /// Waits until the store of revocations has told everything for the first time, for a server
    /// that does not want to let anybody in before. At once without a store.
    pub async fn synchronized(&self) {
        if let Some(store) = &self.shared.store {
            store.synchronized().await;
        }
    }

    /// Registers an admitted request.
    pub(crate) fn admit(
        &self,
        context: &Arc<SessionContext>,
        identity: Identity,
        credential: Option<Credential>,
        peer: Option<SocketAddr>,
    ) -> Result<Session, NotRegistered> {
        self.shared.keep();
        let entry = self.shared.admit(context, identity, credential, peer)?;
        Ok(Session::admitted(entry))
    }

    /// Whether sessions ask the verifier again, and so need the credential.
    pub(crate) fn needs_credential(&self) -> bool {
        self.shared.settings.recheck.is_some()
    }

    pub(crate) fn revocations(&self) -> Arc<Revocations> {
        Arc::clone(&self.shared.registry.revocations)
    }

    /// Waits until nobody is let in any more.
    #[cfg(feature = "axum")]
    pub(crate) async fn is_shut(&self) {
        self.shared.is_shut().await;
    }

    /// Counts a socket whose client has yet to say who it is, until the guard is dropped.
    #[cfg(feature = "axum")]
    pub(crate) fn unidentified(&self) -> Unidentified {
        self.shared.unidentified()
    }
}

impl Clone for Sessions {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self::builder().build()
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("len", &self.shared.registry.len())
            .finish_non_exhaustive()
    }
}
