use std::fmt;

use axum::Error;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{OnFailedUpgrade, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use headers::HeaderMapExt;
use http::header::CONNECTION;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use hyper::upgrade::OnUpgrade;
use portcullis_core::{Identity, IdentityRejection};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::GuardedSocket;
use super::opening::{Opening, PendingOpening, open_pending};
use crate::admission::InBand;
use crate::admission::SocketGrant;
use crate::carrier::SecWebSocketProtocol;
use crate::refusal::Refusal;
use crate::session::Session;
use crate::session::SessionRejection;

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
pub struct GuardedUpgrade<F = fn(Error)> {
    /// axum's own, which opens the socket of a session.
    upgrade: WebSocketUpgrade,
    admission: Admission,
    config: WebSocketConfig,
    protocol: Option<HeaderValue>,
    offered: SecWebSocketProtocol,
    grant: SocketGrant,
    on_failed_upgrade: F,
}

enum Admission {
    /// The client is known.
    Session(Session),

    /// It is to say in a message who it is.
    Pending(PendingOpening),
}

impl<F> GuardedUpgrade<F> {
    /// Who opens the socket; `None` if the client is to say that in a message, in the
    /// [dialect](crate::dialect) of the route.
    pub fn identity(&self) -> Option<Identity> {
        self.session().map(Session::identity)
    }

    /// The session that the socket will be of; `None` if the client has yet to say who it is.
    pub fn session(&self) -> Option<&Session> {
        match &self.admission {
            Admission::Session(session) => Some(session),
            Admission::Pending(_) => None,
        }
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
    pub fn on_failed_upgrade<G: OnFailedUpgrade>(self, callback: G) -> GuardedUpgrade<G> {
        GuardedUpgrade {
            upgrade: self.upgrade,
            admission: self.admission,
            config: self.config,
            protocol: self.protocol,
            offered: self.offered,
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
        H: FnOnce(GuardedSocket) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
        F: OnFailedUpgrade,
    {
        match self.admission {
            Admission::Session(session) => {
                let mut upgrade = configure(self.upgrade, &self.config);
                if let Some(protocol) = &self.protocol {
                    upgrade.set_selected_protocol(protocol.clone());
                }
                // Boxed, since what it holds would count for every socket for as long as that is
                // open.
                let opening = Box::new(Opening::new(session, self.grant, self.protocol));
                upgrade
                    .on_failed_upgrade(self.on_failed_upgrade)
                    .on_upgrade(move |socket| handler(opening.open(socket)))
            }
            Admission::Pending(pending) => {
                if let Some(place) = &self.grant.pending {
                    place.open();
                }
                let (response, on_upgrade) = pending.respond(self.protocol.as_ref());
                let opening = Box::pin(open_pending(
                    on_upgrade,
                    self.config,
                    self.grant,
                    self.protocol,
                    self.on_failed_upgrade,
                ));
                tokio::spawn(async move {
                    if let Some(socket) = opening.await {
                        handler(socket).await;
                    }
                });
                response
            }
        }
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

impl<S> FromRequestParts<S> for GuardedUpgrade
where
    S: Send + Sync,
{
    type Rejection = GuardedUpgradeRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let missing = || GuardedUpgradeRejection::Identity(IdentityRejection);
        let mut grant: Option<SocketGrant> = SocketGrant::of(&parts.extensions);
        if let Some(on_upgrade) = grant.as_mut().and_then(|grant| grant.on_upgrade.take()) {
            parts.extensions.insert(on_upgrade);
        }
        let on_upgrade = parts.extensions.get::<OnUpgrade>().cloned();
        // axum looks whether this is a handshake, in words that its users know.
        let upgrade = WebSocketUpgrade::from_request_parts(parts, state)
            .await
            .map_err(GuardedUpgradeRejection::WebSocket)?;
        // Only now: the layer lets requests pass that are no handshake, and grants them no socket.
        let grant = grant.ok_or_else(missing)?;
        let admission = match &grant.pending {
            Some(_) => {
                let on_upgrade = on_upgrade.ok_or_else(missing)?;
                Admission::Pending(PendingOpening::new(on_upgrade, parts))
            }
            None => match Session::open(&mut parts.extensions) {
                Ok(session) => Admission::Session(session),
                Err(why) => return Err(no_session(why, &grant, parts, on_upgrade)),
            },
        };
        let mut config = WebSocketConfig::default();
        config.read_buffer_size = 4 * 1024;
        config.write_buffer_size = 0;
        config.max_write_buffer_size = 4 * 1024 * 1024;
        config.max_message_size = Some(1024 * 1024);
        config.max_frame_size = Some(1024 * 1024);
        Ok(Self {
            upgrade,
            admission,
            config,
            protocol: None,
            offered: parts.headers.typed_get().unwrap_or_default(),
            grant,
            on_failed_upgrade: |_| {},
        })
    }
}

fn no_session(
    why: SessionRejection,
    grant: &SocketGrant,
    parts: &Parts,
    on_upgrade: Option<OnUpgrade>,
) -> GuardedUpgradeRejection {
    let refusal = match why {
        SessionRejection::Identity(missing) => {
            return GuardedUpgradeRejection::Identity(missing);
        }
        SessionRejection::Refused(refusal) => refusal,
    };
    let on_upgrade = on_upgrade.filter(|_| grant.in_band);
    let opening =
        on_upgrade.and_then(|it| InBand::refuse(&refusal, None, &grant.policy.codes, parts, it));
    match opening {
        Some(opening) => GuardedUpgradeRejection::RefusedInBand(RefusedInBand { refusal, opening }),
        None => GuardedUpgradeRejection::Refused(refusal),
    }
}

/// Prints no list of subprotocols: axum's own does, tokens included.
impl<F> fmt::Debug for GuardedUpgrade<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedUpgrade")
            .field("session", &self.session())
            .field("offered", &self.offered)
            .finish_non_exhaustive()
    }
}

/// Why a [`GuardedUpgrade`] cannot be extracted.
#[non_exhaustive]
#[derive(Debug)]
pub enum GuardedUpgradeRejection {
    /// No layer has admitted the request.
    Identity(IdentityRejection),

    /// There is no room for another session, or the credential was taken back in the meantime.
    Refused(Refusal),

    /// The same, where the layer [refuses in band](crate::AuthLayer::refuse_in_band).
    RefusedInBand(RefusedInBand),

    /// The request is no handshake, in the eyes of axum.
    WebSocket(WebSocketUpgradeRejection),
}

/// A refusal that opens the socket, which is then closed with a code.
#[derive(Debug)]
pub struct RefusedInBand {
    refusal: Refusal,
    opening: InBand,
}

impl RefusedInBand {
    /// What the client is told.
    pub fn refusal(&self) -> &Refusal {
        &self.refusal
    }
}

impl GuardedUpgradeRejection {
    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Identity(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Refused(refusal) => refusal.status(),
            Self::RefusedInBand(refused) => refused.opening.status(),
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
            Self::Identity(rejection) => rejection.into_response(),
            Self::Refused(refusal) => super::refused(&refusal),
            Self::RefusedInBand(RefusedInBand { refusal, opening }) => {
                opening.into_response(&refusal, Body::empty())
            }
            Self::WebSocket(rejection) => {
                let mut response = rejection.into_response();
                // As after every refused upgrade: the bytes behind it are no request.
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
            Self::Refused(refusal) => refusal.fmt(f),
            Self::RefusedInBand(refused) => refused.refusal.fmt(f),
            Self::WebSocket(rejection) => rejection.fmt(f),
        }
    }
}

impl std::error::Error for GuardedUpgradeRejection {}
