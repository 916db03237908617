//! Carriers: the parts of a handshake that can contain a credential.
//!
//! A carrier with its settings is plain data: [`AuthorizationCarrier`], [`SubprotocolCarrier`],
//! [`QueryCarrier`] and [`CookieCarrier`]. A [`Profile`](crate::Profile) lists the carriers of one
//! ecosystem.
//!
//! All carriers are parsed strictly, byte for byte, and the limits apply before any decoding. A
//! credential has at most [`MAX_CREDENTIAL`] bytes, a request at most [`MAX_ENTRIES`] subprotocols
//! and [`MAX_PAIRS`] query parameters, and all its cookies together at most [`MAX_COOKIES`] bytes.
//! Larger requests are refused with 431.
//!
//! Reading *removes* the credential from the request. No later step can see it, whether it is
//! accepted, refused or ignored.

mod authorization;
mod cookie;
mod decode;
mod lines;
mod query;
mod sec_websocket_protocol;
mod split;
mod subprotocol;

use portcullis_core::Credential;
pub use portcullis_core::{Carrier, CarrierKind, Scheme};

pub use self::authorization::AuthorizationCarrier;
pub use self::cookie::CookieCarrier;
#[cfg(feature = "cookie")]
pub(crate) use self::cookie::find as find_cookie;
pub use self::query::QueryCarrier;
#[cfg(feature = "cookie")]
pub(crate) use self::query::remove_parameter;
pub use self::sec_websocket_protocol::SecWebSocketProtocol;
pub(crate) use self::sec_websocket_protocol::{entries, has_entries};
pub(crate) use self::split::is_word;
pub use self::subprotocol::{SubprotocolCarrier, SubprotocolEncoding};

/// The maximum length of a decoded credential in bytes: 8 KiB.
pub const MAX_CREDENTIAL: usize = 8 * 1024;

/// The maximum number of subprotocols that a request may offer.
pub const MAX_ENTRIES: usize = 16;

/// The maximum number of query parameters, if the query is a carrier.
pub const MAX_PAIRS: usize = 64;

/// The maximum length of all `Cookie` headers together in bytes: 16 KiB.
pub const MAX_COOKIES: usize = 16 * 1024;

/// A carrier with its settings.
///
/// Every carrier converts into it, so that [`Profile::carrier`](crate::Profile::carrier) accepts all
/// of them.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum CarrierConfig {
    /// Reads the `Authorization` header.
    Authorization(AuthorizationCarrier),

    /// Reads a cookie.
    Cookie(CookieCarrier),

    /// Reads a parameter of the query.
    Query(QueryCarrier),

    /// Reads an entry of `Sec-WebSocket-Protocol`.
    Subprotocol(SubprotocolCarrier),
}

impl CarrierConfig {
    /// Returns the carrier.
    pub fn carrier(&self) -> Carrier {
        match self {
            Self::Authorization(_) => Carrier::Authorization,
            Self::Cookie(_) => Carrier::Cookie,
            Self::Query(_) => Carrier::Query,
            Self::Subprotocol(_) => Carrier::Subprotocol,
        }
    }
}

impl From<AuthorizationCarrier> for CarrierConfig {
    fn from(carrier: AuthorizationCarrier) -> Self {
        Self::Authorization(carrier)
    }
}

impl From<CookieCarrier> for CarrierConfig {
    fn from(carrier: CookieCarrier) -> Self {
        Self::Cookie(carrier)
    }
}

impl From<QueryCarrier> for CarrierConfig {
    fn from(carrier: QueryCarrier) -> Self {
        Self::Query(carrier)
    }
}

impl From<SubprotocolCarrier> for CarrierConfig {
    fn from(carrier: SubprotocolCarrier) -> Self {
        Self::Subprotocol(carrier)
    }
}

/// The credential that was removed from a carrier, if there was one.
pub(crate) type Taken = Result<Option<Credential>, Unreadable>;

/// Why the content of a carrier is not a credential.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unreadable {
    /// It is a sealed cookie that does not open or has expired.
    #[cfg(feature = "cookie")]
    BrokenSeal,

    /// It is malformed; the text says how.
    Malformed(&'static str),

    /// It exceeds one of the limits above.
    TooLarge,

    /// It has a scheme that is not accepted.
    Unsupported,
}
