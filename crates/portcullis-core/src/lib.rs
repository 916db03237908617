//! The types that every crate of [portcullis] shares: credentials, verifiers and identities.
//!
//! Depend on this crate to write a verifier or a store. It needs no async runtime and no web
//! framework. Applications depend on `portcullis`, which re-exports everything in here.
//!
//! A verifier implements [`Verify`]: it gets a [`Credential`] (the secret and the [`Carrier`] it
//! came in) and returns an [`Identity`] or a [`VerifyError`]. It reads the time from a [`Clock`].
//!
//! A store shares state between the machines of one deployment: a [`TicketStore`], or a
//! [`RevocationStore`] that keeps each [`Revocation`] and reports it to every machine.
//!
//! ```
//! use portcullis_core::{Credential, Identity, Verify, VerifyError};
//!
//! /// Admits every client that knows the password, as `guest`.
//! #[derive(Debug)]
//! struct Password(&'static str);
//!
//! impl Verify for Password {
//!     async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
//!         match credential.expose_secret() == self.0 {
//!             true => Ok(Identity::new("guest")),
//!             false => Err(VerifyError::Invalid),
//!         }
//!     }
//! }
//! ```
//!
//! The example compares with `==` to stay short. A real verifier compares digests in constant
//! time, as `StaticTokens` of portcullis does.
//!
//! # Features
//!
//! | feature | adds | default |
//! |---|---|---|
//! | `axum` | [`Identity`] and [`Claims`] as extractors | no |
//! | `serde` | `Serialize` and `Deserialize` for [`Scopes`] and [`Revocation`]; `ClaimsCodec` | no |
//!
//! [portcullis]: https://docs.rs/portcullis

#![cfg_attr(docsrs, feature(doc_cfg))]

mod carrier;
mod claims;
#[cfg(feature = "serde")]
mod claims_codec;
mod clock;
mod credential;
#[cfg(feature = "axum")]
mod extract;
mod handshake;
mod identity;
mod rejection;
mod revocation;
mod scope;
mod store;
mod verify;

pub use carrier::{Carrier, CarrierKind};
pub use claims::{Claims, ClaimsError};
#[cfg(feature = "serde")]
pub use claims_codec::ClaimsCodec;
pub use clock::{Clock, SystemClock};
pub use credential::{Credential, Scheme};
pub use handshake::Handshake;
pub use identity::{Identity, IdentityBuilder, Proof};
pub use rejection::{ClaimsRejection, IdentityRejection};
pub use revocation::{Revocation, Revoked};
pub use scope::Scopes;
pub use store::{Follower, RevocationStore, StoreError, TicketKey, TicketStore};
pub use verify::{Verify, VerifyError};
