//! Close codes: with which code a socket closes, and who decides it.
//!
//! [`CloseCodes`] is data of the [`Profile`](crate::Profile) or of the
//! [dialect](crate::dialect::Dialect::close_codes). [`CloseCause`] says why a session ended.

use std::borrow::Cow;
use std::fmt;

/// What a close frame says (RFC 6455 §5.5.1): a code, and a reason of at most 123 bytes.
///
/// Codes of one's own are 4000 to 4999 (§7.4.2).
///
/// ```
/// use portcullis::{close::CloseFrame, session::SessionId, Sessions};
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
    /// A frame with this code and reason. What is beyond 123 bytes of the reason is cut off.
    ///
    /// # Panics
    ///
    /// If no frame may bear the code: below 1000, above 4999, or one of 1004, 1005, 1006 and 1015
    /// (RFC 6455 §7.4.2).
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        match Self::try_new(code, reason) {
            Ok(frame) => frame,
            Err(invalid) => panic!("{invalid}"),
        }
    }

    /// The same for a code that the program does not know, such as one of a configuration or of a
    /// request.
    ///
    /// ```
    /// use portcullis::close::CloseFrame;
    /// use portcullis::close::CloseCodeError;
    ///
    /// fn farewell(code: u16) -> Result<CloseFrame, CloseCodeError> {
    ///     CloseFrame::try_new(code, "the room is closed")
    /// }
    ///
    /// assert_eq!(farewell(4000)?.code(), 4000);
    /// assert!(farewell(1006).is_err());
    /// # Ok::<_, CloseCodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If no frame may bear the code; see [`new`](Self::new).
    pub fn try_new(
        code: u16,
        reason: impl Into<Cow<'static, str>>,
    ) -> Result<Self, CloseCodeError> {
        check(code)?;
        let mut reason = reason.into();
        if reason.len() > LONGEST_REASON {
            let mut end = LONGEST_REASON;
            while !reason.is_char_boundary(end) {
                end -= 1;
            }
            reason = Cow::Owned(reason[..end].to_owned());
        }
        Ok(Self { code, reason })
    }

    /// The code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The reason.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    pub(crate) fn into_reason(self) -> Cow<'static, str> {
        self.reason
    }
}

/// No close frame may bear the code; see [`CloseFrame::new`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CloseCodeError {
    code: u16,
}

impl fmt::Display for CloseCodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a close frame cannot bear the code {}", self.code)
    }
}

impl std::error::Error for CloseCodeError {}

/// Why a session ended.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CloseCause {
    /// The client closed it, or its connection is gone.
    Client,

    /// The handler is done with it.
    Handler,

    /// The credential has ended, or the session has lasted as long as one may.
    Expired,

    /// The credential was taken back.
    Revoked,

    /// The verifier, asked again, no longer knows the credential.
    Refused,

    /// A renewal came with a credential of somebody else.
    OtherSubject,

    /// The verifier or the store of revocations was away for longer than is tolerated.
    Unavailable,

    /// The client has not answered a ping, and has said nothing else either; see
    /// [`ping_every`](super::SessionsBuilder::ping_every).
    Unresponsive,

    /// The server shuts down.
    Shutdown,

    /// The application closed it, with this frame.
    Application(CloseFrame),
}

impl CloseCause {
    /// The name that logs, metrics and audit records use.
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

/// The close codes of one ecosystem, as plain data.
///
/// The default is the IANA registry's: 3000 for a credential that is missing, bad or at its end,
/// 3003 for one that was taken back or is not good for this, 3008 (timeout) for one that did not
/// come in time, and for a client that does not answer a ping. RFC 6455 §7.4.1 has 1001 (going
/// away); the registry has 1013 (try again later).
///
/// Servers of older protocols close with 1008 (policy violation), which does not tell one of these
/// from another, or with 4401, 4403 and 4408, which are nobody's outside of one application. A
/// client that expects them gets them from codes of your own:
///
/// ```
/// use portcullis::{close::CloseCodes, Profile};
///
/// let mut codes = CloseCodes::registered();
/// codes.expired = 4401;
/// codes.revoked = 4403;
/// let profile = Profile::default().close_codes(codes);
/// ```
///
/// A shutdown is 1001 in every ecosystem, also where its own servers say 1012 (service restart)
/// when they are drained: that would promise that this one comes back. Their clients come again
/// after both.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CloseCodes {
    /// The credential is missing or bad: 3000.
    pub unauthorized: u16,

    /// The credential is not good for this: 3003.
    pub forbidden: u16,

