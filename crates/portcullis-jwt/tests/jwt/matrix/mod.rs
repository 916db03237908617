//! Tables of valid and invalid tokens.
//!
//! Every token has a valid signature unless the row is about signatures, so that each row is refused
//! for its own reason. The row contains that reason.

mod claims;
mod header;
mod signature;
mod structure;

use portcullis_jwt::{Algorithm, Jwt, JwtError};

use crate::support::{secret_key, sign, token, verifier};

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

type Outcome = Result<(), JwtError>;
const ACCEPTED: Outcome = Ok(());

fn outcome(jwt: &Jwt, token: &str) -> Outcome {
    jwt.check(token).map(|_| ())
}

fn hs256() -> Jwt {
    verifier(secret_key()).build().unwrap()
}

/// Builds a token with these claims and a valid signature.
fn with_claims(payload: impl AsRef<[u8]>) -> String {
    token(HEADER, payload, sign(Algorithm::HS256))
}
