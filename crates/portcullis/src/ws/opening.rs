//! From an admitted request to the socket of the handler.

use axum::Error;
use axum::body::Body;
use axum::extract::ws::{OnFailedUpgrade, WebSocket};
use axum::response::Response;
use headers::{HeaderMapExt, SecWebsocketAccept, SecWebsocketKey};
use http::header::{CONNECTION, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::GuardedSocket;
use super::identify::{Identified, MOST_READ, identify};
use super::metered::{Metered, MeteredSocket};
use super::talk::Talk;
use super::wire::{Wire, frames};
use crate::admission::SocketGrant;
use crate::session::Session;

/// What the socket of a known client waits for, while axum opens it.
///
/// It is given no header of the request: each of them is a part of the buffer that hyper has read
/// the request into, and keeps all of it.
pub(super) struct Opening {
    session: Session,
    talk: Option<Talk>,
    protocol: Option<HeaderValue>,
}

impl Opening {
    pub(super) fn new(session: Session, grant: SocketGrant, protocol: Option<HeaderValue>) -> Self {
        let conversation = grant.dialect.as_ref().map(|dialect| dialect.begin(true));
        let talk = |conversation| Talk::new(&session, conversation, grant, None);
        Self {
            talk: conversation.map(talk),
            session,
            protocol,
        }
    }

    /// The handler gets a handle, and not the socket.
    pub(super) fn open(self, socket: WebSocket) -> GuardedSocket {
        let guarded = self.session.guard_with(Wire::Axum(socket), frames());
        GuardedSocket::new(guarded, self.protocol, self.talk)
    }
}

/// What opens a socket whose client has yet to say who it is. axum's would let it say as much as
/// the application allows to clients that are known.
pub(super) struct PendingOpening {
    on_upgrade: OnUpgrade,
    /// Over HTTP/2 there is none.
    key: Option<SecWebsocketKey>,
}

impl PendingOpening {
    /// Of a request that axum has found to be a handshake.
    pub(super) fn new(on_upgrade: OnUpgrade, parts: &Parts) -> Self {
        let http1 = parts.version <= Version::HTTP_11;
        Self {
            on_upgrade,
            key: http1.then(|| parts.headers.typed_get()).flatten(),
        }
    }

    /// The response that opens a socket: RFC 6455 §4.2.2, and RFC 8441 §5 over HTTP/2. With what
    /// becomes the connection, and no more of the request.
    pub(super) fn respond(self, protocol: Option<&HeaderValue>) -> (Response, OnUpgrade) {
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        if let Some(protocol) = protocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol.clone());
        }
        if let Some(key) = self.key {
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.typed_insert(SecWebsocketAccept::from(key));
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        }
        (response, self.on_upgrade)
    }
}

/// Waits for the connection, and for the identity. `None` if there is no socket, or none of
/// somebody.
pub(super) async fn open_pending<F>(
    on_upgrade: OnUpgrade,
    config: WebSocketConfig,
    mut grant: SocketGrant,
    protocol: Option<HeaderValue>,
    on_failed_upgrade: F,
) -> Option<GuardedSocket>
where
    F: OnFailedUpgrade,
{
    let upgraded = match on_upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            on_failed_upgrade.call(Error::new(error));
            return None;
        }
    };
    let stream = Metered::new(TokioIo::new(upgraded), MOST_READ);
    let mut socket = MeteredSocket::from_raw_socket(stream, Role::Server, Some(config)).await;
    let dialect = grant.dialect.clone()?;
    let mut conversation = dialect.begin(false);
    let identified = identify(&mut socket, &grant, &*dialect, &mut *conversation).await;
    let Identified { session, deliver } = identified?;
    grant.pending = None;
    socket.get_mut().lift();
    let talk = Talk::new(&session, conversation, grant, deliver);
    let guarded = session.guard_with(Wire::Metered(socket), frames());
    Some(GuardedSocket::new(guarded, protocol, Some(talk)))
}
