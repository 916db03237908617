//! [`GuardedSocket`], and the dialect on an open socket.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Error;
use axum::extract::ws::Message;
use futures_core::Stream;
use futures_core::stream::FusedStream;
use futures_sink::Sink;
use futures_util::SinkExt;
use http::HeaderValue;
use portcullis_core::{Credential, Identity};

use super::wire::Wire;
use crate::admission::SocketGrant;
use crate::close::{CloseFrame, CloseReason};
use crate::dialect::{
    Accepted, AuthAction, Conversation, Denied, Incoming, MessageAction, Reaction,
};
use crate::session::{Change, Changes, Guarded, GuardedError, RenewError, Session};

/// The socket of an admitted client, open while its session lasts.
///
/// It has the methods of axum's `WebSocket`, and is a `Stream` and a `Sink` of axum's `Message`, so
/// `StreamExt::split` and the like work. When the credential expires or is revoked, the client gets
/// a close frame that says why; reading then ends with `None`, and writing fails.
///
/// ```
/// use portcullis::GuardedSocket;
///
/// async fn echo(mut socket: GuardedSocket) {
///     while let Some(Ok(message)) = socket.recv().await {
///         if socket.send(message).await.is_err() {
///             return;
///         }
///     }
/// }
/// ```
pub struct GuardedSocket {
    guarded: Guarded<Wire, Message>,
    protocol: Option<Box<HeaderValue>>,
    dialect: Option<Box<DialectState>>,
}

impl GuardedSocket {
    pub(super) fn new(
        guarded: Guarded<Wire, Message>,
        protocol: Option<HeaderValue>,
        dialect: Option<DialectState>,
    ) -> Self {
        Self {
            guarded,
            protocol: protocol.map(Box::new),
            dialect: dialect.map(Box::new),
        }
    }

    /// Returns the identity of the client, as of the last renewal.
    ///
    /// [`session`](Self::session)`().changes()` reports when it changes.
    pub fn identity(&self) -> Identity {
        self.guarded.identity()
    }

    /// Returns the session: its id, its deadline, and its end for tasks that do not read.
    ///
    /// To close the socket with a code of the application, call its [`close`](Session::close).
    pub fn session(&self) -> Session {
        self.guarded.session()
    }

    /// Returns the subprotocol that the application selected.
    pub fn protocol(&self) -> Option<&HeaderValue> {
        self.protocol.as_deref()
    }

    /// Receives the next message; `None` once the socket is closed or the session has ended.
    pub fn recv(&mut self) -> impl Future<Output = Option<Result<Message, Error>>> + Send {
        Receiving { socket: self }
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// Returns an error if the socket is closed, the session has ended, or the client reads too
    /// slowly; see
    /// [`GuardedUpgrade::max_write_buffer_size`](crate::GuardedUpgrade::max_write_buffer_size).
    pub fn send(&mut self, message: Message) -> impl Future<Output = Result<(), Error>> + Send {
        Sending {
            socket: self,
            message: Some(message),
        }
    }
}

// Named futures, so that the work for each message is inlined into the handler's future. The guard
// costs half as much per message as with `poll_fn` and `StreamExt::next`.

struct Receiving<'a> {
    socket: &'a mut GuardedSocket,
}

impl Future for Receiving<'_> {
    type Output = Option<Result<Message, Error>>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut *self.get_mut().socket).poll_next(context)
    }
}

struct Sending<'a> {
    socket: &'a mut GuardedSocket,
    message: Option<Message>,
}

impl Future for Sending<'_> {
    type Output = Result<(), Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { socket, message } = self.get_mut();
        socket.guarded.poll_send(context, message).map_err(failed)
    }
}

impl Stream for GuardedSocket {
    type Item = Result<Message, Error>;

    #[inline(always)]
    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        match &mut this.dialect {
            None => poll_guarded(&mut this.guarded, context),
            Some(dialect) => poll_with_dialect(&mut this.guarded, dialect, context),
        }
    }
}

impl FusedStream for GuardedSocket {
    fn is_terminated(&self) -> bool {
        let delivers = self.dialect.as_ref().is_some_and(|it| it.deliver.is_some());
        !delivers && self.guarded.is_terminated()
    }
}

#[inline(always)]
fn poll_guarded(
    guarded: &mut Guarded<Wire, Message>,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Message, Error>>> {
    let poll = Pin::new(&mut *guarded).poll_next(context);
    if let Poll::Ready(Some(Ok(Message::Close(_)) | Err(_))) = &poll {
        guarded.end_by_client();
    }
    poll
}

/// Reads messages until one is for the application.
#[inline(never)]
fn poll_with_dialect(
    guarded: &mut Guarded<Wire, Message>,
    dialect: &mut DialectState,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Message, Error>>> {
    loop {
        if let Some(message) = ready!(dialect.poll_before(guarded, context)) {
            return Poll::Ready(Some(Ok(message)));
        }
        let message = match poll_guarded(guarded, context) {
            Poll::Ready(Some(Ok(message))) => message,
            Poll::Ready(end) => return Poll::Ready(end),
            Poll::Pending => {
                // The task has to wake for a warning and for the end of the session, too.
                let _ = dialect.poll_end(guarded, context);
                return Poll::Pending;
            }
        };
        if let Some(message) = dialect.on_message(guarded, context, message) {
            return Poll::Ready(Some(Ok(message)));
        }
    }
}

impl Sink<Message> for GuardedSocket {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.guarded.poll_ready_unpin(context).map_err(failed)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.guarded.start_send_unpin(message).map_err(failed)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.guarded.poll_flush_unpin(context).map_err(failed)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.guarded.poll_close_unpin(context).map_err(failed)
    }
}

fn failed(error: GuardedError<Error>) -> Error {
    match error {
        GuardedError::Socket(error) => error,
        ended @ GuardedError::Ended(_) => Error::new(ended),
    }
}

impl fmt::Debug for GuardedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedSocket")
            .field("identity", &self.identity())
            .field("protocol", &self.protocol())
            .finish_non_exhaustive()
    }
}

/// The dialect of the route on an open socket. It handles renewals.
pub(super) struct DialectState {
    conversation: Box<dyn Conversation>,
    grant: SocketGrant,
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
        grant: SocketGrant,
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
        let required = || {
            self.grant
                .context
                .codes
                .frame(CloseReason::AuthenticationRequired)
        };
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
