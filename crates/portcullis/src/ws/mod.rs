//! The axum side: extractors, sockets and handlers.
//!
//! [`GuardedUpgrade`](crate::GuardedUpgrade) opens the socket of an admitted request, and
//! [`GuardedSocket`](crate::GuardedSocket) is that socket. [`renewal_handler`] and [`mint_handler`]
//! are handlers for routes of their own.

#[cfg(feature = "dialects")]
mod dialect_state;
mod handlers;
#[cfg(feature = "dialects")]
mod limited;
#[cfg(feature = "tickets")]
mod mint;
#[cfg(feature = "dialects")]
mod pending;
pub(crate) mod socket;
pub(crate) mod upgrade;
mod wire;

use axum::extract::FromRequestParts;
use axum::response::Response;
use http::request::Parts;

pub use self::handlers::renewal_handler;
#[cfg(feature = "tickets")]
pub use self::mint::mint_handler;
pub use self::upgrade::{GuardedUpgradeRejection, RefusedUpgrade};
use crate::refusal::{Problem, Refusal, Unanswered};
use crate::session::{Session, SessionRejection};

/// Extracts the session of an admitted upgrade, for a handler that opens the socket with another
/// crate.
///
/// [`GuardedUpgrade`](crate::GuardedUpgrade) opens its session automatically.
impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = GuardedUpgradeRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Self::open(&mut parts.extensions).map_err(|rejection| match rejection {
            SessionRejection::Identity(missing) => GuardedUpgradeRejection::Identity(missing),
            SessionRejection::Refused(refusal) => {
                GuardedUpgradeRejection::Refused(RefusedUpgrade::new(refusal, parts))
            }
        })
    }
}

/// Returns a refusal to the layer around the route, which answers it.
fn refuse(refusal: Refusal, request: Parts, upgrade: bool) -> Response {
    Unanswered::new(refusal, request).into_response(&Problem, upgrade)
}