    /// No credential came in time: 3008.
    pub timeout: u16,

    /// The credential has ended: 3000.
    pub expired: u16,

    /// The credential was taken back, and a new attempt is of no use: 3003.
    pub revoked: u16,

    /// Somebody cannot tell at the moment: 1013.
    pub unavailable: u16,

    /// The client does not answer a ping: 3008.
    ///
    /// Python's `websockets` says 1011 (RFC 6455 §7.4.1) here, which is the server's own mistake; the
    /// client of graphql-ws takes that for final. After 3008 clients come again.
    pub unresponsive: u16,

    /// The server shuts down: 1001.
    pub shutdown: u16,
}

impl CloseCodes {
    /// The frame for a client that sends something else than a credential first.
    pub(crate) fn authentication_required(&self) -> CloseFrame {
        CloseFrame::new(self.unauthorized, "authentication required")
    }

    /// The registry's codes; see the type.
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

    /// graphql-ws (`graphql-transport-ws`): 4401, which its client takes for final, and 4403, after
    /// which it fetches a new token and comes again.
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

    /// Phoenix: 1001 for a socket whose user is disconnected; its client then connects again, and
    /// is refused.
    ///
    /// Phoenix refuses in HTTP and has no codes for that, so a refusal that comes
    /// [in band](crate::AuthLayer::refuse_in_band) has the registry's; 1001 again if the credential
    /// has ended.
    pub const fn phoenix() -> Self {
        Self {
            expired: 1001,
            revoked: 1001,
            ..Self::registered()
        }
    }

    /// FHIR R4 as HAPI speaks it: 1002 with a reason for a binding that is not accepted.
    ///
    /// FHIR does not say how a socket is closed whose binding ends, is taken back or never comes;
    /// there the codes are the registry's.
    pub const fn fhir() -> Self {
        Self {
            unauthorized: 1002,
            forbidden: 1002,
            ..Self::registered()
        }
    }

    /// That each can be sent. A code that cannot would come to light when a session has to end.
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

    /// The frame for a cause; `None` where the other side has ended it.
    pub(crate) fn frame(&self, cause: &CloseCause) -> Option<CloseFrame> {
        let (code, reason) = match cause {
            CloseCause::Client | CloseCause::Handler => return None,
            CloseCause::Application(frame) => return Some(frame.clone()),
            CloseCause::Expired => (self.expired, "credential expired"),
            CloseCause::Revoked => (self.revoked, "credential revoked"),
            CloseCause::Refused => (self.unauthorized, "credential not accepted"),
            CloseCause::OtherSubject => (self.forbidden, "credential of another subject"),
            CloseCause::Unavailable => (self.unavailable, "cannot be verified at the moment"),
            CloseCause::Unresponsive => (self.unresponsive, "no answer to a ping"),
            CloseCause::Shutdown => (self.shutdown, "server shuts down"),
        };
        Some(CloseFrame::new(code, reason))
    }
}

impl Default for CloseCodes {
    fn default() -> Self {
        Self::registered()
    }
}

/// Whether a close frame may bear it (RFC 6455 §7.4).
fn check(code: u16) -> Result<(), CloseCodeError> {
    match code {
        1004..=1006 | 1015 => Err(CloseCodeError { code }),
        1000..5000 => Ok(()),
        _ => Err(CloseCodeError { code }),
    }
}

/// A control frame holds 125 bytes, and the code takes two.
const LONGEST_REASON: usize = 123;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_code_that_cannot_be_sent_is_refused() {
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
    fn a_long_reason_is_cut_between_letters() {
        let frame = CloseFrame::new(3000, "ä".repeat(62));
        assert_eq!(frame.reason().len(), 122);
        assert_eq!(CloseFrame::new(3000, "a".repeat(200)).reason().len(), 123);
    }

    /// Clients come again after it. That of graphql-ws does not after most codes below 2000.
    #[test]
    fn silence_has_one_code_everywhere() {
        let all = [
            CloseCodes::registered(),
            CloseCodes::graphql(),
            CloseCodes::phoenix(),
            CloseCodes::fhir(),
        ];
        for codes in all {
            let frame = codes.frame(&CloseCause::Unresponsive);
            assert_eq!(frame, Some(CloseFrame::new(3008, "no answer to a ping")));
        }
    }

    #[test]
    fn codes_that_no_frame_bears() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 5000] {
            let invalid = CloseFrame::try_new(code, "").unwrap_err();
            let text = format!("a close frame cannot bear the code {code}");
            assert_eq!(invalid.to_string(), text);
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
