//! Who may come in. The one file that knows how sockets are admitted.

use axum::Router;
use portcullis_core::Identity;

use crate::options::Options;

/// The WebSocket types that the rest of the server uses.
pub(crate) mod ws {
    pub(crate) use axum::extract::ws::rejection::WebSocketUpgradeRejection as Rejection;
    pub(crate) use axum::extract::ws::{
        CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code,
    };
}

/// Who asks, as handlers take it.
pub(crate) type Visitor = Option<axum::Extension<Identity>>;

/// Puts the guard in front of everything that `router` serves.
pub(crate) fn guard(router: Router, _options: &Options) -> Router {
    router
}
