//! Test vectors of the standards and of other projects.
//!
//! None of them is an access token: most contain text instead of claims. They test the steps up to
//! the signature, see [`is_signature_valid`].

mod published;
mod rfc;
mod rfc7520;
mod wycheproof;

use portcullis_jwt::{Jwt, JwtError, KeySet};

/// Returns whether a token that contains no claims has a valid signature.
///
/// The verifier reads the claims after it has verified the signature. So the signature is valid if
/// the claims are the reason for refusing the token.
fn is_signature_valid(keys: KeySet, token: &str) -> bool {
    let jwt = Jwt::builder(keys)
        .insecure_any_issuer()
        .insecure_any_audience();
    let refused = jwt.build().unwrap().check(token).err();
    refused.expect("a token without claims") == JwtError::Claims
}
