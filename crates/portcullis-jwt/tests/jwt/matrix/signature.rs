//! Signatures of each algorithm: valid, altered, forged, and in the wrong format.

use aws_lc_rs::rsa::RsaPssSaltLength;
use aws_lc_rs::signature::{RSA_PSS_SHA256, RsaSignatureEncoding};
use portcullis_jwt::{Algorithm, JwtError, Key};

use super::{ACCEPTED, outcome};
use crate::support::{
    PAIRS, SECRET, ecdsa_signature, encode, public_key, rsa_signature, sign, token, valid_claims,
    verifier,
};

const PUBLIC: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

const SECRETS: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

fn any_key(algorithm: Algorithm) -> Key {
    if SECRETS.contains(&algorithm) {
        Key::from_secret(algorithm, SECRET).unwrap()
    } else {
        public_key(algorithm)
    }
}

#[test]
fn signature_is_accepted_by_its_own_key_only() {
    let all = || SECRETS.into_iter().chain(PUBLIC);
    for of_key in all() {
        let jwt = verifier(any_key(of_key)).build().unwrap();
        for of_token in all() {
            let header = format!(r#"{{"alg":"{of_token:?}"}}"#);
            let matching = token(&header, valid_claims(), sign(of_token));
            let expected = if of_token == of_key {
                ACCEPTED
            } else {
                Err(JwtError::Key)
            };
            assert_eq!(
                outcome(&jwt, &matching),
                expected,
                "{of_token:?} for {of_key:?}"
            );

            let header = format!(r#"{{"alg":"{of_key:?}"}}"#);
            let mismatched = token(&header, valid_claims(), sign(of_token));
            let expected = if of_token == of_key {
                ACCEPTED
            } else {
                Err(JwtError::Signature)
            };
            assert_eq!(
                outcome(&jwt, &mismatched),
                expected,
                "{of_token:?} as {of_key:?}"
            );
        }
    }
}

#[test]
fn altered_signatures_are_refused() {
    for algorithm in SECRETS.into_iter().chain(PUBLIC) {
        let jwt = verifier(any_key(algorithm)).build().unwrap();
        let header = format!(r#"{{"alg":"{algorithm}"}}"#);
        let message = format!("{}.{}", encode(header), encode(valid_claims()));
        let signature = sign(algorithm)(message.as_bytes());
        let with = |signature: &[u8]| outcome(&jwt, &format!("{message}.{}", encode(signature)));
        assert_eq!(with(&signature), ACCEPTED);

        let step = signature.len().div_ceil(40);
        for place in (0..signature.len()).step_by(step) {
            let mut changed = signature.clone();
            changed[place] ^= 1 << (place % 8);
            assert_eq!(
                with(&changed),
                Err(JwtError::Signature),
                "{algorithm:?} byte {place}"
            );
        }
        let longer = [&signature[..], &[0]].concat();
        let padded = [&[0], &signature[..]].concat();
        let half = &signature[..signature.len() / 2];
        let zeros = vec![0; signature.len()];
        let ones = vec![0xff; signature.len()];
        let cut = &signature[..signature.len() - 1];
        for bad in [&[], cut, half, &longer, &padded, &zeros, &ones] {
            assert_eq!(
                with(bad),
                Err(JwtError::Signature),
                "{algorithm:?} {}",
                bad.len()
            );
        }
        assert_eq!(with(&vec![1; 1025]), Err(JwtError::Signature));
        assert_eq!(with(&vec![1; 2000]), Err(JwtError::Malformed));
    }
}

/// CVE-2022-21449, and signatures in the format of X.509.
#[test]
fn forged_ecdsa_signatures_are_refused() {
    let jwt = verifier(public_key(Algorithm::ES256)).build().unwrap();
    let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let (zero, one) = ([0; 32], hex(&format!("{:0>64}", 1)));
    let as_asn1 = |message: &[u8]| ecdsa_signature(&PAIRS.p256_asn1, message);
    let header = r#"{"alg":"ES256"}"#;
    assert_eq!(
        outcome(&jwt, &token(header, valid_claims(), as_asn1)),
        Err(JwtError::Signature)
    );
    for r in [&zero[..], &one, &order] {
        for s in [&zero[..], &one, &order] {
            let forged = token(header, valid_claims(), |_| [r, s].concat());
            assert_eq!(outcome(&jwt, &forged), Err(JwtError::Signature));
        }
    }
    // RFC 7518 does not forbid a high s, so every signature has a second valid form. For this
    // reason, revocation goes by `jti` or subject and not by the bytes of a token.
    let honest = token(header, valid_claims(), sign(Algorithm::ES256));
    let (message, _) = honest.rsplit_once('.').unwrap();
    let signature = sign(Algorithm::ES256)(message.as_bytes());
    let mirrored = [&signature[..32], &minus(&order, &signature[32..])].concat();
    for signature in [signature, mirrored] {
        assert_eq!(
            outcome(&jwt, &format!("{message}.{}", encode(signature))),
            ACCEPTED
        );
    }
}

/// RFC 7518 §3.5: the salt of PS256 has 32 bytes.
#[test]
fn pss_with_another_salt_length_is_refused() {
    static NONE: RsaSignatureEncoding =
        RSA_PSS_SHA256.with_pss_salt_length(RsaPssSaltLength::Custom(0));
    static LONG: RsaSignatureEncoding =
        RSA_PSS_SHA256.with_pss_salt_length(RsaPssSaltLength::Custom(64));
    static LONGEST: RsaSignatureEncoding =
        RSA_PSS_SHA256.with_pss_salt_length(RsaPssSaltLength::Max);
    static RIGHT: RsaSignatureEncoding =
        RSA_PSS_SHA256.with_pss_salt_length(RsaPssSaltLength::Custom(32));
    let jwt = verifier(public_key(Algorithm::PS256)).build().unwrap();
    let signed = |encoding| {
        token(r#"{"alg":"PS256"}"#, valid_claims(), |message| {
            rsa_signature(encoding, message)
        })
    };
    for encoding in [&NONE, &LONG, &LONGEST] {
        assert_eq!(outcome(&jwt, &signed(encoding)), Err(JwtError::Signature));
    }
    assert_eq!(outcome(&jwt, &signed(&RIGHT)), ACCEPTED);
}

fn hex(digits: &str) -> Vec<u8> {
    let byte = |place| u8::from_str_radix(&digits[place..place + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// Subtracts two numbers of 32 bytes, the first of which is larger.
fn minus(large: &[u8], small: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut difference = vec![0; 32];
    for place in (0..32).rev() {
        let value = i16::from(large[place]) - i16::from(small[place]) - borrow;
        borrow = i16::from(value < 0);
        difference[place] = value.rem_euclid(256) as u8;
    }
    difference
}
