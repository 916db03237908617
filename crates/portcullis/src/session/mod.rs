//! Sessions: admitted sockets, which close when their credential expires or is revoked.
//!
//! A [`Session`] is one admitted socket. It ends at the earliest of three times: the expiry of its
//! credential, the end that the verifier set for the connection, and the maximum lifetime. A renewal
//! with a later credential of the same subject moves the deadline. A revocation ends the session
//! early. [`Sessions`] is the handle to all sessions of a set of layers.
//!
//! ```text
//!              guard            deadline · revocation · silence · close · shutdown
//!  Opening ───────────▶ Open ─────────────────────────────────────────────▶ Closing ──▶ Closed
//!     │                 │  ▲                                                   ▲
//!     │                 └──┘ renewal                                           │
//!     └────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A session is closed at once if its client disconnects, its handler drops the socket, or its
//! socket never opens. [`Changes`] reports changes of one session to its handler, and
//! [`SessionEvent`] reports those of all sessions to the operator.
//! [`CloseCause`](crate::close::CloseCause) says why a session has ended.
//!
//! The session owns the socket, and the handler holds a handle to it. At the end of a session the
//! socket is taken away from the handler: reads return `None`, writes fail, and the client gets a
//! close frame with the cause. The connection is dropped after three seconds if the client does not
//! answer. So a socket closes in time whatever the client and the handler do.
//!
//! A plain `WebSocketUpgrade` behind an [`AuthLayer`](crate::AuthLayer) is admitted, but not closed
//! later.

mod builder;
mod event;

mod guarded;
pub(crate) mod handle;
mod id;
mod registry;
pub(crate) mod sessions;
mod slot;
mod sync;
mod tasks;
#[cfg(test)]
mod tests;

pub use portcullis_core::{Revocation, Revoked};

pub use self::builder::{LagPolicy, SessionsBuilder};
pub use self::event::{Change, Changes, SessionEvent, SessionInfo};

pub use self::guarded::{Frames, Guarded, GuardedError, Sign};
pub(crate) use self::handle::{ReVerify, Session, SessionContext};
pub use self::handle::{RenewError, SessionRejection};
pub use self::id::{ParseSessionIdError, SessionId};
pub use self::registry::MemoryRevocations;
pub(crate) use self::registry::Revocations;
pub use self::sessions::RevokeError;
pub(crate) use self::sessions::Sessions;
