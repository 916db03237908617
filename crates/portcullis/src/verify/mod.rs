//! Verifiers that need no backend, and ways to combine verifiers.
//!
//! [`StaticTokens`] is a verifier of its own. [`any_of`] asks several in order, and [`VerifyExt`]
//! gives every verifier [`map`](VerifyExt::map), [`and_then`](VerifyExt::and_then),
//! [`cached`](VerifyExt::cached) and [`boxed`](VerifyExt::boxed).

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
