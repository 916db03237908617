//! What holds for a socket for as long as it is open.
//!
//! A [`Session`] is one admitted socket. It lives until the earliest of three times: the end of its
//! credential, what the verifier said about the connection, and the maximum lifetime. It may be
//! renewed with a later credential of the same subject, and it ends early when the credential is
//! taken back. [`Sessions`] is the handle to all of them.
//!
//! ```text
//!              guard            deadline · revocation · silence · close · shutdown
//!  Opening ───────────▶ Open ─────────────────────────────────────────────▶ Closing ──▶ Closed
//!     │                 │  ▲                                                   ▲
//!     │                 └──┘ renewal                                           │
//!     └────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A session whose client leaves, whose handler is done or whose socket never comes is closed at
//! once. Those who watch are told by [`Changes`] and [`SessionEvent`]; [`CloseCause`] says why.
//!
//! The registry owns the socket, and the handler holds a handle to it. At the end the socket is
//! taken out from under the handler: its reads end, its writes fail, the client gets a close frame
//! that says why, and the connection is dropped after three seconds if the client does not answer.
//! So a socket ends in time whatever the client does, and whatever the handler does.
//!
//! A plain `WebSocketUpgrade` behind an [`AuthLayer`](crate::AuthLayer) is admitted and not
//! guarded.

mod builder;
mod changes;
mod closing;
mod context;
mod entry;
mod event;
mod evict;
mod follow;
mod frames;
mod guarded;
pub(crate) mod handle;
mod id;
mod keeper;
mod lifetime;
mod memory;
mod pings;
mod recheck;
mod registry;
mod rejection;
mod renewal;
mod revocations;
mod revoke;
mod schedule;
pub(crate) mod sessions;
mod settings;
mod shared;
mod shutdown;
mod slot;
#[cfg(test)]
mod states;
mod sync;

pub use self::builder::SessionsBuilder;
pub use self::changes::{Change, Changes};

pub(crate) use self::context::{ReVerify, SessionContext};
pub use self::entry::RenewError;
pub use self::event::{SessionEvent, SessionInfo};
pub use self::frames::{Frames, Sign};
pub use self::guarded::{Guarded, GuardedError};
pub(crate) use self::handle::Session;
pub use self::id::{ParseSessionIdError, SessionId};
pub use self::memory::MemoryRevocations;
pub(crate) use self::registry::NotRegistered;
pub use self::rejection::SessionRejection;
pub(crate) use self::revocations::Revocations;
pub use self::revoke::RevokeError;
pub(crate) use self::sessions::Sessions;
pub use self::settings::LagPolicy;
pub use portcullis_core::{Revocation, Revoked};
