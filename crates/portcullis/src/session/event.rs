use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use portcullis_core::Identity;

use super::{CloseCause, RenewError, SessionId};

/// What is known of one session.
#[non_exhaustive]
#[derive(Debug)]
pub struct SessionInfo<C = ()> {
    /// Its name.
    pub id: SessionId,

    /// Who it is, and by which carrier it came.
    pub identity: Identity<C>,

    /// When it was admitted.
    pub since: SystemTime,

    /// When it ends unless it is renewed.
    pub deadline: SystemTime,

    /// The client's address, if the server knows it.
    pub peer: Option<SocketAddr>,
}

impl<C> Clone for SessionInfo<C> {
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
#[non_exhaustive]
#[derive(Debug)]
pub enum SessionEvent<C = ()> {
    /// Its socket is open.
    Opened(SessionInfo<C>),

    /// It has a new credential.
    Renewed(SessionInfo<C>),

    /// A credential was brought that does not renew it.
    RenewalRefused {
        /// The session, as it was before.
        session: SessionInfo<C>,
        /// What is wrong with the credential.
        why: RenewError,
    },

    /// Its end is near; see [`SessionsBuilder::warn_before`](super::SessionsBuilder::warn_before).
    Expiring(SessionInfo<C>),

    /// Its socket is gone.
    Closed {
        /// The session, as it was at last.
        session: SessionInfo<C>,
        /// Why it ended.
        cause: CloseCause,
        /// How long it was open.
        lasted: Duration,
    },

    /// The reader of the events was too slow for this many. Only
    /// [`Sessions::events`](super::Sessions::events) says this.
    Missed(u64),
}

impl<C> Clone for SessionEvent<C> {
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
