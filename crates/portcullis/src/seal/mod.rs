//! The sealed cookie: a credential that a browser keeps and cannot read.
//!
//! [`PersistTokenLayer`](crate::PersistTokenLayer) seals, the reader
//! [`CookieCarrier::sealed`](crate::carrier::CookieCarrier::sealed) opens, and both are given the same
//! [`SealedCookie`].
//!
//! The cookie holds the credential itself, with the time it was sealed and the time it ends, under
//! AES-256-GCM-SIV (RFC 8452). So the verifier decides anew on every request, and a revoked token
//! ends the cookie with it. The cookie's name is bound to it as associated data: a value that is
//! moved to another name does not open.
//!
//! # Keys
//!
//! A ring of keys: one seals, and all of them open. To rotate, put a new key in front
//! ([`CookieKeys::and_previous`], [`SealedCookie::replace_keys`]) and keep the old one for as long
//! as a cookie may live. A browser that meanwhile opens a page gets its cookie sealed anew under
//! the new key, with the end it had. A cookie whose key is gone is nobody's, and the next page
//! removes it.
//!
//! Where several machines share the keys, teach all of them the new one first, as a previous key,
//! and let it seal only then: what one machine seals another must be able to open.

mod cookie;
mod key;
mod message;
mod set_cookie;

pub(crate) use self::cookie::Borne;
pub use self::cookie::SealedCookie;
pub use self::key::{CookieKey, CookieKeyError, CookieKeys};
pub(crate) use self::message::Message;
pub(crate) use self::set_cookie::SetCookies;
