//! The dialect on an open socket.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Error;
use axum::extract::ws::Message;
use portcullis_core::Credential;

use super::socket::poll_guarded;
use super::wire::Wire;
use crate::admission::SocketGrant;
use crate::close::CloseFrame;
use crate::dialect::{
    Accepted, AuthAction, Conversation, Denied, Incoming, MessageAction, Reaction,
};
use crate::session::{Change, Changes, Guarded, RenewError, Session};

/// The dialect of the route on an open socket. It handles renewals.
pub(super) struct DialectState {
    conversation: Box<dyn Conversation>,
    grant: Arc<SocketGrant>,
    /// The next message for the application.
    deliver: Option<Message>,
    renewal: Option<Renewal>,
    changes: Changes,
}

type Renewal = Pin<Box<dyn Future<Output = Result<Accepted, Denied>> + Send>>;

impl DialectState {
    pub(super) fn new(
        session: &Session,
        conversation: Box<dyn Conversation>,
        grant: Arc<SocketGrant>,
        deliver: Option<String>,
    ) -> Self {
        Self {
            conversation,
            grant,
            deliver: deliver.map(|text| Message::Text(text.into())),
            renewal: None,
            changes: session.changes(),
        }
    }

    /// Creates the state for a client that was authenticated in the handshake. `None` if the route
    /// has no dialect.
    pub(super) fn admitted(session: &Session, grant: Arc<SocketGrant>) -> Option<Self> {
        let conversation = grant.dialect.as_ref()?.begin(true);
        Some(Self::new(session, conversation, grant, None))
    }

    /// Returns whether the next message for the application is there.
    pub(super) fn has_message(&self) -> bool {
        self.deliver.is_some()
    }

    /// Reads messages until one is for the application.
    #[inline(never)]
    pub(super) fn poll_next(
        &mut self,
        guarded: &mut Guarded<Wire, Message>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Message, Error>>> {
        loop {
            if let Some(message) = ready!(self.poll_before(guarded, context)) {
                return Poll::Ready(Some(Ok(message)));
            }
            let message = match poll_guarded(guarded, context) {
                Poll::Ready(Some(Ok(message))) => message,
                Poll::Ready(end) => return Poll::Ready(end),
                Poll::Pending => {
                    // The task has to wake for a warning and for the end of the session, too.
                    let _ = self.poll_end(guarded, context);
                    return Poll::Pending;
                }
            };
            if let Some(message) = self.on_message(guarded, context, message) {
                return Poll::Ready(Some(Ok(message)));
            }
        }
    }

    /// Finishes what comes before the next message is read, and returns a message for the
    /// application if there is one.
    ///
    /// Pending while a credential is verified, so that later messages are handled after it.
    fn poll_before(
        &mut self,
        socket: &Guarded<Wire, Message>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Message>> {
        if let Some(message) = self.deliver.take() {
            return Poll::Ready(Some(message));
        }
        let Some(renewal) = &mut self.renewal else {
            return Poll::Ready(None);
        };
        let Poll::Ready(outcome) = renewal.as_mut().poll(context) else {
            // If the session ends, its verification does not matter any more.
            return self.poll_end(socket, context).map(|()| None);
        };
        self.renewal = None;
        let reaction = self.conversation.on_verified(outcome.as_ref());
        Poll::Ready(self.after_verification(socket, context, reaction, outcome.err()))
    }

    /// Ready once the session has ended. Sends the warning before that.
    ///
    /// It is polled only when the reader waits for the socket or the verifier: most messages arrive
    /// without a change of the session.
    fn poll_end(&mut self, socket: &Guarded<Wire, Message>, context: &mut Context<'_>) -> Poll<()> {
        while let Some(change) = ready!(self.changes.poll_change(context)) {
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

    /// Returns what the application receives for a message, if anything.
    fn on_message(
        &mut self,
        socket: &Guarded<Wire, Message>,
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
                self.renewal = Some(Box::pin(renew(socket.session(), credential)));
                None
            }
        }
    }

    fn after_verification(
        &mut self,
        socket: &Guarded<Wire, Message>,
        context: &mut Context<'_>,
        reaction: Reaction<AuthAction>,
        denied: Option<Denied>,
    ) -> Option<Message> {
        send_replies(socket, context, reaction.replies);
        match reaction.action {
            AuthAction::Continue | AuthAction::Retry => None,
            AuthAction::Deliver(text) => Some(Message::Text(text.into())),
            AuthAction::Refuse => {
                let frame = denied.map(|denied| denied.frame(&self.grant.context.codes));
                self.close(socket, frame)
            }
            AuthAction::Close(frame) => self.close(socket, Some(frame)),
        }
    }

    /// Closes the session, by default with the code for a client that is not authenticated.
    fn close(&self, socket: &Guarded<Wire, Message>, frame: Option<CloseFrame>) -> Option<Message> {
        let required = || self.grant.context.codes.authentication_required();
        socket.session().close(frame.unwrap_or_else(required));
        None
    }
}

fn send_replies(socket: &Guarded<Wire, Message>, context: &mut Context<'_>, replies: Vec<String>) {
    for reply in replies {
        socket.send_beside(context, Message::Text(reply.into()));
    }
}

async fn renew(session: Session, credential: Credential) -> Result<Accepted, Denied> {
    let (identity, renewed) = session.verify_and_renew(credential).await;
    let later = match renewed {
        Ok(_) => true,
        Err(RenewError::NotLater) => false,
        Err(RenewError::Unverified(error)) => return Err(Denied::Unverified(error)),
        Err(error) => return Err(Denied::NotRenewed(error)),
    };
    let identity = identity.unwrap_or_else(|| session.identity());
    Ok(Accepted {
        first: false,
        later,
        ..Accepted::by(&identity, &session)
    })
}
