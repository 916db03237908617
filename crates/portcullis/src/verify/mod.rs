//! Verifiers without a backend, and combinators for all verifiers.
//!
//! [`StaticTokens`](crate::StaticTokens) is a verifier for a fixed list of tokens.
//! [`any_of`](crate::any_of) combines several verifiers. [`VerifyExt`](crate::VerifyExt) has the
//! combinators [`map`](crate::VerifyExt::map), [`and_then`](crate::VerifyExt::and_then),
//! [`cached`](crate::VerifyExt::cached) and [`boxed`](crate::VerifyExt::boxed).

mod and_then;
pub(crate) mod any_of;
mod boxed;
mod cached;
pub(crate) mod ext;
mod map;
pub(crate) mod static_tokens;

pub use portcullis_core::Handshake;

pub use self::and_then::AndThen;
pub use self::any_of::AnyOf;
#[cfg(test)]
pub(crate) use self::any_of::any_of;
pub use self::boxed::BoxVerifier;
pub use self::cached::{CacheConfig, Cached};
#[cfg(test)]
pub(crate) use self::ext::VerifyExt;
pub use self::map::Map;
#[cfg(test)]
pub(crate) use self::static_tokens::StaticTokens;
pub use self::static_tokens::{StaticToken, StaticTokenError};
