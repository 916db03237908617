//! Verifiers that need no backend, and ways to combine verifiers.

mod static_tokens;

pub use portcullis_core::{Verify, VerifyError};

pub use self::static_tokens::{StaticToken, StaticTokenError, StaticTokens};
