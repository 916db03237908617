//! Close codes: which code and reason a socket closes with.
//!
//! [`CloseCodes`] is data of the [`Profile`](crate::Profile) or of the dialect of a route.
//! [`CloseCause`] is the reason why a session ended. Only this module maps causes to codes.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use portcullis_core::VerifyError;

/// The content of a close frame (RFC 6455 §5.5.1): a code, and a reason of at most 123 bytes.
///
/// Applications use the codes 4000 to 4999 (§7.4.2).
///
/// ```
/// use portcullis::{Sessions, close::CloseFrame, session::SessionId};
///
/// fn kick(sessions: &Sessions, id: SessionId) -> bool {
///     sessions.close(id, CloseFrame::new(4000, "the room is closed"))
/// }
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CloseFrame {
    code: u16,
    reason: Cow<'static, str>,
}

impl CloseFrame {
    /// Creates a frame with this code and reason. A reason of more than 123 bytes is cut off.
    ///
    /// # Panics
    ///
    /// Panics if a close frame cannot contain the code: below 1000, above 4999, or one of 1004,
    /// 1005, 1006 and 1015 (RFC 6455 §7.4.2).
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        match Self::try_new(code, reason) {
            Ok(frame) => frame,
            Err(invalid) => panic!("{invalid}"),
        }
    }

    /// Creates a frame with a code that comes from a configuration or a request.
    ///
    /// ```
    /// use portcullis::close::{CloseCodeError, CloseFrame};
    ///
    /// fn closing(code: u16) -> Result<CloseFrame, CloseCodeError> {
    ///     CloseFrame::try_new(code, "the room is closed")
    /// }
    ///
    /// assert_eq!(closing(4000)?.code(), 4000);
    /// assert!(closing(1006).is_err());
    /// # Ok::<_, CloseCodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if a close frame cannot contain the code; see [`new`](Self::new).
    pub fn try_new(
        code: u16,
        reason: impl Into<Cow<'static, str>>,
    ) -> Result<Self, CloseCodeError> {
        check(code)?;
        let mut reason = reason.into();
        if reason.len() > MAX_REASON {
            let mut end = MAX_REASON;
            while !reason.is_char_boundary(end) {
                end -= 1;
            }
            reason = Cow::Owned(reason[..end].to_owned());
        }
        Ok(Self { code, reason })
    }

    /// Returns the code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// Returns the reason.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    #[cfg(feature = "axum")]
    pub(crate) fn into_reason(self) -> Cow<'static, str> {
        self.reason
    }
}

/// A close frame cannot contain this code (RFC 6455 §7.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CloseCodeError {
    code: u16,
}

impl fmt::Display for CloseCodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a close frame cannot contain the code {}; use 1000, 3000 to 3999 for registered codes, \
             or 4000 to 4999 for your own",
            self.code
        )
    }
}

impl std::error::Error for CloseCodeError {}

/// Why a session ended.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CloseCause {
    /// The client closed the socket, or its connection was lost.
    Client,

    /// The handler dropped the socket.
    Handler,

    /// The credential has expired, or the session has reached its maximum lifetime.
    Expired,

    /// The credential was revoked.
    Revoked,

    /// A re-check found that the verifier no longer accepts the credential.
    Refused,

    /// A renewal used a credential of another subject.
    OtherSubject,

    /// The verifier or the store of revocations was unavailable for too long.
    Unavailable,

    /// The client did not answer a ping, and sent nothing else; see
    /// [`ping_every`](crate::session::SessionsBuilder::ping_every).
    Unresponsive,

    /// The server is shutting down.
    Shutdown,

    /// The application closed the session, with this frame.
    Application(CloseFrame),
}

impl CloseCause {
    /// Returns the name that logs, metrics and audit records use.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Handler => "handler",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Refused => "refused",
            Self::OtherSubject => "other-subject",
            Self::Unavailable => "unavailable",
            Self::Unresponsive => "unresponsive",
            Self::Shutdown => "shutdown",
            Self::Application(_) => "application",
        }
    }
}

