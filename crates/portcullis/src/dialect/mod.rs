//! Dialects: how a subprotocol carries credentials in WebSocket messages.
//!
//! A route with a [`Dialect`] admits an upgrade without a credential as *pending*: the socket
//! opens, and the client has to authenticate in a message first. Until then no message of the
//! application is sent or delivered; the handler runs once the identity is known. On a socket that
//! was admitted with a credential, the client can use the dialect to renew the credential.
//!
//! | dialect | the client sends | then |
//! |---|---|---|
//! | [`FirstMessage`] | the token, or a JSON object with the token in a field | the application's messages |
//! | [`InBandRenewal`] | `{"type":"auth","token":…}` at any time, on an admitted socket | a reply with the new lifetime |
//! | [`Fhir`] | `bind-with-token …`, `bind …` | several bindings, each renewed separately |
//! | [`GraphqlWs`] | `connection_init` | `connection_ack`, or a close code of graphql-ws |
//! | [`Ddp`] | `connect`, then `login` with `resume` | Meteor's replies |
//!
//! ```
//! use axum::{Router, response::Response, routing::any};
//! use portcullis::{AuthLayer, GuardedUpgrade, StaticTokens, dialect::FirstMessage};
//!
//! let auth = AuthLayer::new(StaticTokens::new([("alice", "s3cret")])?).dialect(FirstMessage::token());
//! let app: Router = Router::new().route("/ws", any(ws)).route_layer(auth);
//!
//! async fn ws(upgrade: GuardedUpgrade) -> Response {
//!     upgrade.on_upgrade(async move |mut socket| {
//!         let greeting = format!("Hello, {}!", socket.identity().subject());
//!         let _ = socket.send(greeting.into()).await;
//!     })
//! }
//! # Ok::<_, portcullis::verify::StaticTokenError>(())
//! ```
//!
//! # Limits
//!
//! A pending socket has five seconds, one message of at most 16 KiB, and small buffers. Everything
//! behind that message stays unread in the connection until the client is authenticated. Pings are
//! answered and do not extend the time. See [`PendingLimits`] for the number of pending sockets.

mod ddp;
mod fhir;
mod first_message;
mod graphql_ws;
mod in_band_renewal;
mod pending;

use std::fmt;
use std::time::Duration;

use portcullis_core::{Carrier, Credential, Identity, Scheme, VerifyError};

pub use self::ddp::Ddp;
pub use self::fhir::Fhir;
pub use self::first_message::FirstMessage;
pub use self::graphql_ws::GraphqlWs;
pub use self::in_band_renewal::InBandRenewal;
pub use self::pending::PendingLimits;
pub(crate) use self::pending::{PendingPermit, PendingRefused, PendingSockets};
use crate::close::{CloseCodes, CloseFrame};
use crate::session::Session;
use crate::session::{RenewError, SessionId};

