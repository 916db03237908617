//! The axum side: extractors, sockets and handlers.
//!
//! [`GuardedUpgrade`](crate::GuardedUpgrade) opens the socket of an admitted request, and
//! [`GuardedSocket`](crate::GuardedSocket) is that socket. [`renewal_handler`] and [`mint_handler`]
//! are handlers for routes of their own.

mod handlers;
mod pending;
pub(crate) mod socket;
pub(crate) mod upgrade;
mod wire;

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, OriginalUri};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{Extensions, HeaderValue, Uri};

pub use self::handlers::{mint_handler, renewal_handler};
pub use self::upgrade::{GuardedUpgradeRejection, RefusedInBand};
use crate::carrier::remove_parameter;
use crate::refusal::{Refusal, problem};
use crate::session::{Session, SessionRejection};

/// Extracts the session of an admitted upgrade, for a handler that opens the socket with another
/// crate.
///
/// [`GuardedUpgrade`](crate::GuardedUpgrade) opens its session automatically.
impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionRejection> {
        Self::open(&mut parts.extensions)
    }
}

impl IntoResponse for SessionRejection {
    fn into_response(self) -> Response {
        match self {
            Self::Identity(missing) => missing.into_response(),
            Self::Refused(refusal) => refused(&refusal),
        }
    }
}

/// The client's address, as `into_make_service_with_connect_info` tells it, or a server of another
/// kind.
pub(crate) fn peer_of(extensions: &Extensions) -> Option<SocketAddr> {
    let told = extensions.get::<ConnectInfo<SocketAddr>>();
    told.map(|ConnectInfo(peer)| peer)
        .or_else(|| extensions.get())
        .copied()
}

/// The response to a request that was admitted, and for which there is no room.
fn refused(refusal: &Refusal) -> Response {
    tracing::event!(
        name: "refused",
        target: "portcullis",
        tracing::Level::DEBUG,
        kind = refusal.kind().as_str(),
        status = refusal.status().as_u16(),
        "{refusal}"
    );
    let mut response = Response::new(Body::from(problem(refusal)));
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    let problem = HeaderValue::from_static("application/problem+json");
    headers.insert(CONTENT_TYPE, problem);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if let Some(delay) = refusal.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(delay.as_secs().max(1)));
    }
    response
}

/// Takes a query parameter out of the copy of the address that axum's router keeps.
///
/// A layer inside of a router runs after the copy was made. Unless the router is nested in another
/// the copy is what the address was `before`, and becomes what it is after.
pub(crate) fn strip_original_uri(
    extensions: &mut Extensions,
    before: &Uri,
    after: Uri,
    parameter: &str,
) {
    let Some(OriginalUri(original)) = extensions.get_mut::<OriginalUri>() else {
        return;
    };
    if original == before {
        *original = after;
    } else if let Some(stripped) = remove_parameter(original, parameter) {
        *original = stripped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_from_axum_or_from_another_server() {
        let axums = SocketAddr::from(([192, 0, 2, 1], 1));
        let others = SocketAddr::from(([192, 0, 2, 2], 2));
        let mut extensions = Extensions::new();
        assert_eq!(peer_of(&extensions), None);
        extensions.insert(others);
        assert_eq!(peer_of(&extensions), Some(others));
        extensions.insert(ConnectInfo(axums));
        assert_eq!(peer_of(&extensions), Some(axums));
    }
}
