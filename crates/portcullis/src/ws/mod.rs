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
use http::Method;
use http::header::UPGRADE;
use http::request::Parts;
use portcullis_core::IdentityRejection;

pub use self::handlers::renewal_handler;
#[cfg(feature = "tickets")]
pub use self::mint::mint_handler;
pub use self::upgrade::{GuardedUpgradeRejection, RefusedUpgrade};
use crate::refusal::{Problem, Refusal, RefusalKind, Unanswered};
use crate::session::{Session, SessionRejection};

/// Extracts the session of an admitted upgrade, for a handler that opens the socket with another
/// crate.
///
/// [`GuardedUpgrade`](crate::GuardedUpgrade) opens its session automatically. A request that is not
/// an upgrade is refused with 400.
impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = GuardedUpgradeRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Self::open(&mut parts.extensions).map_err(|rejection| {
            let refusal = match rejection {
                SessionRejection::Identity(missing) => {
                    return GuardedUpgradeRejection::Identity(missing);
                }
                // A middleware has replaced the identity.
                SessionRejection::NotAnUpgrade if asks_for_upgrade(parts) => {
                    return GuardedUpgradeRejection::Identity(IdentityRejection);
                }
                SessionRejection::NotAnUpgrade => Refusal::new(RefusalKind::MalformedHandshake)
                    .with_detail("This route accepts WebSocket handshakes only.")
                    .with_reason(|| SessionRejection::NotAnUpgrade.to_string()),
                SessionRejection::Refused(refusal) => refusal,
            };
            GuardedUpgradeRejection::Refused(RefusedUpgrade::new(refusal, parts))
        })
    }
}

/// Returns whether an admitted request is an upgrade.
fn asks_for_upgrade(request: &Parts) -> bool {
    request.method == Method::CONNECT || request.headers.contains_key(UPGRADE)
}

/// Returns a refusal to the layer around the route, which answers it.
fn refuse(refusal: Refusal, request: Parts, upgrade: bool) -> Response {
    Unanswered::new(refusal, request).into_response(&Problem, upgrade)
}
