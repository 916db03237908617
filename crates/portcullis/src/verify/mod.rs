//! Verifiers that need no backend, and ways to combine verifiers.
//!
//! [`StaticTokens`] is a verifier of its own. [`any_of`] asks several in order, and [`VerifyExt`]
//! gives every verifier [`map`](VerifyExt::map), [`and_then`](VerifyExt::and_then),
//! [`cached`](VerifyExt::cached) and [`boxed`](VerifyExt::boxed).

mod and_then;
mod any_of;
mod boxed;
mod cached;
mod ext;
mod map;
mod static_tokens;

pub use portcullis_core::{Verify, VerifyError};

pub use self::and_then::AndThen;
pub use self::any_of::{AnyOf, any_of};
pub use self::boxed::BoxVerifier;
pub use self::cached::{CacheConfig, Cached};
pub use self::ext::VerifyExt;
pub use self::map::Map;
pub use self::static_tokens::{StaticToken, StaticTokenError, StaticTokens};
