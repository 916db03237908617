use std::fmt;

/// The part of a request, or of the messages after it, that contains a
/// [`Credential`](crate::Credential).
///
/// ```
/// use portcullis_core::{Carrier, CarrierKind};
///
/// assert_eq!(Carrier::Subprotocol.kind(), CarrierKind::Explicit);
/// assert_eq!(Carrier::Cookie.kind(), CarrierKind::Ambient);
/// assert_eq!(Carrier::Query.to_string(), "query");
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Carrier {
    /// The `Authorization` header (RFC 9110 §11.6.2). Browsers cannot set it on a WebSocket.
    Authorization,

    /// A cookie (RFC 6265). Browsers attach it automatically, even to requests of other sites.
    Cookie,

    /// A message on an open socket, in the format of a dialect.
    Message,

    /// A query parameter. URLs are stored in logs and histories; see `QueryCarrier` of portcullis.
    Query,

    /// An entry of `Sec-WebSocket-Protocol` (RFC 6455 §11.3.4), the only header of a WebSocket that
    /// a script in a browser can set.
    Subprotocol,
}

impl Carrier {
    /// Returns whether the client's code sets the credential, or the browser attaches it.
    pub const fn kind(self) -> CarrierKind {
        match self {
            Self::Cookie => CarrierKind::Ambient,
            Self::Authorization | Self::Message | Self::Query | Self::Subprotocol => {
                CarrierKind::Explicit
            }
        }
    }

    /// Returns the name that logs and metrics use, in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::Cookie => "cookie",
            Self::Message => "message",
            Self::Query => "query",
            Self::Subprotocol => "subprotocol",
        }
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a credential gets into its carrier.
///
/// An ambient credential proves nothing about the page that opened the socket (cross-site WebSocket
/// hijacking). So it needs an allowed `Origin`.
#[expect(
    clippy::exhaustive_enums,
    reason = "a credential is set by the client's code or it is not"
)]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CarrierKind {
    /// Attached automatically by the browser.
    Ambient,

    /// Set by the client's code.
    Explicit,
}
