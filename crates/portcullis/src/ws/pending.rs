//! A pending socket: open, and its client has not authenticated yet.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use axum::Error;
use axum::body::Body;
use axum::extract::ws::OnFailedUpgrade;
use axum::response::Response;
use futures_core::Stream;
use futures_util::{SinkExt, StreamExt};
use http::HeaderValue;
use http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::protocol::{
    CloseFrame as WireCloseFrame, Role, WebSocketConfig,
};
use tokio_tungstenite::tungstenite::{Error as WireError, Message as WireMessage};

use super::dialect_state::DialectState;
use super::limited::{LimitedSocket, ReadLimit};
use super::socket::GuardedSocket;
use super::wire::{Wire, frames};
use crate::admission::SocketGrant;
use crate::close::{CLOSE_TIMEOUT, CloseCodes, CloseFrame, CloseReason};
use crate::dialect::{
    Accepted, AuthAction, Conversation, Denied, Dialect, Incoming, MAX_MESSAGE, MessageAction,
    Reaction,
};
use crate::refusal::RefusalKind;
use crate::session::Session;
use crate::upgrade::Opening;

/// A client that has to authenticate in a message. With axum's upgrade, it could send as much as an
/// authenticated client before that, so the socket is opened here.
pub(super) struct PendingClient {
    grant: SocketGrant,
    on_upgrade: OnUpgrade,
    opening: Opening,
}

impl PendingClient {
    pub(super) fn new(request: &Parts, grant: Arc<SocketGrant>) -> Option<Self> {
        Some(Self {
            grant: Arc::unwrap_or_clone(grant),
            on_upgrade: request.extensions.get().cloned()?,
            opening: Opening::new(request)?,
        })
    }

    /// Opens the socket, and runs `handler` in a new task once the client is authenticated.
    pub(super) fn on_upgrade<F, H, Fut>(
        self,
        config: WebSocketConfig,
        protocol: Option<HeaderValue>,
        on_failed_upgrade: F,
        handler: H,
    ) -> Response
    where
        F: OnFailedUpgrade,
        H: FnOnce(GuardedSocket) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let Self {
            grant,
            on_upgrade,
            opening,
        } = self;
        if let Some(permit) = &grant.pending {
            permit.open();
        }
        let response = opening.into_response(protocol.clone(), Body::empty());
        let opened = Box::pin(open(on_upgrade, config, grant, protocol, on_failed_upgrade));
        tokio::spawn(async move {
            if let Some(socket) = opened.await {
                handler(socket).await;
            }
        });
        response
    }
}

/// Waits for the connection, and until the client is authenticated. `None` if either fails; the
/// socket is closed then.
async fn open<F>(
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
    let stream = ReadLimit::new(TokioIo::new(upgraded), MAX_READ);
    let mut socket = LimitedSocket::from_raw_socket(stream, Role::Server, Some(config)).await;
    let dialect = grant.dialect.clone()?;
    let mut conversation = dialect.begin(false);
    let authenticated = authenticate(&mut socket, &grant, &*dialect, &mut *conversation).await;
    let Authenticated { session, deliver } = authenticated?;
    grant.pending = None;
    socket.get_mut().lift();
    let dialect = DialectState::new(&session, conversation, Arc::new(grant), deliver);
    let guarded = session.guard_with(Wire::Limited(socket), frames());
    Some(GuardedSocket::new(guarded, protocol).with_dialect(Some(dialect)))
}

/// The result of an authentication.
struct Authenticated {
    session: Session,
    /// The first message for the application.
    deliver: Option<String>,
}

/// Reads messages until the client is authenticated. Otherwise closes the socket with a frame that
/// says why.
///
/// No message of the application can be sent or delivered here: its handler has not been called.
async fn authenticate(
    socket: &mut LimitedSocket,
    grant: &SocketGrant,
    dialect: &dyn Dialect,
    conversation: &mut dyn Conversation,
) -> Option<Authenticated> {
    let codes = grant.context.codes;
    let sessions = &grant.context.sessions;
    // A shutdown waits for it: until the socket is closed, or a session is registered.
    let _pending = sessions.count_pending();
    let conversation = converse(socket, grant, conversation);
    let ended = tokio::select! {
        // A message that arrived in time counts, even at the moment of the timeout.
        biased;
        conversed = conversation => match conversed {
            Ok(authenticated) => return Some(authenticated),
            Err(ended) => ended,
        },
        () = tokio::time::sleep(dialect.time_limit()) => Ended::With(codes.timed_out()),
        () = sessions.shutdown_started() => {
            Ended::With(codes.frame(CloseReason::Shutdown))
        }
    };
    let close = async {
        if let Ended::With(frame) = ended {
            socket.send(close_message(frame)).await.ok()?;
        }
        // Reading sends the answer to a close of the client (RFC 6455 §5.5.1).
        while let Some(Ok(_)) = socket.next().await {}
        Some(())
    };
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, close).await;
    None
}

