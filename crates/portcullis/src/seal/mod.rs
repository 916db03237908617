//! The encrypted cookie: a credential that a browser stores and cannot read.
//!
//! [`PersistTokenLayer`](crate::PersistTokenLayer) sets the cookie, and the carrier
//! [`CookieCarrier::sealed`](crate::carrier::CookieCarrier::sealed) reads it. Both get a clone of
//! the same [`SealedCookie`].
//!
//! The cookie contains the credential, the time at which it was sealed and the time at which it
//! ends, encrypted with AES-256-GCM-SIV (RFC 8452). The verifier checks the credential on every
//! request, so the cookie of a revoked token is refused immediately. The name of the cookie is
//! associated data of the encryption: a value that was moved to another name does not open.
//!
//! # Keys
//!
//! [`CookieKeys`] is a key ring: one key seals, and all of them open. To rotate, put a new key
//! first and keep the old one until the cookies that it sealed have ended:
//!
//! 1. Build a ring with [`CookieKeys::and_previous`].
//! 2. Install it with [`SealedCookie::replace_keys`].
//!
//! When a browser opens a page with a cookie of a previous key, the response contains the cookie
//! sealed with the new key. Its end stays the same. A cookie with an unknown key authenticates no
//! user, and the next page removes it.
//!
//! If several machines share the keys, first add the new key to all of them as a previous key. Seal
//! with it only after that, because each machine has to open the cookies of all others.

mod cookie;
mod key;
mod message;
mod set_cookie;

pub use self::cookie::SealedCookie;
pub(crate) use self::cookie::{OpenError, ReceivedCookie};
pub use self::key::{CookieKey, CookieKeyError, CookieKeys};
pub(crate) use self::message::Message;
pub(crate) use self::set_cookie::SetCookies;
