use std::fmt;

/// A place in the handshake, or after it, where a [`Credential`](crate::Credential) can ride.
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

    /// A cookie (RFC 6265). Browsers send it by themselves, also for a page of somebody else.
    Cookie,

    /// A message of a socket that was opened without a credential, spoken in a dialect.
    Message,

    /// A parameter of the query. It ends up in logs and histories; see the docs of the reader.
    Query,

    /// An entry of `Sec-WebSocket-Protocol` (RFC 6455 §11.3.4), the one header a browser's script
    /// can fill.
    Subprotocol,
}

impl Carrier {
    /// Whether the client's own code put the credential there, or the browser did.
    pub const fn kind(self) -> CarrierKind {
        match self {
            Self::Cookie => CarrierKind::Ambient,
            Self::Authorization | Self::Message | Self::Query | Self::Subprotocol => {
                CarrierKind::Explicit
            }
        }
    }

    /// The carrier's name, in lower case, as logs and metrics print it.
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

/// Who put a credential into its carrier.
///
/// The difference decides about cross-site WebSocket hijacking: an ambient credential proves
/// nothing about the page that opened the socket, so it needs an allowed `Origin` beside it.
#[expect(
    clippy::exhaustive_enums,
    reason = "there is no third way to get into a request"
)]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CarrierKind {
    /// Attached by the browser by itself.
    Ambient,

    /// Put there by the client's own code.
    Explicit,
}
