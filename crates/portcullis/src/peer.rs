//! The address of the client.

use std::net::SocketAddr;

use http::Extensions;

/// Returns the address of the client, if the server has put it into the request: as
/// `into_make_service_with_connect_info` of axum does, or as a plain `SocketAddr`.
pub(crate) fn peer_of(extensions: &Extensions) -> Option<SocketAddr> {
    #[cfg(feature = "axum")]
    if let Some(info) = extensions.get::<axum::extract::ConnectInfo<SocketAddr>>() {
        return Some(info.0);
    }
    extensions.get().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_of_any_server_is_found() {
        let mut extensions = Extensions::new();
        assert_eq!(peer_of(&extensions), None);
        let other = SocketAddr::from(([192, 0, 2, 2], 2));
        extensions.insert(other);
        assert_eq!(peer_of(&extensions), Some(other));
        #[cfg(feature = "axum")]
        {
            let axum = SocketAddr::from(([192, 0, 2, 1], 1));
            extensions.insert(axum::extract::ConnectInfo(axum));
            assert_eq!(peer_of(&extensions), Some(axum));
        }
    }
}
