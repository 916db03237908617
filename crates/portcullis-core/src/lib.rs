//! The words of [portcullis]: what every crate of the house has to agree on, and nothing else.
//!
//! A verifier needs four of them. It is handed a [`Credential`], which tells the secret and the
//! [`Carrier`] it rode in; it answers with an [`Identity`] or a [`VerifyError`]; and it takes the
//! time from a [`Clock`].
//!
//! What the machines of one deployment share goes through a store: a [`TicketStore`] or a
//! [`RevocationStore`], which remembers a [`Revocation`] and tells it to every machine.
//!
//! This crate knows no runtime and no web framework, so that a verifier built on it compiles
//! without either.
//!
//! ```
//! use portcullis_core::{Credential, Identity, Verify, VerifyError};
//!
//! /// Everybody who knows the word is a guest.
//! #[derive(Debug)]
//! struct Password(&'static str);
//!
//! impl Verify for Password {
//!     type Claims = ();
//!
//!     async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
//!         match credential.expose_secret() == self.0 {
//!             true => Ok(Identity::new("guest")),
//!             false => Err(VerifyError::Invalid),
//!         }
//!     }
//! }
//! ```
//!
//! (The example compares with `==` to stay short. A real verifier compares digests in constant
//! time, as `StaticTokens` of portcullis does.)
//!
//! # Features
//!
//! | feature | adds | default |
//! |---|---|---|
//! | `axum` | [`Identity`] and `Option<Identity>` as extractors | no |
//! | `serde` | `Serialize` and `Deserialize` for [`Identity`], [`Scopes`] and [`Revocation`] | no |
//!
//! portcullis turns on `serde`, and `axum` with its own feature of that name.
//!
//! [portcullis]: https://docs.rs/portcullis

#![cfg_attr(docsrs, feature(doc_cfg))]

mod carrier;
mod clock;
mod credential;
#[cfg(feature = "axum")]
mod extract;
mod handshake;
mod identity;
mod missing;
mod revocation;
mod scope;
mod store;
mod verify;

pub use carrier::{Carrier, CarrierKind};
pub use clock::{Clock, SystemClock};
pub use credential::{Credential, Scheme};
pub use handshake::Handshake;
pub use identity::{Identity, IdentityBuilder, Proof};
pub use missing::MissingAuthLayer;
pub use revocation::{Revocation, Revoked};
pub use scope::Scopes;
pub use store::{Follower, RevocationStore, StoreError, TicketKey, TicketStore};
pub use verify::{Verify, VerifyError};
