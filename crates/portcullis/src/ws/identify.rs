//! The time between the upgrade and the identity: a client says in a message who it is.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures_core::Stream;
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::{Error as WireError, Message as WireMessage};

use super::metered::{MeteredSocket, close_wire};
use crate::admission::SocketGrant;
use crate::close::{CloseCause, CloseFrame};
use crate::dialect::{
    Accepted, AuthAction, Conversation, Denied, Dialect, Incoming, MAX_MESSAGE, MessageAction,
    Reaction,
};
use crate::refusal::RefusalKind;
use crate::session::Session;

/// What a pending socket has become.
pub(super) struct Identified {
    pub(super) session: Session,
    /// What the application gets as the first message.
    pub(super) deliver: Option<String>,
}

/// Reads until the client has said who it is. Else the client is told why not, and the socket is
/// closed.
///
/// No message of the application can be sent or delivered in here, since the handler has not been
/// called.
pub(super) async fn identify(
    socket: &mut MeteredSocket,
    grant: &SocketGrant,
    dialect: &dyn Dialect,
    conversation: &mut dyn Conversation,
) -> Option<Identified> {
    let codes = grant.policy.codes;
    let sessions = &grant.policy.sessions;
    // Until it is closed, or a session: whoever shuts down sees one of them.
    let _unidentified = sessions.unidentified();
    let conversation = converse(socket, grant, conversation);
    let ended = tokio::select! {
        // What has come in time is heard, also in the moment of the end.
        biased;
        conversed = conversation => match conversed {
            Ok(identified) => return Some(identified),
            Err(ended) => ended,
        },
        () = tokio::time::sleep(dialect.time_limit()) => {
            Ended::With(CloseFrame::new(codes.timeout, "no credential in time"))
        }
        () = sessions.is_shut() => match codes.frame(&CloseCause::Shutdown) {
            Some(frame) => Ended::With(frame),
            None => Ended::Gone,
        },
    };
    let close = async {
        if let Ended::With(frame) = ended {
            socket.send(close_wire(frame)).await.ok()?;
        }
        // Whoever has closed it gets the answer when more is asked for (RFC 6455 §5.5.1).
        while let Some(Ok(_)) = socket.next().await {}
        Some(())
    };
    let _ = tokio::time::timeout(GRACE, close).await;
    None
}

enum Ended {
    /// With this frame, from our side.
    With(CloseFrame),
    /// The client has gone.
    Gone,
}

async fn converse(
    socket: &mut MeteredSocket,
    grant: &SocketGrant,
    conversation: &mut dyn Conversation,
) -> Result<Identified, Ended> {
    let codes = grant.policy.codes;
    let mut attempts = 0;
    loop {
        let message = next_message(socket).await?;
        let incoming = match &message {
            WireMessage::Text(text) => Incoming::Text(text),
            WireMessage::Binary(bytes) => Incoming::Binary(bytes),
            WireMessage::Close(_) => return Err(Ended::Gone),
            // tungstenite has answered a ping. It buys no time.
            _ => continue,
        };
        let reaction = conversation.on_message(incoming);
        let credential = match send_replies(socket, reaction).await? {
            MessageAction::Consume => continue,
            MessageAction::Close(frame) => return Err(Ended::With(frame)),
            MessageAction::Verify(credential) => credential,
            // The application receives nothing before the client is authenticated.
            MessageAction::Refuse | MessageAction::Forward | MessageAction::Replace(_) => {
                return Err(Ended::With(codes.authentication_required()));
            }
        };
        drop(message);
        attempts += 1;
        let credential = match &grant.handshake {
            Some(handshake) => credential.presented_with(std::sync::Arc::clone(handshake)),
            None => credential,
        };
        let denied = match grant.policy.verifier.ask(&credential).await {
            Ok(identity) => match grant.open_with(identity, credential) {
                Ok(session) => {
                    let accepted = Accepted::by(&session.identity(), &session);
                    let reaction = conversation.on_verified(Ok(&accepted));
                    let deliver = match send_replies(socket, reaction).await? {
                        AuthAction::Continue | AuthAction::Retry => None,
                        AuthAction::Deliver(text) => Some(text),
                        AuthAction::Refuse => {
                            return Err(Ended::With(codes.authentication_required()));
                        }
                        AuthAction::Close(frame) => return Err(Ended::With(frame)),
                    };
                    return Ok(Identified { session, deliver });
                }
                Err(refusal) => {
                    let code = match refusal.kind() {
                        // Taken back since the verifier has answered.
                        RefusalKind::InvalidCredential => codes.unauthorized,
                        _ => codes.unavailable,
                    };
                    let reason = refusal.detail().to_owned();
                    return Err(Ended::With(CloseFrame::new(code, reason)));
                }
            },
            Err(error) => Denied::Unverified(error),
        };
        let reaction = conversation.on_verified(Err(&denied));
        match send_replies(socket, reaction).await? {
            AuthAction::Retry if attempts < MOST_ATTEMPTS => {}
            AuthAction::Close(frame) => return Err(Ended::With(frame)),
            _ => return Err(Ended::With(denied.frame(&codes))),
        }
    }
}

async fn next_message(socket: &mut MeteredSocket) -> Result<WireMessage, Ended> {
    let too_big = || Ended::With(CloseFrame::new(1009, "message too big"));
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

async fn send_replies<A>(socket: &mut MeteredSocket, reaction: Reaction<A>) -> Result<A, Ended> {
    for reply in reaction.replies {
        let sent = socket.send(WireMessage::Text(reply.into())).await;
        sent.map_err(|_| Ended::Gone)?;
    }
    Ok(reaction.action)
}

/// How long a client may take to answer a close frame.
const GRACE: Duration = Duration::from_secs(3);

/// How many credentials a client may try, where its dialect lets it try again.
const MOST_ATTEMPTS: usize = 3;

/// What is read of a pending socket: a message of the greatest size, what frames it, and a few
/// small ones beside it.
pub(super) const MOST_READ: usize = MAX_MESSAGE + 4 * 1024;
