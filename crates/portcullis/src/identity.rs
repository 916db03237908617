//! The parts of an [`Identity`](crate::Identity), and how its claims are read and serialized.

#[cfg(feature = "tickets")]
pub use portcullis_core::ClaimsCodec;
pub use portcullis_core::{
    ClaimsError, ClaimsRejection, IdentityBuilder, IdentityRejection, Proof,
};
