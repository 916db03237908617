//! How credentials are spoken in messages, once a socket is open.
//!
//! A route with a [`Dialect`] admits a request without a credential as *pending*: the socket opens,
//! and the client has to say who it is before anything else. Nothing of the application is sent or
//! delivered before that: the handler runs only when the identity stands. A socket that was
//! admitted with a credential speaks the dialect, too, for a renewal in band.
//!
//! | dialect | the client says | |
//! |---|---|---|
//! | [`FirstMessage`] | the token, or a field of a JSON object | then the application's messages |
//! | [`InBandRenewal`] | `{"type":"auth","token":…}` | any time, on an ordinary socket |
//! | [`Fhir`] | `bind-with-token …`, `bind …` | several bindings, each renewed on its own |
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
//! A pending socket has five seconds, one message of at most 16 KiB, and small buffers; what
//! follows it stays unread in the connection until then. Pings are answered and buy no time. There
//! are at most 4,096 pending sockets, and 256 of one address where the server knows addresses (a
//! network of 64 bits is one address of IPv6); see [`AuthLayer::pending_limits`](crate::AuthLayer::pending_limits).

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
pub(crate) use self::pending::{Pending, PendingPermit, PendingRefused};
use crate::session::{CloseCodes, CloseFrame, RenewError, Session, SessionId};

/// How credentials are spoken in the messages of a socket.
///
/// A dialect begins a [`Conversation`] with each socket. It does no input or output and asks no
/// verifier: it is told what the client says, and answers what to do about it.
///
/// ```
/// use portcullis::dialect::{Accepted, Conversation, Denied, Dialect, Heard, Next, Reaction};
/// use portcullis::{Carrier, Credential, Scheme};
///
/// /// The client says `AUTH <token>`, at first and whenever it likes, and hears `OK` or `ERR`.
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
///     fn hear(&mut self, message: Heard<'_>) -> Reaction {
///         let Heard::Text(text) = message else { return Next::Pass.into() };
///         match text.strip_prefix("AUTH ") {
///             Some(token) => Next::Verify(Credential::new(Carrier::Message, Scheme::Bearer, token)).into(),
///             None => Next::Pass.into(),
///         }
///     }
///
///     fn judged(&mut self, judgement: Result<&Accepted, &Denied>) -> Reaction {
///         let reply = if judgement.is_ok() { "OK" } else { "ERR" };
///         Reaction::from(Next::Wait).reply(reply)
///     }
/// }
/// # let _ = portcullis::AuthLayer::new(portcullis::StaticTokens::new([("a", "b")])?).dialect(Lines);
/// # Ok::<_, portcullis::verify::StaticTokenError>(())
/// ```
///
/// A test of it needs no socket and no verifier either:
///
/// ```
/// use std::time::Duration;
/// use portcullis::VerifyError;
/// use portcullis::dialect::{Accepted, Denied, Dialect, Heard, Next};
/// use portcullis::session::SessionId;
/// # use portcullis::dialect::{Conversation, Reaction};
/// # #[derive(Debug)]
/// # struct Lines;
/// # struct Line;
/// # impl Dialect for Lines {
/// #     fn begin(&self, _admitted: bool) -> Box<dyn Conversation> {
/// #         Box::new(Line)
/// #     }
/// # }
/// # impl Conversation for Line {
/// #     fn hear(&mut self, message: Heard<'_>) -> Reaction {
/// #         use portcullis::{Carrier, Credential, Scheme};
/// #         let Heard::Text(text) = message else { return Next::Pass.into() };
/// #         match text.strip_prefix("AUTH ") {
/// #             Some(token) => Next::Verify(Credential::new(Carrier::Message, Scheme::Bearer, token)).into(),
/// #             None => Next::Pass.into(),
/// #         }
/// #     }
/// #     fn judged(&mut self, judgement: Result<&Accepted, &Denied>) -> Reaction {
/// #         let reply = if judgement.is_ok() { "OK" } else { "ERR" };
/// #         Reaction::from(Next::Wait).reply(reply)
/// #     }
/// # }
///
/// let mut line = Lines.begin(false);
///
/// let reaction = line.hear(Heard::Text("AUTH t0k"));
/// assert!(matches!(reaction.next(), Next::Verify(it) if it.expose_secret() == "t0k"));
///
/// let bad = Denied::Unverified(VerifyError::Invalid);
/// assert_eq!(line.judged(Err(&bad)).replies(), ["ERR"]);
///
/// let session: SessionId = "AAAAAAAAAAAAAAAAAAAAAA".parse()?;
/// let good = Accepted::new("alice", session, Duration::from_secs(60));
/// let reaction = line.judged(Ok(&good));
/// assert_eq!(reaction.replies(), ["OK"]);
/// assert!(matches!(reaction.next(), Next::Wait));
/// # Ok::<_, portcullis::session::InvalidSessionId>(())
/// ```
pub trait Dialect: fmt::Debug + Send + Sync + 'static {
    /// Begins with one socket. It is `admitted` if the handshake bore a credential.
    fn begin(&self, admitted: bool) -> Box<dyn Conversation>;

    /// How long a client may take to say who it is, all its attempts together; five seconds by
    /// default.
    fn time_limit(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// The close codes of its world, if it has any of its own. By default those of the
    /// [`Profile`](crate::Profile) hold.
    fn close_codes(&self) -> Option<CloseCodes> {
        None
    }

    /// Whether a request without a credential is let in to say who it is in a message; it is by
    /// default. A dialect for renewals alone says no.
    fn admits_pending(&self) -> bool {
        true
    }
}

