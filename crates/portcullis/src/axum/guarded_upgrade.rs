use std::fmt;

use axum::extract::FromRequestParts;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{DefaultOnFailedUpgrade, OnFailedUpgrade, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use headers::HeaderMapExt;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use portcullis_core::{Identity, MissingAuthLayer};

use super::GuardedSocket;
use crate::carrier::SecWebSocketProtocol;

/// Opens the socket of an admitted request. It stands where axum's `WebSocketUpgrade` stood.
///
/// ```
/// use axum::response::Response;
/// use portcullis::GuardedUpgrade;
///
/// async fn ws(upgrade: GuardedUpgrade) -> Response {
///     upgrade.protocols(["chat.v2", "chat.v1"]).on_upgrade(async move |mut socket| {
///         let greeting = format!("Hello, {}!", socket.identity().subject());
///         let _ = socket.send(greeting.into()).await;
///     })
/// }
/// ```
///
/// It differs from axum's in three ways:
///
/// * Its buffers are small. With axum's defaults an idle socket holds 130 KiB, with these under
///   6 KiB. See [`read_buffer_size`](Self::read_buffer_size).
/// * A message is at most 1 MiB, not 64.
/// * [`protocols`](Self::protocols) follows the order of the client, which is that of its
///   preference (RFC 6455 §4.1); axum's loses it.
///
/// The route must be behind an [`AuthLayer`](crate::AuthLayer) whose claims are `C`. Without one
/// the answer is a 500 that says so.
#[must_use = "nothing is opened before `on_upgrade`"]
pub struct GuardedUpgrade<C = (), F = DefaultOnFailedUpgrade> {
    upgrade: WebSocketUpgrade<F>,
    identity: Identity<C>,
    offered: SecWebSocketProtocol,
}

impl<C, F> GuardedUpgrade<C, F> {
    /// Who opens the socket.
    pub fn identity(&self) -> &Identity<C> {
        &self.identity
    }

    /// The subprotocols that the client offers, in its order, without the one that bore a token.
    pub fn requested_protocols(&self) -> &SecWebSocketProtocol {
        &self.offered
    }

    /// The subprotocols that the application speaks. The first one *of the client's list* that is
    /// among them is selected.
    ///
    /// If none is, the response names none, but for the profile's marker; a browser then fails the
    /// connection. Look at [`selected_protocol`](Self::selected_protocol) to refuse instead.
    pub fn protocols<I>(mut self, supported: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let supported: Vec<_> = supported.into_iter().collect();
        let is_supported = |entry: &[u8]| {
            supported
                .iter()
                .any(|ours| ours.as_ref().as_bytes() == entry)
        };
        // What came in a header is fit for one.
        let selected = self.offered.iter().find(|entry| is_supported(entry));
        if let Some(Ok(selected)) = selected.map(HeaderValue::from_bytes) {
            self.upgrade.set_selected_protocol(selected);
        }
        self
    }

    /// The subprotocol that is selected so far.
    pub fn selected_protocol(&self) -> Option<&HeaderValue> {
        self.upgrade.selected_protocol()
    }

    /// Selects a subprotocol. One that the client did not offer is not echoed.
    pub fn set_selected_protocol(&mut self, protocol: HeaderValue) {
        self.upgrade.set_selected_protocol(protocol);
    }

    /// The size of the read buffer, in bytes; 4096 by default. It is held for as long as the socket
    /// is open. A larger one reads large messages with fewer system calls.
    pub fn read_buffer_size(self, size: usize) -> Self {
        self.configure(|upgrade| upgrade.read_buffer_size(size))
    }

    /// How much is gathered before it is written, in bytes; 0 by default: every message at once.
    pub fn write_buffer_size(self, size: usize) -> Self {
        self.configure(|upgrade| upgrade.write_buffer_size(size))
    }

    /// How much may wait to be written to a client that does not read, in bytes; 4 MiB by default.
    /// Sending more is an error.
    pub fn max_write_buffer_size(self, max: usize) -> Self {
        self.configure(|upgrade| upgrade.max_write_buffer_size(max))
    }

    /// The largest message, in bytes; 1 MiB by default.
    pub fn max_message_size(self, max: usize) -> Self {
        self.configure(|upgrade| upgrade.max_message_size(max))
    }

    /// The largest frame of a message, in bytes; 1 MiB by default.
    pub fn max_frame_size(self, max: usize) -> Self {
        self.configure(|upgrade| upgrade.max_frame_size(max))
    }

    /// Accepts frames that are not masked, which RFC 6455 §5.1 forbids a client to send.
    pub fn accept_unmasked_frames(self, accept: bool) -> Self {
        self.configure(|upgrade| upgrade.accept_unmasked_frames(accept))
    }

    /// Calls `callback` if the connection fails before it has become a socket. By default nobody
    /// hears of it.
    pub fn on_failed_upgrade<G: OnFailedUpgrade>(self, callback: G) -> GuardedUpgrade<C, G> {
        let Self {
            upgrade,
            identity,
            offered,
        } = self;
        GuardedUpgrade {
            upgrade: upgrade.on_failed_upgrade(callback),
            identity,
            offered,
        }
    }

    /// Opens the socket and runs `handler` with it, in a task of its own.
    ///
    /// The response has to reach the client: it is what opens the socket.
    #[must_use = "to open the socket, return the response"]
    pub fn on_upgrade<H, Fut>(self, handler: H) -> Response
    where
        H: FnOnce(GuardedSocket<C>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
        C: Send + Sync + 'static,
        F: OnFailedUpgrade,
    {
        let Self {
            upgrade,
            identity,
            offered: _,
        } = self;
        upgrade.on_upgrade(|socket| handler(GuardedSocket::new(socket, identity)))
    }

    fn configure(self, change: impl FnOnce(WebSocketUpgrade<F>) -> WebSocketUpgrade<F>) -> Self {
        Self {
            upgrade: change(self.upgrade),
            ..self
        }
    }
}

impl<S, C> FromRequestParts<S> for GuardedUpgrade<C>
where
    S: Send + Sync,
    C: Send + Sync + 'static,
{
    type Rejection = GuardedUpgradeRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let identity = Identity::from_request_parts(parts, state)
            .await
            .map_err(GuardedUpgradeRejection::MissingAuthLayer)?;
        let offered = parts.headers.typed_get().unwrap_or_default();
        let upgrade = WebSocketUpgrade::from_request_parts(parts, state)
            .await
            .map_err(GuardedUpgradeRejection::WebSocket)?
            .read_buffer_size(4 * 1024)
            .write_buffer_size(0)
            .max_write_buffer_size(4 * 1024 * 1024)
            .max_message_size(1024 * 1024)
            .max_frame_size(1024 * 1024);
        Ok(Self {
            upgrade,
            identity,
            offered,
        })
    }
}

/// Prints no list of subprotocols: axum's own does, tokens included.
impl<C, F> fmt::Debug for GuardedUpgrade<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedUpgrade")
            .field("identity", &self.identity)
            .field("offered", &self.offered)
            .finish_non_exhaustive()
    }
}

/// Why a [`GuardedUpgrade`] cannot be extracted.
#[non_exhaustive]
#[derive(Debug)]
pub enum GuardedUpgradeRejection {
    /// No layer has admitted the request.
    MissingAuthLayer(MissingAuthLayer),

    /// The request is no handshake, in the eyes of axum.
    WebSocket(WebSocketUpgradeRejection),
}

impl GuardedUpgradeRejection {
    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::MissingAuthLayer(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::WebSocket(rejection) => rejection.status(),
        }
    }

    /// The text of the response.
    pub fn body_text(&self) -> String {
        self.to_string()
    }
}

impl IntoResponse for GuardedUpgradeRejection {
    fn into_response(self) -> Response {
        match self {
            Self::MissingAuthLayer(rejection) => rejection.into_response(),
            Self::WebSocket(rejection) => rejection.into_response(),
        }
    }
}

impl fmt::Display for GuardedUpgradeRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingAuthLayer(rejection) => rejection.fmt(f),
            Self::WebSocket(rejection) => rejection.fmt(f),
        }
    }
}

impl std::error::Error for GuardedUpgradeRejection {}
