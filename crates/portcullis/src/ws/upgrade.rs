//! [`GuardedUpgrade`]: from an admitted request to the socket of the handler.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Error;
use axum::extract::FromRequestParts;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{OnFailedUpgrade, WebSocket, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use headers::HeaderMapExt;
use http::header::CONNECTION;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use pin_project_lite::pin_project;
use portcullis_core::{Identity, IdentityRejection};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

#[cfg(feature = "dialects")]
use super::dialect_state::DialectState;
#[cfg(feature = "dialects")]
use super::pending::PendingClient;
use super::socket::GuardedSocket;
#[cfg(feature = "dialects")]
use super::wire::Wire;
use super::wire::frames;
use crate::admission::SocketGrant;
use crate::carrier::SecWebSocketProtocol;
use crate::refusal::{Refusal, Unanswered};
use crate::session::{Session, SessionRejection};

/// Opens the socket of an admitted request. Use it instead of axum's `WebSocketUpgrade`.
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
/// It differs from axum's in four ways:
///
/// * The socket closes when the credential expires, and can be closed from elsewhere; see
///   [`session`](crate::session). Because it opens a session, it is refused with 429 or 503 when
///   there are [too many](crate::session::SessionsBuilder::max_sessions).
/// * Its buffers are small. An idle socket takes 130 KiB with axum's defaults, and about 6 KiB with
///   these. See [`read_buffer_size`](Self::read_buffer_size).
/// * A message may have at most 1 MiB, instead of 64 MiB.
/// * [`protocols`](Self::protocols) follows the client's order of preference (RFC 6455 §4.1), which
///   axum's method ignores.
///
/// # Rejections
///
/// See [`GuardedUpgradeRejection`](crate::ws::GuardedUpgradeRejection). Without an
/// [`AuthLayer`](crate::AuthLayer) around the route, the response is 500 and the log names the fix.
#[must_use = "call `on_upgrade` to open the socket"]
pub struct GuardedUpgrade<F = fn(Error)> {
    /// axum's upgrade, which opens the socket of an authenticated client.
    upgrade: WebSocketUpgrade,
    client: Client,
    config: WebSocketConfig,
    protocol: Option<HeaderValue>,
    offered: SecWebSocketProtocol,
    on_failed_upgrade: F,
}

enum Client {
    /// The client was authenticated in the handshake.
    Authenticated(AuthenticatedClient),

    /// The client has to authenticate in a message.
    #[cfg(feature = "dialects")]
    Pending(PendingClient),
}

struct AuthenticatedClient {
    session: Session,
    grant: Arc<SocketGrant>,
}

impl<F> GuardedUpgrade<F> {
    /// Returns the identity of the client; `None` if it has to authenticate in a message of the
    /// route's [dialect](crate::AuthLayer::dialect).
    pub fn identity(&self) -> Option<Identity> {
        self.session().map(Session::identity)
    }

    /// Returns the session of the socket; `None` if the client has to authenticate in a message.
    pub fn session(&self) -> Option<&Session> {
        match &self.client {
            Client::Authenticated(client) => Some(&client.session),
            #[cfg(feature = "dialects")]
            Client::Pending(_) => None,
        }
    }

    /// Returns the subprotocols that the client offers, in its order, without the entry that
    /// contained a token.
    pub fn requested_protocols(&self) -> &SecWebSocketProtocol {
        &self.offered
    }

    /// Sets the subprotocols that the application supports. The first one *of the client's list*
    /// that is among them is selected.
    ///
    /// If none of them is supported, the response selects no subprotocol, or the marker of the
    /// profile if the client offered it. A browser fails the connection if the response selects
    /// none of the subprotocols that it offered. To refuse instead, check
    /// [`selected_protocol`](Self::selected_protocol).
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
        let selected = self.offered.iter().find(|entry| is_supported(entry));
        // The conversion cannot fail: the entry came in a header.
        if let Some(Ok(selected)) = selected.map(HeaderValue::from_bytes) {
            self.protocol = Some(selected);
        }
        self
    }

    /// Returns the subprotocol that is selected so far.
    pub fn selected_protocol(&self) -> Option<&HeaderValue> {
        self.protocol.as_ref()
    }

    /// Selects a subprotocol. One that the client did not offer is not echoed.
    pub fn set_selected_protocol(&mut self, protocol: HeaderValue) {
        self.protocol = Some(protocol);
    }

    /// Sets the size of the read buffer in bytes; 4096 by default.
    ///
    /// The buffer exists as long as the socket is open. A larger one reads large messages with
    /// fewer system calls.
    pub fn read_buffer_size(mut self, size: usize) -> Self {
        self.config.read_buffer_size = size;
        self
    }

    /// Sets how many bytes are collected before they are written; 0 by default, which writes every
    /// message at once.
    pub fn write_buffer_size(mut self, size: usize) -> Self {
        self.config.write_buffer_size = size;
        self
    }

    /// Sets how many bytes may wait for a client that does not read; 4 MiB by default. Sending more
    /// is an error.
    pub fn max_write_buffer_size(mut self, max: usize) -> Self {
        self.config.max_write_buffer_size = max;
        self
    }

    /// Sets the maximum size of a message in bytes; 1 MiB by default.
    ///
    /// For messages in one frame, raise [`max_frame_size`](Self::max_frame_size), too.
    pub fn max_message_size(mut self, max: usize) -> Self {
        self.config.max_message_size = Some(max);
        self
    }

    /// Sets the maximum size of a frame in bytes; 1 MiB by default.
    pub fn max_frame_size(mut self, max: usize) -> Self {
        self.config.max_frame_size = Some(max);
        self
    }

    /// Accepts frames that are not masked, which RFC 6455 §5.1 forbids clients to send.
    pub fn accept_unmasked_frames(mut self, accept: bool) -> Self {
        self.config.accept_unmasked_frames = accept;
        self
    }

    /// Sets a callback for a connection that fails before it becomes a socket. By default such a
    /// failure is ignored.
    pub fn on_failed_upgrade<G: OnFailedUpgrade>(self, callback: G) -> GuardedUpgrade<G> {
        GuardedUpgrade {
            upgrade: self.upgrade,
            client: self.client,
            config: self.config,
            protocol: self.protocol,
            offered: self.offered,
            on_failed_upgrade: callback,
        }
    }

    /// Opens the socket, and runs `handler` with it in a new task.
    ///
    /// If the client has to authenticate in a message, `handler` runs after that. Return the
    /// response from the handler of the route: it opens the socket.
    #[must_use = "return the response to open the socket"]
    pub fn on_upgrade<H, Fut>(self, handler: H) -> Response
    where
        H: FnOnce(GuardedSocket) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
        F: OnFailedUpgrade,
    {
        match self.client {
            Client::Authenticated(client) => {
                let mut upgrade = configure(self.upgrade, &self.config);
                if let Some(protocol) = self.protocol {
                    upgrade.set_selected_protocol(protocol);
                }
                upgrade
                    .on_failed_upgrade(self.on_failed_upgrade)
                    .on_upgrade(move |socket| {
                        let socket = client.guard(socket);
                        FirstRead {
                            session: Some(socket.session()),
                            handler: handler(socket),
                        }
                    })
            }
            #[cfg(feature = "dialects")]
            Client::Pending(client) => {
                client.on_upgrade(self.config, self.protocol, self.on_failed_upgrade, handler)
            }
        }
    }
}

