//! A dialect on a socket that is open: renewals, and what else is said about identity.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::ws::Message;

use super::wire::Wire;
use crate::dialect::{Accepted, Conversation, Denied, Heard, Next, Reaction};
use crate::session::{Change, Changes, Grant, Guarded, RenewError, Session};

/// The conversation of one open socket.
pub(super) struct Talk<C> {
    pub(super) conversation: Box<dyn Conversation>,
    pub(super) grant: Grant<C>,
    /// What the application gets next.
    pub(super) deliver: Option<Message>,
    pub(super) verifying: Option<Verifying>,
    pub(super) changes: Changes<C>,
}

type Verifying = Pin<Box<dyn Future<Output = Result<Accepted, Denied>> + Send>>;

type Socket<C> = Guarded<Wire, Message, C>;

impl<C: Send + Sync + 'static> Talk<C> {
    pub(super) fn new(
        session: &Session<C>,
        conversation: Box<dyn Conversation>,
        grant: Grant<C>,
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
        socket: &Socket<C>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Message>> {
        if let Some(message) = self.deliver.take() {
            return Poll::Ready(Some(message));
        }
        let Some(verifying) = &mut self.verifying else {
            return Poll::Ready(None);
        };
        let Poll::Ready(judgement) = verifying.as_mut().poll(context) else {
            // Nobody waits for the verifier of a session that has ended.
            return self.poll_end(socket, context).map(|()| None);
        };
        self.verifying = None;
        let reaction = self.conversation.judged(judgement.as_ref());
        Poll::Ready(self.react(socket, context, reaction, None))
    }

    /// Parked at the socket or at the verifier, the reader hears of the warning and of the end. Only
    /// then: most messages come without a change.
    pub(super) fn poll_end(&mut self, socket: &Socket<C>, context: &mut Context<'_>) -> Poll<()> {
        while let Some(change) = std::task::ready!(self.changes.poll_change(context)) {
            match change {
                Change::Renewed(_) => {}
                Change::Expiring(left) => {
                    if let Some(text) = self.conversation.expiring(left) {
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
        socket: &Socket<C>,
        context: &mut Context<'_>,
        message: Message,
    ) -> Option<Message> {
        let heard = match &message {
            Message::Text(text) => Heard::Text(text),
            Message::Binary(bytes) => Heard::Binary(bytes),
            _ => return Some(message),
        };
        let reaction = self.conversation.hear(heard);
        self.react(socket, context, reaction, Some(message))
    }

    fn react(
        &mut self,
        socket: &Socket<C>,
        context: &mut Context<'_>,
        reaction: Reaction,
        message: Option<Message>,
    ) -> Option<Message> {
        for reply in reaction.replies {
            socket.send_beside(context, Message::Text(reply.into()));
        }
        match reaction.next {
            Next::Pass => message,
            Next::Deliver(text) => Some(Message::Text(text.into())),
            Next::Wait => None,
            Next::Close(frame) => {
                socket.session().close(frame);
                None
            }
            Next::Verify(credential) => {
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
}

async fn renew<C: Send + Sync + 'static>(
    session: Session<C>,
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