impl fmt::Display for CloseCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The close codes of one ecosystem.
///
/// The defaults are the registered codes of IANA: 3000 for a credential that is missing, invalid or
/// expired, 3003 for one that was revoked or does not allow the request, 3008 (timeout) for one
/// that did not arrive in time and for a client that does not answer a ping. RFC 6455 §7.4.1
/// defines 1001 (going away), and the registry 1013 (try again later).
///
/// Servers of older protocols close with 1008 (policy violation) for all of these, or with
/// unregistered codes such as 4401, 4403 and 4408. If clients expect other codes, set them:
///
/// ```
/// use portcullis::{Profile, close::CloseCodes};
///
/// let mut codes = CloseCodes::registered();
/// codes.expired = 4401;
/// codes.revoked = 4403;
/// let profile = Profile::default().close_codes(codes);
/// ```
///
/// A shutdown is 1001 in every ecosystem, even if its own servers send 1012 (service restart).
/// 1012 would promise that this server comes back. Clients reconnect after both.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CloseCodes {
    /// The credential is missing or invalid: 3000.
    pub unauthorized: u16,

    /// The credential does not allow this: 3003.
    pub forbidden: u16,

    /// No credential arrived in time: 3008.
    pub timeout: u16,

    /// The credential has expired: 3000.
    pub expired: u16,

    /// The credential was revoked, so the client should not try it again: 3003.
    pub revoked: u16,

    /// The verifier, or the store of revocations, is unavailable: 1013.
    pub unavailable: u16,

    /// The client does not answer a ping: 3008.
    ///
    /// Python's `websockets` sends 1011 (RFC 6455 §7.4.1), which means a fault of the server, and
    /// after which the client of graphql-ws does not retry. Clients retry after 3008.
    pub unresponsive: u16,

    /// The server is shutting down: 1001.
    pub shutdown: u16,
}

impl CloseCodes {
    /// Returns the registered codes; see the type.
    pub const fn registered() -> Self {
        Self {
            unauthorized: 3000,
            forbidden: 3003,
            timeout: 3008,
            expired: 3000,
            revoked: 3003,
            unavailable: 1013,
            unresponsive: 3008,
            shutdown: 1001,
        }
    }

    /// Returns the codes of graphql-ws (`graphql-transport-ws`).
    ///
    /// Its client does not retry after 4401. After 4403 it gets a new token and reconnects.
    pub const fn graphql() -> Self {
        Self {
            unauthorized: 4401,
            forbidden: 4403,
            timeout: 4408,
            expired: 4403,
            revoked: 4401,
            ..Self::registered()
        }
    }

    /// Returns the codes of Phoenix: 1001 when the server disconnects a user. The client then
    /// reconnects, and is refused.
    ///
    /// Phoenix refuses over HTTP and defines no codes for that. So a refusal
    /// [in band](crate::AuthLayer::refuse_in_band) has the registered codes, except 1001 for an
    /// expired credential.
    pub const fn phoenix() -> Self {
        Self {
            expired: 1001,
            revoked: 1001,
            ..Self::registered()
        }
    }

    /// Returns the codes of FHIR R4 as HAPI implements it: 1002 with a reason for a binding that is
    /// not accepted.
    ///
    /// FHIR defines no code for a binding that expires, is revoked or never arrives. The registered
    /// codes apply to these.
    pub const fn fhir() -> Self {
        Self {
            unauthorized: 1002,
            forbidden: 1002,
            ..Self::registered()
        }
    }

    /// Checks that close frames can contain all codes, so that a mistake shows when the profile is
    /// built and not when a session ends.
    ///
    /// # Panics
    ///
    /// Panics if one of them cannot be sent.
    pub(crate) fn assert_sendable(&self) {
        let Self {
            unauthorized,
            forbidden,
            timeout,
            expired,
            revoked,
            unavailable,
            unresponsive,
            shutdown,
        } = *self;
        for code in [
            unauthorized,
            forbidden,
            timeout,
            expired,
            revoked,
            unavailable,
            unresponsive,
            shutdown,
        ] {
            if let Err(invalid) = check(code) {
                panic!("{invalid}");
            }
        }
    }

    /// Returns the frame for a reason, with the text that clients see.
    pub(crate) fn frame(&self, reason: impl Into<CloseReason>) -> CloseFrame {
        let reason = reason.into();
        CloseFrame::new(self.code(reason), reason.as_str())
    }

    /// Returns the frame for the end of a session.
    pub(crate) fn frame_for_cause(&self, cause: &CloseCause) -> CloseFrame {
        let reason = match cause {
            // Normal closure: the client or the handler has ended the socket.
            CloseCause::Client | CloseCause::Handler => return CloseFrame::new(1000, ""),
            CloseCause::Application(frame) => return frame.clone(),
            CloseCause::Expired => CloseReason::Expired,
            CloseCause::Revoked => CloseReason::Revoked,
            CloseCause::Refused => CloseReason::Invalid,
            CloseCause::OtherSubject => CloseReason::OtherSubject,
            CloseCause::Unavailable => CloseReason::Unavailable,
            CloseCause::Unresponsive => CloseReason::Unresponsive,
            CloseCause::Shutdown => CloseReason::Shutdown,
        };
        self.frame(reason)
    }

    /// Returns the code for a reason.
    pub(crate) fn code(&self, reason: CloseReason) -> u16 {
        match reason {
            CloseReason::Invalid => self.unauthorized,
            CloseReason::Expired => self.expired,
            CloseReason::Forbidden | CloseReason::OtherSubject => self.forbidden,
            CloseReason::Revoked => self.revoked,
            CloseReason::Shutdown => self.shutdown,
            CloseReason::Unavailable => self.unavailable,
            CloseReason::Unresponsive => self.unresponsive,
        }
    }
}