impl Client {
    /// Prepares the socket of an admitted request.
    fn of(parts: &mut Parts, grant: Arc<SocketGrant>) -> Result<Self, GuardedUpgradeRejection> {
        #[cfg(feature = "dialects")]
        if grant.pending.is_some() {
            return PendingClient::new(parts, grant)
                .map(Self::Pending)
                .ok_or(GuardedUpgradeRejection::Identity(IdentityRejection));
        }
        match Session::open(&mut parts.extensions) {
            Ok(session) => Ok(Self::Authenticated(AuthenticatedClient { session, grant })),
            Err(SessionRejection::Identity(_) | SessionRejection::NotAnUpgrade) => {
                Err(GuardedUpgradeRejection::Identity(IdentityRejection))
            }
            Err(SessionRejection::Refused(refusal)) => {
                let refused = RefusedUpgrade::new(refusal, parts);
                Err(GuardedUpgradeRejection::Refused(refused))
            }
        }
    }
}

impl AuthenticatedClient {
    fn guard(self, socket: WebSocket) -> GuardedSocket {
        let Self { session, grant } = self;
        let protocol = socket.protocol().cloned();
        #[cfg(feature = "dialects")]
        let dialect = DialectState::admitted(&session, grant);
        #[cfg(not(feature = "dialects"))]
        drop(grant);
        #[cfg(feature = "dialects")]
        let socket = Wire::from(socket);
        let guarded = session.guard_unread(socket, frames());
        let socket = GuardedSocket::new(guarded, protocol);
        #[cfg(feature = "dialects")]
        let socket = socket.with_dialect(dialect);
        socket
    }
}

