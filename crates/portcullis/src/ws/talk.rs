//! A dialect on a socket that is open: renewals, and what else is said about identity.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::ws::Message;

use super::wire::Wire;
use crate::admission::SocketGrant;
use crate::close::CloseFrame;
use crate::dialect::{
    Accepted, AuthAction, Conversation, Denied, Incoming, MessageAction, Reaction,
};
use crate::session::Session;
use crate::session::{Change, Changes, Guarded, RenewError};

/// The conversation of one open socket.
pub(super) struct Talk {
    pub(super) conversation: Box<dyn Conversation>,
    pub(super) grant: SocketGrant,
    /// What the application gets next.
    pub(super) deliver: Option<Message>,
    pub(super) verifying: Option<Verifying>,
    pub(super) changes: Changes,
}

type Verifying = Pin<Box<dyn Future<Output = Result<Accepted, Denied>> + Send>>;

type Socket = Guarded<Wire, Message>;

impl Talk {
    pub(super) fn new(
        session: &Session,
        conversation: Box<dyn Conversation>,
        grant: SocketGrant,
        deliver: Option<String>,
    ) -> Self {
        Self {
            conversation,
            grant,
            deliver: deliver.map(|text| Message::Text(text.into())),
            verifying: None,
            changes: session.changes(),
        }
    }

    /// Whether it has a message for the application.
    pub(super) fn delivers(&self) -> bool {
        self.deliver.is_some()
    }

    /// What is to be done before the next message is read. The message that takes its place, if
    /// there is one; pending while a credential is being verified, so that what the client sends
    /// behind it is judged behind it.
    pub(super) fn poll_before(
        &mut self,
        socket: &Socket,
        context: &mut Context<'_>,
    ) -> Poll<Option<Message>> {
        if let Some(message) = self.deliver.take() {
            return Poll::Ready(Some(message));
        }
        let Some(verifying) = &mut self.verifying else {
            return Poll::Ready(None);
        };
        let Poll::Ready(outcome) = verifying.as_mut().poll(context) else {
            // Nobody waits for the verifier of a session that has ended.
            return self.poll_end(socket, context).map(|()| None);
        };
        self.verifying = None;
        let reaction = self.conversation.on_verified(outcome.as_ref());
        Poll::Ready(self.after_verification(socket, context, reaction, outcome.err()))
    }

    /// Parked at the socket or at the verifier, the reader hears of the warning and of the end. Only
    /// then: most messages come without a change.
    pub(super) fn poll_end(&mut self, socket: &Socket, context: &mut Context<'_>) -> Poll<()> {
        while let Some(change) = std::task::ready!(self.changes.poll_change(context)) {
            match change {
                Change::Renewed(_) => {}
                Change::Expiring(left) => {
                    if let Some(text) = self.conversation.on_expiring(left) {
                        socket.send_beside(context, Message::Text(text.into()));
                    }
                }
                Change::Ended(_) => break,
            }
        }
        Poll::Ready(())
    }

    /// What the application gets of a message; `None` if it was for the dialect.
    pub(super) fn hear(
        &mut self,
        socket: &Socket,
        context: &mut Context<'_>,
        message: Message,
    ) -> Option<Message> {
        let incoming = match &message {
            Message::Text(text) => Incoming::Text(text),
            Message::Binary(bytes) => Incoming::Binary(bytes),
            _ => return Some(message),
        };
        let Reaction { replies, action } = self.conversation.on_message(incoming);
        send_replies(socket, context, replies);
        match action {
            MessageAction::Forward => Some(message),
            MessageAction::Replace(text) => Some(Message::Text(text.into())),
            MessageAction::Consume => None,
            MessageAction::Refuse => self.close(socket, None),
            MessageAction::Close(frame) => self.close(socket, Some(frame)),
            MessageAction::Verify(credential) => {
                let credential = match &self.grant.handshake {
                    Some(handshake) => credential.presented_with(Arc::clone(handshake)),
                    None => credential,
                };
                let session = socket.session();
                self.verifying = Some(Box::pin(renew(session, credential)));
                None
            }
        }
    }

    fn after_verification(
        &mut self,
        socket: &Socket,
        context: &mut Context<'_>,
        reaction: Reaction<AuthAction>,
        denied: Option<Denied>,
    ) -> Option<Message> {
        send_replies(socket, context, reaction.replies);
        match reaction.action {
            AuthAction::Continue | AuthAction::Retry => None,
            AuthAction::Deliver(text) => Some(Message::Text(text.into())),
            AuthAction::Refuse => {
                let frame = denied.map(|denied| denied.frame(&self.grant.policy.codes));
                self.close(socket, frame)
            }
            AuthAction::Close(frame) => self.close(socket, Some(frame)),
        }
    }

    /// Closes the session, by default with the code for a client that is not authenticated.
    fn close(&self, socket: &Socket, frame: Option<CloseFrame>) -> Option<Message> {
        let codes = &self.grant.policy.codes;
        let frame = frame.unwrap_or_else(|| codes.authentication_required());
        socket.session().close(frame);
        None
    }
}

fn send_replies(socket: &Socket, context: &mut Context<'_>, replies: Vec<String>) {
    for reply in replies {
        socket.send_beside(context, Message::Text(reply.into()));
    }
}

async fn renew(
    session: Session,
    credential: portcullis_core::Credential,
) -> Result<Accepted, Denied> {
    let (identity, renewed) = session.bring(credential).await;
    let later = match renewed {
        Ok(_) => true,
        Err(RenewError::NotLater) => false,
        Err(RenewError::Unverified(error)) => return Err(Denied::Unverified(error)),
        Err(why) => return Err(Denied::NotRenewed(why)),
    };
    let identity = identity.unwrap_or_else(|| session.identity());
    Ok(Accepted {
        first: false,
        later,
        ..Accepted::by(&identity, &session)
    })
}
