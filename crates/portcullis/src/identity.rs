//! The parts of an [`Identity`](crate::Identity), and how its claims are read and serialized.

pub use portcullis_core::{
    ClaimsCodec, ClaimsError, ClaimsRejection, IdentityBuilder, IdentityRejection, Proof,
};
