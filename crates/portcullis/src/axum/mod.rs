//! Extractors and sockets for axum; the only place that names it.

mod guarded_socket;
mod guarded_upgrade;

use axum::extract::OriginalUri;
use http::{Extensions, Uri};

pub use self::guarded_socket::GuardedSocket;
pub use self::guarded_upgrade::{GuardedUpgrade, GuardedUpgradeRejection};
use crate::carrier::remove_parameter;

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