/// The conversation with one client about who it is.
pub trait Conversation: Send {
    /// The client says something.
    fn hear(&mut self, message: Heard<'_>) -> Reaction;

    /// The verifier has answered about the credential that [`hear`](Self::hear) asked to
    /// [verify](Next::Verify).
    ///
    /// | reaction | the first credential is good | it is not | a later one, good or not |
    /// |---|---|---|---|
    /// | [`Wait`](Next::Wait) | the handler runs | the client may try again, three times in all | the session goes on |
    /// | [`Deliver`](Next::Deliver) | … and reads this first | the socket is closed | … and the application reads this next |
    /// | [`Close`](Next::Close) | the socket is closed | the socket is closed, with this frame | the socket is closed |
    /// | [`Pass`](Next::Pass) | as `Wait` | the socket is closed, with the code for it | as `Wait` |
    ///
    /// [`Verify`](Next::Verify) is no reaction to an answer.
    fn judged(&mut self, judgement: Result<&Accepted, &Denied>) -> Reaction;

    /// The session ends after this time. What to tell the client, if anything; nothing by default.
    /// It is asked if there is a [`warn_before`](crate::session::SessionsBuilder::warn_before).
    fn expiring(&mut self, after: Duration) -> Option<String> {
        let _ = after;
        None
    }
}

/// A message of the client.
#[non_exhaustive]
#[derive(Clone, Copy)]
pub enum Heard<'a> {
    /// A text message.
    Text(&'a str),

    /// A binary message.
    Binary(&'a [u8]),
}

/// A message may be a credential, so nothing of it is printed.
impl fmt::Debug for Heard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text([{} bytes])", text.len()),
            Self::Binary(bytes) => write!(f, "Binary([{} bytes])", bytes.len()),
        }
    }
}

/// What to do about a message of the client: what to reply, and what then.
pub struct Reaction {
    pub(crate) replies: Vec<String>,
    pub(crate) next: Next,
}

/// What becomes of a message.
#[non_exhaustive]
#[derive(Debug)]
pub enum Next {
    /// It is the application's, and is delivered as it is. Before the identity stands it closes the
    /// socket.
    Pass,

    /// The application gets this text in its place.
    Deliver(String),

    /// It was for the dialect, and the application does not see it.
    Wait,

    /// It bears a credential, which the verifier is to be asked about.
    Verify(Credential),

    /// The socket is closed.
    Close(CloseFrame),
}

impl Reaction {
    /// Sends `reply` before it does what it does.
    #[must_use]
    pub fn reply(mut self, reply: impl Into<String>) -> Self {
        self.replies.push(reply.into());
        self
    }

    /// What the client hears, in this order.
    pub fn replies(&self) -> &[String] {
        &self.replies
    }

    /// What becomes of the message.
    pub fn next(&self) -> &Next {
        &self.next
    }
}

/// A reply may say a token back to the client, so nothing of it is printed.
impl fmt::Debug for Reaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reaction")
            .field("replies", &self.replies.len())
            .field("next", &self.next)
            .finish()
    }
}

impl From<Next> for Reaction {
    fn from(next: Next) -> Self {
        Self {
            replies: Vec::new(),
            next,
        }
    }
}

/// The credential that a client spoke is good.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Accepted {
    /// Whose it is.
    pub subject: Box<str>,

    /// The credential's own name, if it has one.
    pub token_id: Option<Box<str>>,

    /// The session.
    pub session: SessionId,

    /// How long the session has.
    pub expires_in: Duration,

    /// The first credential of a pending socket, and not a renewal.
    pub first: bool,

    /// Whether it ends later than the one before it. If not, it is good, and the session goes on
    /// with the one before.
    pub later: bool,
}

impl Accepted {
    /// The first credential of a pending socket, without a name of its own. A test of a dialect sets
    /// the fields that it is about.
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

    pub(crate) fn by<C>(identity: &Identity<C>, session: &Session<C>) -> Self {
        Self {
            token_id: identity.token_id().map(Into::into),
            ..Self::new(identity.subject(), session.id(), session.expires_in())
        }
    }
}

/// The credential that a client spoke is not good.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Denied {
    /// What the verifier says.
    Unverified(VerifyError),

    /// The session is not renewed with it. After
    /// [`OtherSubject`](RenewError::OtherSubject) the session is being closed.
    NotRenewed(RenewError),
}

impl Denied {
    /// What the verifier said, as far as it did.
    pub fn verify_error(&self) -> VerifyError {
        match self {
            Self::Unverified(error) | Self::NotRenewed(RenewError::Unverified(error)) => *error,
            Self::NotRenewed(_) => VerifyError::Invalid,
        }
    }

    /// The frame to close a socket with, by these codes.
    pub fn frame(&self, codes: &CloseCodes) -> CloseFrame {
        let (code, reason) = match self.verify_error() {
            VerifyError::Expired => (codes.expired, "credential expired"),
            VerifyError::Forbidden => (codes.forbidden, "forbidden"),
            VerifyError::Unavailable { .. } => {
                (codes.unavailable, "cannot be verified at the moment")
            }
            _ => (codes.unauthorized, "credential not accepted"),
        };
        CloseFrame::new(code, reason)
    }
}

/// A bearer token that came as a message.
pub(crate) fn spoken(token: impl Into<String>) -> Credential {
    Credential::new(Carrier::Message, Scheme::Bearer, token)
}

/// Whether `word` may stand in a message of JSON, which may write any letter as an escape. Says
/// quickly of most messages that they need no parsing.
pub(crate) fn may_say(text: &str, word: &str) -> bool {
    text.contains(word) || text.contains('\\')
}

/// Longer credentials are refused, as they are in every other carrier.
pub(crate) const LONGEST_CREDENTIAL: usize = 8 * 1024;

/// The longest message by which a client may say who it is.
pub(crate) const LONGEST_MESSAGE: usize = 16 * 1024;