/// Why a pending socket ends.
enum Ended {
    /// This side closes it with a frame.
    With(CloseFrame),
    /// The client closed it, or the connection was lost.
    Gone,
}

async fn converse(
    socket: &mut LimitedSocket,
    grant: &SocketGrant,
    conversation: &mut dyn Conversation,
) -> Result<Authenticated, Ended> {
    let codes = grant.context.codes;
    let required = || Ended::With(codes.authentication_required());
    let mut attempts = 0;
    loop {
        let message = next_message(socket, &codes).await?;
        let incoming = match &message {
            WireMessage::Text(text) => Incoming::Text(text),
            WireMessage::Binary(bytes) => Incoming::Binary(bytes),
            WireMessage::Close(_) => return Err(Ended::Gone),
            // tungstenite has answered a ping. It does not extend the time.
            _ => continue,
        };
        let reaction = conversation.on_message(incoming);
        let credential = match send_replies(socket, reaction).await? {
            MessageAction::Consume => continue,
            MessageAction::Close(frame) => return Err(Ended::With(frame)),
            MessageAction::Verify(credential) => credential,
            // The application receives nothing before the client is authenticated.
            MessageAction::Refuse | MessageAction::Forward | MessageAction::Replace(_) => {
                return Err(required());
            }
        };
        drop(message);
        attempts += 1;
        let credential = match &grant.handshake {
            Some(handshake) => credential.presented_with(Arc::clone(handshake)),
            None => credential,
        };
        let denied = match grant.context.verifier.verify(&credential).await {
            Ok(identity) => match grant.open_with(identity, credential) {
                Ok(session) => {
                    let accepted = Accepted::by(&session.identity(), &session);
                    let reaction = conversation.on_verified(Ok(&accepted));
                    let deliver = match send_replies(socket, reaction).await? {
                        AuthAction::Continue | AuthAction::Retry => None,
                        AuthAction::Deliver(text) => Some(text),
                        AuthAction::Refuse => {
                            return Err(required());
                        }
                        AuthAction::Close(frame) => return Err(Ended::With(frame)),
                    };
                    return Ok(Authenticated { session, deliver });
                }
                Err(refusal) => {
                    let reason = match refusal.kind() {
                        // Revoked since the verifier has answered.
                        RefusalKind::InvalidCredential => CloseReason::Invalid,
                        _ => CloseReason::Unavailable,
                    };
                    let detail = refusal.detail().to_owned();
                    return Err(Ended::With(CloseFrame::new(codes.code(reason), detail)));
                }
            },
            Err(error) => Denied::Unverified(error),
        };
        let reaction = conversation.on_verified(Err(&denied));
        match send_replies(socket, reaction).await? {
            AuthAction::Retry if attempts < MAX_ATTEMPTS => {}
            AuthAction::Close(frame) => return Err(Ended::With(frame)),
            _ => return Err(Ended::With(denied.frame(&codes))),
        }
    }
}

async fn next_message(
    socket: &mut LimitedSocket,
    codes: &CloseCodes,
) -> Result<WireMessage, Ended> {
    let too_big = || Ended::With(codes.message_too_big());
    let next = poll_fn(|context| match Pin::new(&mut *socket).poll_next(context) {
        Poll::Pending if socket.get_ref().is_exhausted() => Poll::Ready(Err(too_big())),
        Poll::Pending => Poll::Pending,
        Poll::Ready(Some(Ok(message))) => Poll::Ready(Ok(message)),
        Poll::Ready(Some(Err(WireError::Capacity(_)))) => Poll::Ready(Err(too_big())),
        Poll::Ready(_) => Poll::Ready(Err(Ended::Gone)),
    });
    match next.await? {
        WireMessage::Text(text) if text.len() > MAX_MESSAGE => Err(too_big()),
        WireMessage::Binary(bytes) if bytes.len() > MAX_MESSAGE => Err(too_big()),
        message => Ok(message),
    }
}

async fn send_replies<A>(socket: &mut LimitedSocket, reaction: Reaction<A>) -> Result<A, Ended> {
    for reply in reaction.replies {
        let sent = socket.send(WireMessage::Text(reply.into())).await;
        sent.map_err(|_| Ended::Gone)?;
    }
    Ok(reaction.action)
}

fn close_message(frame: CloseFrame) -> WireMessage {
    WireMessage::Close(Some(WireCloseFrame {
        code: frame.code().into(),
        reason: frame.into_reason().into_owned().into(),
    }))
}

/// How many credentials a client may try, if its dialect allows another attempt.
const MAX_ATTEMPTS: usize = 3;

/// How many bytes of a pending client are read: one message of the maximum size with its framing,
/// and a few small ones.
const MAX_READ: usize = MAX_MESSAGE + 4 * 1024;