/// How a subprotocol carries credentials in messages.
///
/// A dialect starts a [`Conversation`] for each socket. It does no I/O and calls no verifier: it
/// receives the client's messages, and returns what to do with each.
///
/// ```
/// use portcullis::carrier::{Carrier, Scheme};
/// use portcullis::dialect::{
///     Accepted, AuthAction, Conversation, Denied, Dialect, Incoming, MessageAction, Reaction,
/// };
/// use portcullis::Credential;
///
/// /// The client sends `AUTH <token>`, first and to renew, and receives `OK` or `ERR`.
/// #[derive(Debug)]
/// struct Lines;
///
/// struct Line;
///
/// impl Dialect for Lines {
///     fn begin(&self, _admitted: bool) -> Box<dyn Conversation> {
///         Box::new(Line)
///     }
/// }
///
/// impl Conversation for Line {
///     fn on_message(&mut self, message: Incoming<'_>) -> Reaction<MessageAction> {
///         let Incoming::Text(text) = message else { return MessageAction::Forward.into() };
///         match text.strip_prefix("AUTH ") {
///             Some(token) => {
///                 let token = Credential::new(Carrier::Message, Scheme::Bearer, token);
///                 MessageAction::Verify(token).into()
///             }
///             None => MessageAction::Forward.into(),
///         }
///     }
///
///     fn on_verified(&mut self, outcome: Result<&Accepted, &Denied>) -> Reaction<AuthAction> {
///         match outcome {
///             Ok(_) => Reaction::from(AuthAction::Continue).reply("OK"),
///             Err(_) => Reaction::from(AuthAction::Retry).reply("ERR"),
///         }
///     }
/// }
/// # let _ = portcullis::AuthLayer::new(portcullis::StaticTokens::new([("a", "b")])?).dialect(Lines);
///
/// // A test of the dialect needs no socket and no verifier:
/// use std::time::Duration;
/// use portcullis::{VerifyError, session::SessionId};
///
/// let mut line = Lines.begin(false);
///
/// let reaction = line.on_message(Incoming::Text("AUTH t0k"));
/// assert!(matches!(reaction.action(), MessageAction::Verify(it) if it.expose_secret() == "t0k"));
///
/// let invalid = Denied::Unverified(VerifyError::Invalid);
/// assert_eq!(line.on_verified(Err(&invalid)).replies(), ["ERR"]);
///
/// let session: SessionId = "AAAAAAAAAAAAAAAAAAAAAA".parse()?;
/// let accepted = Accepted::new("alice", session, Duration::from_secs(60));
/// let reaction = line.on_verified(Ok(&accepted));
/// assert_eq!(reaction.replies(), ["OK"]);
/// assert!(matches!(reaction.action(), AuthAction::Continue));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub trait Dialect: fmt::Debug + Send + Sync + 'static {
    /// Starts the conversation of one socket. `admitted` is `true` if the handshake contained a
    /// valid credential.
    fn begin(&self, admitted: bool) -> Box<dyn Conversation>;

    /// Returns how long a client may take to authenticate, including all its attempts. Five
    /// seconds by default.
    fn time_limit(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// Returns the close codes of the subprotocol, if it defines any. By default those of the
    /// [`Profile`](crate::Profile) apply.
    fn close_codes(&self) -> Option<CloseCodes> {
        None
    }

    /// Returns whether an upgrade without a credential is admitted as pending; `true` by default.
    /// A dialect for renewals only returns `false`.
    fn admits_pending(&self) -> bool {
        true
    }
}

/// The state of a dialect on one socket.
pub trait Conversation: Send {
    /// Decides what to do with a message of the client.
    fn on_message(&mut self, message: Incoming<'_>) -> Reaction<MessageAction>;

    /// Decides what to do after the verification that [`MessageAction::Verify`] asked for.
    fn on_verified(&mut self, outcome: Result<&Accepted, &Denied>) -> Reaction<AuthAction>;

    /// Returns the message to send when the session ends after this time, if any. None by default.
    ///
    /// It is called only with
    /// [`warn_before`](crate::session::SessionsBuilder::warn_before).
    fn on_expiring(&mut self, after: Duration) -> Option<String> {
        let _ = after;
        None
    }
}

/// A message of the client.
#[non_exhaustive]
#[derive(Clone, Copy)]
pub enum Incoming<'a> {
    /// A text message.
    Text(&'a str),

    /// A binary message.
    Binary(&'a [u8]),
}

/// Prints the length only, because a message may contain a credential.
impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text([{} bytes])", text.len()),
            Self::Binary(bytes) => write!(f, "Binary([{} bytes])", bytes.len()),
        }
    }
}

/// What to do with a message of the client.
#[non_exhaustive]
#[derive(Debug)]
pub enum MessageAction {
    /// Delivers the message to the application. While the socket is pending, it is handled like
    /// [`Refuse`](Self::Refuse).
    Forward,

    /// Delivers this text to the application instead. While the socket is pending, it is handled
    /// like [`Refuse`](Self::Refuse).
    Replace(String),

    /// Handles the message in the dialect; the application does not receive it.
    Consume,

    /// Asks the verifier about a credential; [`Conversation::on_verified`] gets the outcome.
    Verify(Credential),

    /// Closes the socket with the close code for a client that is not authenticated.
    Refuse,

    /// Closes the socket with this frame.
    Close(CloseFrame),
}

/// What to do after a verification.
///
/// | action | the first credential is accepted | it is refused | after a later credential |
/// |---|---|---|---|
/// | [`Continue`](Self::Continue) | the handler runs | as `Refuse` | the session continues |
/// | [`Deliver`](Self::Deliver) | the handler runs and receives this text first | as `Refuse` | the application receives this text next |
/// | [`Retry`](Self::Retry) | the handler runs | the client may try again, three times in all | the session continues |
/// | [`Refuse`](Self::Refuse) | the socket closes | the socket closes with the code for the error | the socket closes |
/// | [`Close`](Self::Close) | the socket closes with this frame | the same | the same |
#[non_exhaustive]
#[derive(Debug)]
pub enum AuthAction {
    /// Continues with the messages of the application.
    Continue,

