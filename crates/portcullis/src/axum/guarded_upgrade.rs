use std::fmt;

use axum::Error;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{OnFailedUpgrade, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use headers::{HeaderMapExt, SecWebsocketAccept, SecWebsocketKey};
use http::header::{CONNECTION, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use portcullis_core::{Identity, MissingAuthLayer};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::GuardedSocket;
use super::identify::{Identified, MOST_READ, identify};
use super::talk::Talk;
use super::wire::{Metered, Wire, close_message};
use crate::carrier::SecWebSocketProtocol;
use crate::refusal::Refusal;
use crate::session::{Grant, NotOpened, Session};

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
/// It differs from axum's in four ways:
///
/// * Its buffers are small. With axum's defaults an idle socket holds 130 KiB, with these under
///   6 KiB. See [`read_buffer_size`](Self::read_buffer_size).
/// * A message is at most 1 MiB, not 64.
/// * [`protocols`](Self::protocols) follows the order of the client, which is that of its
///   preference (RFC 6455 §4.1); axum's loses it.
/// * It ends by itself when the credential does, and can be ended from outside: see
///   [`session`](crate::session). A session is opened with it, so it may be refused with 429 or 503
///   when there are [too many](crate::session::SessionsBuilder::max_sessions).
///
/// The route must be behind an [`AuthLayer`](crate::AuthLayer) whose claims are `C`. Without one
/// the answer is a 500 that says so.
#[must_use = "nothing is opened before `on_upgrade`"]
pub struct GuardedUpgrade<C = (), F = fn(Error)> {
    on_upgrade: OnUpgrade,
    /// Over HTTP/2 there is none.
    key: Option<SecWebsocketKey>,
    config: WebSocketConfig,
    protocol: Option<HeaderValue>,
    offered: SecWebSocketProtocol,
    session: Option<Session<C>>,
    grant: Grant<C>,
    on_failed_upgrade: F,
}

impl<C, F> GuardedUpgrade<C, F> {
    /// Who opens the socket; `None` if the client is to say that in a message, in the
    /// [dialect](crate::dialect) of the route.
    pub fn identity(&self) -> Option<Identity<C>> {
        self.session.as_ref().map(Session::identity)
    }

    /// The session that the socket will be of; `None` if the client has yet to say who it is.
    pub fn session(&self) -> Option<&Session<C>> {
        self.session.as_ref()
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
            self.protocol = Some(selected);
        }
        self
    }

    /// The subprotocol that is selected so far.
    pub fn selected_protocol(&self) -> Option<&HeaderValue> {
        self.protocol.as_ref()
    }

    /// Selects a subprotocol. One that the client did not offer is not echoed.
    pub fn set_selected_protocol(&mut self, protocol: HeaderValue) {
        self.protocol = Some(protocol);
    }

    /// The size of the read buffer, in bytes; 4096 by default. It is held for as long as the socket
    /// is open. A larger one reads large messages with fewer system calls.
    pub fn read_buffer_size(mut self, size: usize) -> Self {
        self.config.read_buffer_size = size;
        self
    }

    /// How much is gathered before it is written, in bytes; 0 by default: every message at once.
    pub fn write_buffer_size(mut self, size: usize) -> Self {
        self.config.write_buffer_size = size;
        self
    }

    /// How much may wait to be written to a client that does not read, in bytes; 4 MiB by default.
    /// Sending more is an error.
    pub fn max_write_buffer_size(mut self, max: usize) -> Self {
        self.config.max_write_buffer_size = max;
        self
    }

    /// The largest message, in bytes; 1 MiB by default.
    pub fn max_message_size(mut self, max: usize) -> Self {
        self.config.max_message_size = Some(max);
        self
    }

    /// The largest frame of a message, in bytes; 1 MiB by default.
    pub fn max_frame_size(mut self, max: usize) -> Self {
        self.config.max_frame_size = Some(max);
        self
    }

    /// Accepts frames that are not masked, which RFC 6455 §5.1 forbids a client to send.
    pub fn accept_unmasked_frames(mut self, accept: bool) -> Self {
        self.config.accept_unmasked_frames = accept;
        self
    }

    /// Calls `callback` if the connection fails before it has become a socket. By default nobody
    /// hears of it.
    pub fn on_failed_upgrade<G: OnFailedUpgrade>(self, callback: G) -> GuardedUpgrade<C, G> {
        GuardedUpgrade {
            on_upgrade: self.on_upgrade,
            key: self.key,
            config: self.config,
            protocol: self.protocol,
            offered: self.offered,
            session: self.session,
            grant: self.grant,
            on_failed_upgrade: callback,
        }
    }

    /// Opens the socket and runs `handler` with it, in a task of its own. Where the client is to
    /// say in a message who it is, `handler` runs when it has.
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
        if let (None, Some(place)) = (&self.session, &self.grant.pending) {
            place.open();
        }
        let response = respond(self.key, self.protocol.as_ref());
        // Boxed, since what it holds would count for every socket for as long as that is open.
        let opening = Box::pin(open(
            self.on_upgrade,
            self.config,
            self.session,
            self.grant,
            self.protocol,
            self.on_failed_upgrade,
        ));
        tokio::spawn(async move {
            if let Some(guarded) = opening.await {
                handler(guarded).await;
            }
        });
        response
    }
}