pin_project! {
    /// Runs a handler, and reads once from its socket if the handler does not read at first.
    ///
    /// The first read frees hyper's buffer of the handshake. Usually the handler reads at once, and
    /// then this costs nothing.
    struct FirstRead<F> {
        #[pin]
        handler: F,
        // Present until the handler was polled.
        session: Option<Session>,
    }
}

impl<F: Future<Output = ()>> Future for FirstRead<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let poll = this.handler.poll(context);
        if let Some(session) = this.session.take() {
            session.read_first();
        }
        poll
    }
}

fn configure(upgrade: WebSocketUpgrade, config: &WebSocketConfig) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(config.read_buffer_size)
        .write_buffer_size(config.write_buffer_size)
        .max_write_buffer_size(config.max_write_buffer_size)
        .max_message_size(config.max_message_size.unwrap_or(usize::MAX))
        .max_frame_size(config.max_frame_size.unwrap_or(usize::MAX))
        .accept_unmasked_frames(config.accept_unmasked_frames)
}

impl<S: Send + Sync> FromRequestParts<S> for GuardedUpgrade {
    type Rejection = GuardedUpgradeRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        // Before axum takes the upgrade out of the request: the layer needs it to refuse in band.
        let client = SocketGrant::of(&mut parts.extensions).map(|grant| Client::of(parts, grant));
        let client = client.transpose()?;
        let upgrade = WebSocketUpgrade::from_request_parts(parts, state)
            .await
            .map_err(GuardedUpgradeRejection::WebSocket)?;
        // A request that is not a handshake has no grant, either, and axum names that cause.
        let client = client.ok_or(GuardedUpgradeRejection::Identity(IdentityRejection))?;
        let mut config = WebSocketConfig::default();
        config.read_buffer_size = 4 * 1024;
        config.write_buffer_size = 0;
        config.max_write_buffer_size = 4 * 1024 * 1024;
        config.max_message_size = Some(1024 * 1024);
        config.max_frame_size = Some(1024 * 1024);
        Ok(Self {
            upgrade,
            client,
            config,
            protocol: None,
            offered: parts.headers.typed_get().unwrap_or_default(),
            on_failed_upgrade: |_| {},
        })
    }
}

/// Prints no subprotocols from the request, which can contain tokens.
impl<F> fmt::Debug for GuardedUpgrade<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedUpgrade")
            .field("session", &self.session())
            .field("offered", &self.offered)
            .finish_non_exhaustive()
    }
}

/// A [`GuardedUpgrade`] cannot be extracted.
#[non_exhaustive]
#[derive(Debug)]
pub enum GuardedUpgradeRejection {
    /// No [`AuthLayer`](crate::AuthLayer) has admitted the request: 500.
    Identity(IdentityRejection),

    /// There are too many sessions, or the credential was revoked since admission. The layer
    /// answers it like every [refusal](crate::refusal).
    Refused(RefusedUpgrade),

    /// The request is not a valid WebSocket handshake.
    WebSocket(WebSocketUpgradeRejection),
}

/// A refusal of an admitted upgrade.
#[derive(Debug)]
pub struct RefusedUpgrade {
    unanswered: Box<Unanswered>,
}

impl RefusedUpgrade {
    pub(super) fn new(refusal: Refusal, request: &Parts) -> Self {
        Self {
            unanswered: Box::new(Unanswered::new(refusal, request.clone())),
        }
    }

    /// Returns the refusal.
    pub fn refusal(&self) -> &Refusal {
        &self.unanswered.refusal
    }
}

impl GuardedUpgradeRejection {
    /// Returns the status of the response.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Identity(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Refused(refused) => refused.refusal().status(),
            Self::WebSocket(rejection) => rejection.status(),
        }
    }

    /// Returns the text of the rejection, as axum's rejections do.
    pub fn body_text(&self) -> String {
        self.to_string()
    }
}

impl IntoResponse for GuardedUpgradeRejection {
    fn into_response(self) -> Response {
        match self {
            Self::Identity(rejection) => rejection.into_response(),
            Self::Refused(RefusedUpgrade { unanswered }) => {
                let Unanswered { refusal, request } = *unanswered;
                super::refuse(refusal, request, true)
            }
            Self::WebSocket(rejection) => {
                let mut response = rejection.into_response();
                // Bytes that a client sends after a refused handshake are not an HTTP request.
                let headers = response.headers_mut();
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
                response
            }
        }
    }
}

impl fmt::Display for GuardedUpgradeRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(rejection) => rejection.fmt(f),
            Self::Refused(refused) => refused.refusal().fmt(f),
            Self::WebSocket(rejection) => rejection.fmt(f),
        }
    }
}

impl std::error::Error for GuardedUpgradeRejection {}