    /// Continues, and delivers this text to the application first.
    Deliver(String),

    /// Lets the client try another credential.
    Retry,

    /// Closes the socket with the close code for a refused credential.
    Refuse,

    /// Closes the socket with this frame.
    Close(CloseFrame),
}

/// What a dialect does: replies to the client, then a [`MessageAction`] or an [`AuthAction`].
///
/// ```
/// use portcullis::dialect::{MessageAction, Reaction};
///
/// let pong = Reaction::from(MessageAction::Consume).reply(r#"{"type":"pong"}"#);
/// assert_eq!(pong.replies(), [r#"{"type":"pong"}"#]);
/// ```
pub struct Reaction<A> {
    pub(crate) replies: Vec<String>,
    pub(crate) action: A,
}

impl<A> Reaction<A> {
    /// Adds a text message that is sent to the client before the action.
    #[must_use]
    pub fn reply(mut self, reply: impl Into<String>) -> Self {
        self.replies.push(reply.into());
        self
    }

    /// Returns the replies, in the order in which they are sent.
    pub fn replies(&self) -> &[String] {
        &self.replies
    }

    /// Returns the action.
    pub fn action(&self) -> &A {
        &self.action
    }
}

impl<A> From<A> for Reaction<A> {
    fn from(action: A) -> Self {
        Self {
            replies: Vec::new(),
            action,
        }
    }
}

/// Prints the number of replies only, because a reply may repeat a token.
impl<A: fmt::Debug> fmt::Debug for Reaction<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reaction")
            .field("replies", &self.replies.len())
            .field("action", &self.action)
            .finish()
    }
}

/// The verifier has accepted a credential from a message.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Accepted {
    /// The subject of the credential.
    pub subject: Box<str>,

    /// The identifier of the credential, if it has one.
    pub token_id: Option<Box<str>>,

    /// The id of the session.
    pub session: SessionId,

    /// The remaining time of the session.
    pub expires_in: Duration,

    /// Whether it is the first credential of a pending socket, and not a renewal.
    pub first: bool,

    /// Whether it expires later than the present credential. If not, the session keeps the present
    /// one.
    pub later: bool,
}

impl Accepted {
    /// Describes the first credential of a pending socket. A test of a dialect can then set the
    /// other fields.
    pub fn new(subject: impl Into<Box<str>>, session: SessionId, expires_in: Duration) -> Self {
        Self {
            subject: subject.into(),
            token_id: None,
            session,
            expires_in,
            first: true,
            later: true,
        }
    }

    pub(crate) fn by(identity: &Identity, session: &Session) -> Self {
        Self {
            token_id: identity.token_id().map(Into::into),
            ..Self::new(identity.subject(), session.id(), session.expires_in())
        }
    }
}

/// A credential from a message is not accepted.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Denied {
    /// The verifier refused it.
    Unverified(VerifyError),

    /// It does not renew the session. After [`OtherSubject`](RenewError::OtherSubject) the session
    /// is closing.
    NotRenewed(RenewError),
}

impl Denied {
    /// Returns the error of the verifier; `Invalid` if the verifier accepted the credential.
    pub fn verify_error(&self) -> VerifyError {
        match self {
            Self::Unverified(error) | Self::NotRenewed(RenewError::Unverified(error)) => *error,
            Self::NotRenewed(_) => VerifyError::Invalid,
        }
    }

    /// Returns the frame that closes the socket, with the code that `codes` has for the error.
    pub fn frame(&self, codes: &CloseCodes) -> CloseFrame {
        codes.frame(self.verify_error())
    }
}

/// Creates a bearer credential that came in a message.
pub(crate) fn message_credential(token: impl Into<String>) -> Credential {
    Credential::new(Carrier::Message, Scheme::Bearer, token)
}

/// Returns `false` if no string of the JSON text can be equal to `word`, so that most messages need
/// no parsing. JSON can write any letter as an escape.
pub(crate) fn may_contain(text: &str, word: &str) -> bool {
    text.contains(word) || text.contains('\\')
}

/// The maximum length of a message by which a client authenticates.
pub(crate) const MAX_MESSAGE: usize = 16 * 1024;
