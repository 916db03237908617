use std::net::SocketAddr;

use http::Extensions;

/// The address of the client, if the server has put it into the request.
pub(crate) fn peer_of(extensions: &Extensions) -> Option<SocketAddr> {
    #[cfg(feature = "axum")]
    return crate::ws::peer_of(extensions);
    #[cfg(not(feature = "axum"))]
    return extensions.get::<SocketAddr>().copied();
}