/// The frames for clients that authenticate in a message.
#[cfg(feature = "dialects")]
impl CloseCodes {
    /// Returns the frame for a client that sent anything other than a credential.
    pub(crate) fn authentication_required(&self) -> CloseFrame {
        CloseFrame::new(self.unauthorized, "authentication required")
    }

    /// Returns the frame for a client that sent no credential in time.
    pub(crate) fn timed_out(&self) -> CloseFrame {
        CloseFrame::new(self.timeout, "no credential in time")
    }

    /// Returns the frame for a client that sent more than the limit of a credential.
    pub(crate) fn message_too_big(&self) -> CloseFrame {
        CloseFrame::new(1009, "message too big")
    }
}

impl Default for CloseCodes {
    fn default() -> Self {
        Self::registered()
    }
}

/// Why this side closes a socket. [`CloseCodes`] has a code for each reason.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CloseReason {
    Expired,
    Forbidden,
    Invalid,
    OtherSubject,
    Revoked,
    Shutdown,
    Unavailable,
    Unresponsive,
}

impl CloseReason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "credential expired",
            Self::Forbidden => "forbidden",
            Self::Invalid => "invalid credential",
            Self::OtherSubject => "credential of another subject",
            Self::Revoked => "credential revoked",
            Self::Shutdown => "server shutting down",
            Self::Unavailable => "verifier unavailable",
            Self::Unresponsive => "no answer to a ping",
        }
    }
}

impl From<VerifyError> for CloseReason {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Expired => Self::Expired,
            VerifyError::Forbidden => Self::Forbidden,
            VerifyError::Unavailable { .. } => Self::Unavailable,
            // Includes errors of later versions: an unknown error admits no client.
            _ => Self::Invalid,
        }
    }
}

fn check(code: u16) -> Result<(), CloseCodeError> {
    match code {
        1004..=1006 | 1015 => Err(CloseCodeError { code }),
        1000..5000 => Ok(()),
        _ => Err(CloseCodeError { code }),
    }
}

/// How long a client may take to answer a close frame. Then its connection is dropped.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// A control frame contains at most 125 bytes, and the code takes two of them.
const MAX_REASON: usize = 123;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsendable_codes_panic_when_set() {
        let sets: [fn(&mut CloseCodes) -> &mut u16; 8] = [
            |it| &mut it.unauthorized,
            |it| &mut it.forbidden,
            |it| &mut it.timeout,
            |it| &mut it.expired,
            |it| &mut it.revoked,
            |it| &mut it.unavailable,
            |it| &mut it.unresponsive,
            |it| &mut it.shutdown,
        ];
        for (set, code) in sets
            .into_iter()
            .zip([0, 999, 1004, 1005, 1006, 1015, 5000, u16::MAX])
        {
            let mut codes = CloseCodes::registered();
            *set(&mut codes) = code;
            let setting = std::panic::catch_unwind(|| codes.assert_sendable());
            assert!(setting.is_err(), "{code}");
        }
    }

    #[test]
    fn long_reasons_are_cut_between_characters() {
        let frame = CloseFrame::new(3000, "ä".repeat(62));
        assert_eq!(frame.reason().len(), 122);
        assert_eq!(CloseFrame::new(3000, "a".repeat(200)).reason().len(), 123);
    }

    /// Clients retry after this code. The client of graphql-ws does not after most codes below 2000.
    #[test]
    fn unresponsive_clients_get_one_code_everywhere() {
        let all = [
            CloseCodes::registered(),
            CloseCodes::graphql(),
            CloseCodes::phoenix(),
            CloseCodes::fhir(),
        ];
        for codes in all {
            let frame = codes.frame_for_cause(&CloseCause::Unresponsive);
            assert_eq!(frame, CloseFrame::new(3008, "no answer to a ping"));
        }
    }

    #[test]
    fn unsendable_codes_are_an_error() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 5000] {
            let invalid = CloseFrame::try_new(code, "").unwrap_err();
            let text = invalid.to_string();
            assert!(text.contains(&format!("the code {code};")), "{text}");
            let panic = std::panic::catch_unwind(|| CloseFrame::new(code, "")).unwrap_err();
            assert_eq!(panic.downcast_ref::<String>(), Some(&text));
        }
        for code in [1000, 1001, 1014, 3000, 4999] {
            assert_eq!(CloseFrame::new(code, "").code(), code);
            let frame = CloseFrame::try_new(code, "why");
            assert_eq!(frame, Ok(CloseFrame::new(code, "why")));
        }
    }
}
