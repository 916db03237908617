//! The sealed cookie: a credential that a browser keeps and cannot read.
//!
//! [`PersistTokenLayer`](crate::PersistTokenLayer) seals, the reader
//! [`Cookie::sealed`](crate::carrier::Cookie::sealed) opens, and both are given the same
//! [`SealedCookie`].
//!
//! The cookie holds the credential itself, with the time it was sealed and the time it ends, under
//! AES-256-GCM-SIV (RFC 8452). So the verifier decides anew on every request, and a revoked token
//! ends the cookie with it. The cookie's name is bound to it as associated data: a value that is
//! moved to another name does not open.

mod cookie;
mod key;

pub use self::cookie::SealedCookie;
pub use self::key::{CookieKey, CookieKeyError, CookieKeys};
