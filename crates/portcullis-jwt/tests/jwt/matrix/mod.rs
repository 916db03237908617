//! The matrix of bad inputs, row by row, and the good ones beside them.
//!
//! Everything is signed with the right key unless the row is about the signature, so that no row is
//! refused for anything but its own reason. That reason is in the row.

mod claims;
mod header;
mod signature;
mod structure;

use portcullis_jwt::{Algorithm, Jwt, JwtError};

use crate::support::{secret_key, sign, token, verifier};

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

type Outcome = Result<(), JwtError>;
const GOOD: Outcome = Ok(());

fn outcome(jwt: &Jwt, token: &str) -> Outcome {
    jwt.check(token).map(|_| ())
}

fn hs256() -> Jwt {
    verifier(secret_key()).build().unwrap()
}

/// A token with these claims, signed right.
fn with_claims(payload: impl AsRef<[u8]>) -> String {
    token(HEADER, payload, sign(Algorithm::HS256))
}
