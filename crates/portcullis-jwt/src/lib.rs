//! JSON Web Tokens as a verifier of [portcullis], with keys at hand.
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
//! let refused = jwt.check("eyJhbGciOiJub25lIn0.e30.").unwrap_err();
//! assert_eq!(refused.to_string(), "no key goes by the token's `kid` and `alg`");
//! # Ok::<_, portcullis_jwt::ConfigError>(())
//! ```
//!
//! [`Jwt`] implements [`Verify`](portcullis_core::Verify), so it goes wherever portcullis takes a
//! verifier. The identity holds the registered claims: subject (`sub`), issuer (`iss`), token id
//! (`jti`), issue time (`iat`), expiry (`exp`), and scopes (`scope`, else `scp`). Claims of your
//! own come beside them, in your own type:
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
//! let jwt = Jwt::builder(KeySet::from_jwks(jwks)?) // the identity provider's public keys
//!     .issuer("https://idp.example.com")
//!     .audience("chat")
//!     .kind("at+jwt") // only access tokens of RFC 9068
//!     .claims::<Member>()
//!     .build()?;
//! # let _: Jwt<Member> = jwt;
//! # Ok(())
//! # }
//! ```
//!
//! Keys rotate without a pause: keep a clone of the verifier and call
//! [`replace_keys`](Jwt::replace_keys).
//!
//! # What is checked
//!
//! The checklist is RFC 8725, JSON Web Token Best Current Practices:
//!
//! | section | what we do |
//! |---|---|
//! | 2.6, 2.7 JSON and encodings | UTF-8 only; a name occurs once in an object, at any depth; base64url has one spelling |
//! | 3.1 algorithms | a [`Key`] is bound to one algorithm, and the token's `alg` only has to agree, to the letter; `none` is nobody's key |
//! | 3.2 appropriate algorithms | [those of RFC 7518 and RFC 8037](#algorithms) that still are; RSA encryption and all of JWE are out |
//! | 3.3 all operations | one signature, and the token is refused when it fails; nested tokens (`cty`) are refused |
//! | 3.4 cryptographic inputs | points are checked to be on their curve, of Ed25519 not of small order, when the key is made |
//! | 3.5 entropy of keys | a secret is as long as the hash or longer; RSA has 2048 to 8192 bits, an odd exponent from 3 on, and is not of the ROCA kind |
//! | 3.6 compression | `zip` is refused |
//! | 3.7 UTF-8 | anything else is refused |
//! | 3.8 issuer and subject | `iss` is required and equal to the issuer; keys belong to one issuer; `sub` is required |
//! | 3.9 audience | `aud` is required: our name, or an array of strings with our name among them |
//! | 3.10 received claims | `kid` only picks one of our keys; `jwk`, `jku`, `x5u` and `x5c` are never looked at; names have no control characters |
//! | 3.11 explicit typing | `typ` is absent or `JWT`; with [`kind`](JwtBuilder::kind), it is required and equal |
//! | 3.12 exclusive rules | by `typ`, issuer, audience and keys; make one verifier for each kind of token |
//!
//! Beyond it: `crit` in any form, `b64` and `enc` are refused, since we know no extension
//! (RFC 7515 §4.1.11); `null` is never the same as absent; a registered claim of the wrong type is
//! refused whether or not it would have been looked at; a user name that came beside the token has
//! to be its `sub`.
//!
//! A media type is compared without case, and may be written with `application/` or without it
//! (RFC 7515 §4.1.9): `application/jwt` is `JWT`.
//!
//! # Algorithms
//!
//! | name | key | what a [`Key`] is made from |
//! |---|---|---|
//! | HS256, HS384, HS512 | a secret of 32, 48, 64 bytes or more | bytes, JWK |
//! | RS256, RS384, RS512 | RSA of 2048 to 8192 bits | PEM, DER, JWK |
//! | PS256, PS384, PS512 | the same; the salt is as long as the hash | PEM, DER, JWK |
//! | ES256, ES384 | a point on P-256, P-384 | PEM, DER, JWK |
//! | EdDSA | a point on Ed25519 | PEM, DER, JWK |
//!
//! An ECDSA signature has a twin that holds as well, and RFC 7518 does not forbid it. So the bytes
//! of a token are no name for it: revoke by `jti` or by subject.
//!
//! # Limits and defaults
//!
//! | what | value | change it with |
//! |---|---|---|
//! | length of a token | [8 KiB](MAX_TOKEN_LENGTH) | |
//! | length of `sub` and `jti` | [1 KiB](MAX_NAME_LENGTH) | |
//! | depth of JSON | 128 | |
//! | keys in a set | [128](MAX_KEYS) | |
//! | signature checks for a token | 1 | |
//! | leeway for `exp`, `nbf`, `iat` | 30 s, [60 s](MAX_LEEWAY) at most | [`leeway`](JwtBuilder::leeway) |
//! | longest an identity lasts | 365 days from its verification | [`longest_lifetime`](JwtBuilder::longest_lifetime) |
//! | `typ` | `JWT` or absent | [`kind`](JwtBuilder::kind) |
//! | clock | the machine's | [`clock`](JwtBuilder::clock) |
//! | an RSA key in JSON without `alg` | RS256 | `alg` in the JSON |
//!
//! Dates are numbers from 0 on and below 2^64, whole or not. An `exp` that is further away than the
//! longest lifetime is good, and cut to it. An identity's expiry is `exp` itself: the leeway is only
//! for the decision, and a session adds its own.
//!
//! # What a client learns
//!
//! A token that is right but over is [`Expired`](portcullis_core::VerifyError::Expired), and a
//! clock before 1970 is [`Unavailable`](portcullis_core::VerifyError::Unavailable). Everything else
//! is [`Invalid`](portcullis_core::VerifyError::Invalid), a foreign audience too (RFC 9068 §4).
//! [`Jwt::check`] tells an operator [more](JwtError).
//!
//! # Cryptography
//!
//! Signatures are checked by aws-lc-rs, with keys that are prepared once. Of [jsonwebtoken] we take
//! the names of algorithms and the reading of JWKs, and turn on neither of its backends: a build may
//! have one of them, both or none, and no process-wide provider has to be installed.
//!
//! [jsonwebtoken]: https://docs.rs/jsonwebtoken
//! [portcullis]: https://docs.rs/portcullis

mod builder;
mod claims;
mod error;
mod header;
mod json;
mod jwk;
mod key;
mod key_set;
mod ring;
mod strength;
mod token;
mod verifier;

pub use builder::{JwtBuilder, MAX_LEEWAY, WantsAudience, WantsIssuer};
pub use error::{ConfigError, JwtError};
pub use jsonwebtoken::Algorithm;
pub use key::Key;
pub use key_set::{KeySet, MAX_KEYS};
pub use token::MAX_TOKEN_LENGTH;
pub use verifier::{Jwt, MAX_NAME_LENGTH};
