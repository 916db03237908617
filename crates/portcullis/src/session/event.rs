use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use portcullis_core::Identity;

use super::entry::Entry;
use super::{RenewError, SessionId};
use crate::close::CloseCause;

/// What is known of one session.
#[non_exhaustive]
#[derive(Debug)]
pub struct SessionInfo {
    /// Its name.
    pub id: SessionId,

    /// Who it is, and by which carrier it came.
    pub identity: Identity,

    /// When it was admitted.
    pub since: SystemTime,

    /// When it ends unless it is renewed.
    pub deadline: SystemTime,

    /// The client's address, if the server knows it: from axum's
    /// `into_make_service_with_connect_info::<SocketAddr>()`, or from a [`SocketAddr`] that the
    /// server has put into the request's extensions. Behind a proxy it is the proxy's.
    pub peer: Option<SocketAddr>,
}

impl Entry {
    pub(super) fn info(&self) -> SessionInfo {
        SessionInfo {
            id: self.id,
            identity: self.identity(),
            since: self.since,
            deadline: SystemTime::UNIX_EPOCH + Duration::from_millis(self.deadline()),
            peer: self.peer.as_deref().copied(),
        }
    }
}

impl Clone for SessionInfo {
    fn clone(&self) -> Self {
        Self {
            identity: self.identity.clone(),
            ..*self
        }
    }
}

/// Something that happened to a session.
///
/// Every session that was [`Opened`](Self::Opened) is [`Closed`](Self::Closed) once.
/// One that is ended in the very moment in which its socket comes may be told of as closed first.
///
/// ```
/// use portcullis::{session::SessionEvent, Sessions};
///
/// fn record(event: &SessionEvent) {
///     let Some(session) = event.session() else { return };
///     let why = match event {
///         SessionEvent::Closed { cause, .. } => cause.as_str(),
///         SessionEvent::RenewalRefused { why, .. } => why.as_str(),
///         _ => "",
///     };
///     tracing::info!(id = %session.id, subject = session.identity.subject(), why, "{}", event.as_str());
/// }
///
/// let sessions = Sessions::builder().observe(record).build();
/// ```
#[non_exhaustive]
#[derive(Debug)]
pub enum SessionEvent {
    /// Its socket is open.
    Opened(SessionInfo),

    /// It has a new credential.
    Renewed(SessionInfo),

    /// A credential was brought that does not renew it.
    RenewalRefused {
        /// The session, as it was before.
        session: SessionInfo,
        /// What is wrong with the credential.
        why: RenewError,
    },

    /// Its end is near; see [`SessionsBuilder::warn_before`](super::SessionsBuilder::warn_before).
    Expiring(SessionInfo),

    /// Its socket is gone.
    Closed {
        /// The session, as it was at last.
        session: SessionInfo,
        /// Why it ended.
        cause: CloseCause,
        /// How long it was open.
        lasted: Duration,
    },

    /// The reader of the events was too slow for this many. Only
    /// [`Sessions::events`](super::Sessions::events) says this.
    Missed(u64),
}

impl SessionEvent {
    /// The name that logs, metrics and audit records use.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Opened(_) => "opened",
            Self::Renewed(_) => "renewed",
            Self::RenewalRefused { .. } => "renewal-refused",
            Self::Expiring(_) => "expiring",
            Self::Closed { .. } => "closed",
            Self::Missed(_) => "missed",
        }
    }

    /// The session that it happened to; `None` for [`Missed`](Self::Missed) events.
    pub const fn session(&self) -> Option<&SessionInfo> {
        match self {
            Self::Opened(session)
            | Self::Renewed(session)
            | Self::RenewalRefused { session, .. }
            | Self::Expiring(session)
            | Self::Closed { session, .. } => Some(session),
            Self::Missed(_) => None,
        }
    }
}

impl Clone for SessionEvent {
    fn clone(&self) -> Self {
        match self {
            Self::Opened(session) => Self::Opened(session.clone()),
            Self::Renewed(session) => Self::Renewed(session.clone()),
            Self::RenewalRefused { session, why } => Self::RenewalRefused {
                session: session.clone(),
                why: *why,
            },
            Self::Expiring(session) => Self::Expiring(session.clone()),
            Self::Closed {
                session,
                cause,
                lasted,
            } => Self::Closed {
                session: session.clone(),
                cause: cause.clone(),
                lasted: *lasted,
            },
            Self::Missed(count) => Self::Missed(*count),
        }
    }
}
