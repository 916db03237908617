//! Extractors and sockets for axum; the only place that names it.

mod guarded_socket;
mod guarded_upgrade;

use axum::extract::OriginalUri;
use http::Extensions;

pub use self::guarded_socket::GuardedSocket;
pub use self::guarded_upgrade::{GuardedUpgrade, GuardedUpgradeRejection};
use crate::carrier::remove_parameter;

/// Takes a query parameter out of the copy of the address that axum's router keeps.
///
/// A layer inside of a router runs after the copy was made.
pub(crate) fn strip_original_uri(extensions: &mut Extensions, parameter: &str) {
    if let Some(OriginalUri(uri)) = extensions.get_mut::<OriginalUri>() {
        if let Some(stripped) = remove_parameter(uri, parameter) {
            *uri = stripped;
        }
    }
}