/// Waits for the connection, and for the identity if there is none. The handler gets a handle, and
/// not the socket.
///
/// It is given no header of the request: each of them is a part of the buffer that hyper has read
/// the request into, and keeps all of it.
async fn open<C, F>(
    on_upgrade: OnUpgrade,
    config: WebSocketConfig,
    session: Option<Session<C>>,
    grant: Grant<C>,
    protocol: Option<HeaderValue>,
    on_failed_upgrade: F,
) -> Option<GuardedSocket<C>>
where
    C: Send + Sync + 'static,
    F: OnFailedUpgrade,
{
    let upgraded = match on_upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            on_failed_upgrade.call(Error::new(error));
            return None;
        }
    };
    let limit = match session {
        Some(_) => usize::MAX,
        None => MOST_READ,
    };
    let stream = Metered::new(TokioIo::new(upgraded), limit);
    let socket = Wire::from_raw_socket(stream, Role::Server, Some(config)).await;
    match (session, grant.dialect.is_some()) {
        (Some(session), false) => {
            let guarded = session.guard(socket, close_message);
            Some(GuardedSocket::new(guarded, protocol, None))
        }
        (session, _) => begin(socket, session, grant, protocol).await,
    }
}

/// Begins a conversation in the dialect of the route, and waits for the identity if there is none.
async fn begin<C: Send + Sync + 'static>(
    mut socket: Wire,
    session: Option<Session<C>>,
    mut grant: Grant<C>,
    protocol: Option<HeaderValue>,
) -> Option<GuardedSocket<C>> {
    let dialect = grant.dialect.clone()?;
    let mut conversation = dialect.begin(session.is_some());
    let (session, deliver) = match session {
        Some(session) => (session, None),
        None => {
            let identified = identify(&mut socket, &grant, &*dialect, &mut *conversation).await;
            let Identified { session, deliver } = identified?;
            grant.pending = None;
            (session, deliver)
        }
    };
    socket.get_mut().lift();
    let guarded = session.guard(socket, close_message);
    let talk = Talk::new(conversation, grant, deliver);
    Some(GuardedSocket::new(guarded, protocol, Some(talk)))
}

/// The response that opens a socket: RFC 6455 §4.2.2, and RFC 8441 §5 over HTTP/2.
fn respond(key: Option<SecWebsocketKey>, protocol: Option<&HeaderValue>) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    if let Some(protocol) = protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol.clone());
    }
    if let Some(key) = key {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.typed_insert(SecWebsocketAccept::from(key));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    }
    response
}

impl<S, C> FromRequestParts<S> for GuardedUpgrade<C>
where
    S: Send + Sync,
    C: Send + Sync + 'static,
{
    type Rejection = GuardedUpgradeRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let missing = || GuardedUpgradeRejection::MissingAuthLayer(MissingAuthLayer::of::<C>());
        let mut grant: Option<Grant<C>> = parts.extensions.get().cloned();
        if let Some(on_upgrade) = grant.as_mut().and_then(|grant| grant.on_upgrade.take()) {
            parts.extensions.insert(on_upgrade);
        }
        let on_upgrade = parts.extensions.get::<OnUpgrade>().cloned();
        // axum looks whether this is a handshake, in words that its users know.
        let _ = WebSocketUpgrade::from_request_parts(parts, state)
            .await
            .map_err(GuardedUpgradeRejection::WebSocket)?;
        // Only now: the layer lets requests pass that are no handshake, and grants them no socket.
        let grant = grant.ok_or_else(missing)?;
        let on_upgrade = on_upgrade.ok_or_else(missing)?;
        let session = match &grant.pending {
            Some(_) => None,
            None => Some(Session::open(&mut parts.extensions)?),
        };
        let http1 = parts.version <= Version::HTTP_11;
        let key = http1.then(|| parts.headers.typed_get()).flatten();
        let mut config = WebSocketConfig::default();
        config.read_buffer_size = 4 * 1024;
        config.write_buffer_size = 0;
        config.max_write_buffer_size = 4 * 1024 * 1024;
        config.max_message_size = Some(1024 * 1024);
        config.max_frame_size = Some(1024 * 1024);
        Ok(Self {
            on_upgrade,
            key,
            config,
            protocol: None,
            offered: parts.headers.typed_get().unwrap_or_default(),
            session,
            grant,
            on_failed_upgrade: |_| {},
        })
    }
}

/// Prints no list of subprotocols: axum's own does, tokens included.
impl<C, F> fmt::Debug for GuardedUpgrade<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedUpgrade")
            .field("session", &self.session)
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

    /// There is no room for another session, or the credential was taken back in the meantime.
    Refused(Refusal),

    /// The request is no handshake, in the eyes of axum.
    WebSocket(WebSocketUpgradeRejection),
}

impl From<NotOpened> for GuardedUpgradeRejection {
    fn from(why: NotOpened) -> Self {
        match why {
            NotOpened::MissingAuthLayer(missing) => Self::MissingAuthLayer(missing),
            NotOpened::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

impl GuardedUpgradeRejection {
    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::MissingAuthLayer(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Refused(refusal) => refusal.status(),
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
            Self::Refused(refusal) => super::refused(&refusal),
            Self::WebSocket(rejection) => rejection.into_response(),
        }
    }
}

impl fmt::Display for GuardedUpgradeRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingAuthLayer(rejection) => rejection.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::WebSocket(rejection) => rejection.fmt(f),
        }
    }
}

impl std::error::Error for GuardedUpgradeRejection {}
