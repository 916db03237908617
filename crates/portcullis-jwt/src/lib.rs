//! A [portcullis] verifier for JSON Web Tokens, with local keys.
//!
//! [`Jwt`] implements [`Verify`](portcullis_core::Verify), so `AuthLayer::new` accepts it. Build it
//! from the keys of one issuer:
//!
//! ```
//! use portcullis_jwt::{Algorithm, Jwt, Key};
//!
//! # let secret = ["s"; 32].concat(); // in a real program, from a file or the environment
//! let key = Key::from_secret(Algorithm::HS256, secret.as_bytes())?;
//! let jwt = Jwt::builder(key)
//!     .issuer("https://idp.example.com")
//!     .audience("chat")
//!     .build()?;
//!
//! let error = jwt.check("eyJhbGciOiJub25lIn0.e30.").unwrap_err();
//! assert_eq!(error.to_string(), "no key matches `kid` and `alg`");
//! # Ok::<_, portcullis_jwt::ConfigError>(())
//! ```
//!
//! The identity contains the registered claims: subject (`sub`), issuer (`iss`), token id (`jti`),
//! issue time (`iat`), expiry (`exp`), and scopes (`scope`, else `scp`). To read further claims,
//! register a type for them, and take [`Claims<Member>`](portcullis_core::Claims) in the handler:
//!
//! ```
//! # use portcullis_jwt::{ConfigError, Jwt, KeySet};
//! #[derive(serde::Deserialize)]
//! struct Member {
//!     email: String,
//!     groups: Vec<String>,
//! }
//!
//! # fn verifier(jwks: &str) -> Result<(), ConfigError> {
//! let jwt = Jwt::builder(KeySet::from_jwks(jwks)?) // the public keys of the identity provider
//!     .issuer("https://idp.example.com")
//!     .audience("chat")
//!     .kind("at+jwt") // accept only access tokens (RFC 9068)
//!     .claims::<Member>()
//!     .build()?;
//! # let _ = jwt;
//! # Ok(())
//! # }
//! ```
//!
//! To rotate keys without a restart, keep a clone of the verifier and call
//! [`replace_keys`](Jwt::replace_keys).
//!
//! # Validation
//!
//! The checks follow RFC 8725, JSON Web Token Best Current Practices:
//!
//! | section | check |
//! |---|---|
//! | 2.6, 2.7 JSON and encodings | UTF-8 only; names are unique in every object, at any depth; base64url is canonical |
//! | 3.1 algorithms | a [`Key`] is bound to one algorithm, and `alg` has to equal it; `none` matches no key |
//! | 3.2 appropriate algorithms | [a subset of RFC 7518 and RFC 8037](#algorithms); RSA encryption and JWE are not supported |
//! | 3.3 all operations | every token has one signature, which has to be valid; nested tokens (`cty`) are refused |
//! | 3.4 cryptographic inputs | points have to be on their curve and, for Ed25519, not of small order; checked when a key is created |
//! | 3.5 entropy of keys | a secret is at least as long as the hash; RSA keys have 2048 to 8192 bits and an odd exponent of at least 3, and do not come from the ROCA generator |
//! | 3.6 compression | `zip` is refused |
//! | 3.7 UTF-8 | other encodings are refused |
//! | 3.8 issuer and subject | `iss` is required and has to equal the issuer; keys belong to one issuer; `sub` is required |
//! | 3.9 audience | `aud` is required: a string or an array of strings that contains the audience |
//! | 3.10 received claims | `kid` only selects one of the configured keys; `jwk`, `jku`, `x5u` and `x5c` are ignored; names contain no control characters |
//! | 3.11 explicit typing | `typ` is missing or `JWT`; with [`kind`](JwtBuilder::kind), it is required and has to match |
//! | 3.12 exclusive rules | `typ`, issuer, audience and keys separate the kinds of tokens; build one verifier for each kind |
//!
//! In addition:
//!
//! * `crit` in any form, `b64` and `enc` are refused, since no extension is supported
//!   (RFC 7515 §4.1.11).
//! * `null` never counts as missing.
//! * A registered claim of the wrong type is refused, even if the verifier does not use it.
//! * A user name that was sent with the token (Basic authentication) has to equal `sub`.
//!
//! Media types (`typ`, `cty`) are compared without case, with or without `application/`
//! (RFC 7515 §4.1.9): `application/jwt` equals `JWT`.
//!
//! # Algorithms
//!
//! | algorithm | key | sources |
//! |---|---|---|
//! | HS256, HS384, HS512 | a secret of at least 32, 48, 64 bytes | bytes, JWK |
//! | RS256, RS384, RS512 | RSA of 2048 to 8192 bits | PEM, DER, JWK |
//! | PS256, PS384, PS512 | the same; the salt is as long as the hash | PEM, DER, JWK |
//! | ES256, ES384 | a point on P-256, P-384 | PEM, DER, JWK |
//! | EdDSA | a point on Ed25519 | PEM, DER, JWK |
//!
//! From any valid ECDSA signature, a second valid one can be computed, which RFC 7518 does not
//! forbid. So do not identify a token by its bytes: revoke it by `jti` or by subject.
//!
//! # Limits and defaults
//!
//! | limit | value | change it with |
//! |---|---|---|
//! | length of a token | [8 KiB](MAX_TOKEN_LENGTH) | |
//! | length of `sub` and `jti` | [1 KiB](MAX_NAME_LENGTH) | |
//! | depth of JSON | 128 | |
//! | keys in a set | [128](MAX_KEYS) | |
//! | signature checks for each token | 1 | |
//! | leeway for `exp`, `nbf`, `iat` | 30 s, at most [60 s](MAX_LEEWAY) | [`leeway`](JwtBuilder::leeway) |
//! | lifetime of an identity | 365 days from its verification | [`max_lifetime`](JwtBuilder::max_lifetime) |
//! | `typ` | `JWT` or missing | [`kind`](JwtBuilder::kind) |
//! | clock | the system clock | [`clock`](JwtBuilder::clock) |
//! | algorithm of an RSA JWK without `alg` | RS256 | `alg` in the JWK |
//!
//! Times are numbers of seconds, possibly with a fraction, from 0 to less than 2^64. If `exp` is
//! later than the lifetime allows, the token is accepted and its identity expires earlier. The
//! leeway applies to the check only: the expiry of an identity is `exp` itself, and a session adds
//! its own leeway.
//!
//! # Errors
//!
//! A client learns little about a refused token. It is
//! [`Expired`](portcullis_core::VerifyError::Expired) if it is valid except for its expiry, and
//! [`Unavailable`](portcullis_core::VerifyError::Unavailable) if the clock shows a time before 1970.
//! Everything else is [`Invalid`](portcullis_core::VerifyError::Invalid), including another audience
//! (RFC 9068 §4).
//!
//! Operators find the reason and the compared values in a [DEBUG event](Jwt#logging), and
//! [`Jwt::check`] returns the [reason](JwtError).
//!
//! # Cryptography
//!
//! aws-lc-rs verifies the signatures, with keys that are prepared once. [jsonwebtoken] only parses
//! JWKs. This crate enables none of its crypto backends, so a build may contain one of them, both or
//! none, and the application does not have to install a process-wide provider.
//!
//! [jsonwebtoken]: https://docs.rs/jsonwebtoken
//! [portcullis]: https://docs.rs/portcullis

mod active_keys;
mod algorithm;
mod builder;
mod claims;
mod error;
mod header;
mod json;
mod jwk;
mod key;
mod key_set;
mod rejection;
mod strength;
mod token;
mod validation;
mod verifier;

pub use algorithm::Algorithm;
pub use builder::{HasAudience, HasIssuer, JwtBuilder, MAX_LEEWAY};
pub use error::{ConfigError, JwtError};
pub use key::Key;
pub use key_set::{KeySet, MAX_KEYS};
pub use token::MAX_TOKEN_LENGTH;
pub use validation::MAX_NAME_LENGTH;
pub use verifier::Jwt;
