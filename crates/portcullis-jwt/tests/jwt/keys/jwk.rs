//! JSON Web Keys (RFC 7517).

use aws_lc_rs::signature::KeyPair as _;
use portcullis_jwt::{Algorithm, Key};

use crate::support::{PAIRS, SECRET, assert_error, encode, sign, token, valid_claims, verifier};

#[test]
fn jwks_are_bound_to_one_algorithm() {
    for (json, algorithm) in [
        (rsa2048(""), Algorithm::RS256),
        (rsa2048(r#","alg":"RS512""#), Algorithm::RS512),
        (rsa2048(r#","alg":"PS256""#), Algorithm::PS256),
        (p256(""), Algorithm::ES256),
        (p256(r#","alg":"ES256","use":"sig""#), Algorithm::ES256),
        (p384(r#","key_ops":["verify"]"#), Algorithm::ES384),
        (ed25519(r#","kid":"k""#), Algorithm::EdDSA),
        (
            ed25519(r#","x5c":["AA"],"x5t":"AA","ext":true"#),
            Algorithm::EdDSA,
        ),
        (
            oct(r#","alg":"HS512","key_ops":["sign","verify"]"#),
            Algorithm::HS512,
        ),
    ] {
        let key = Key::from_jwk(&json).unwrap();
        assert_eq!(key.algorithm(), algorithm, "{json}");
        let jwt = verifier(key).build().unwrap();
        let header = format!(r#"{{"alg":"{algorithm}"}}"#);
        assert!(
            jwt.check(&token(header, valid_claims(), sign(algorithm)))
                .is_ok(),
            "{json}"
        );
    }
}

#[test]
fn unusable_jwks_are_refused() {
    const UNUSABLE: &str = "the JWK verifies no signatures";
    for json in [
        p256(r#","use":"enc""#),
        p256(r#","use":"SIG""#),
        p256(r#","use":"""#),
        p256(r#","key_ops":["encrypt"]"#),
        p256(r#","key_ops":["sign"]"#),
        p256(r#","key_ops":[]"#),
        p256(r#","use":"sig","key_ops":["deriveKey"]"#),
        p256(r#","alg":"ECDH-ES""#),
        p256(r#","alg":"none""#),
        rsa2048(r#","alg":"RSA-OAEP""#),
        rsa2048(r#","alg":"RS1""#),
        p256("").replace("P-256", "secp256k1"),
        p256("").replace("P-256", "P-521"),
        p256("").replace("P-256", "Ed25519"),
        ed25519("").replace("Ed25519", "X25519"),
        ed25519("").replace("Ed25519", "P-256"),
        p256("").replace("\"EC\"", "\"ec\""),
        r#"{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}"#.to_owned(),
        r#"{"kty":"EC"}"#.to_owned(),
        "{}".to_owned(),
    ] {
        assert_error(Key::from_jwk(&json), UNUSABLE);
    }
}

#[test]
fn malformed_and_weak_jwks_are_refused() {
    let point = PAIRS.p256.public_key().as_ref();
    let cut = p256("").replace(&encode(&point[1..33]), &encode(&point[1..32]));
    let off_curve = p256("").replace(&encode(&point[33..]), &encode(&point[1..33]));
    for (json, part) in [
        (p256(r#","d":"AA""#), "private"),
        (rsa2048(r#","d":"AA","p":"AA""#), "private"),
        (ed25519(r#","d":"AA""#), "private"),
        (p256(r#","alg":"ES384""#), "does not fit"),
        (p256(r#","alg":"HS256""#), "does not fit"),
        (rsa2048(r#","alg":"ES256""#), "does not fit"),
        (rsa2048(r#","alg":"HS256""#), "does not fit"),
        (oct(r#","alg":"RS256""#), "does not fit"),
        (oct(""), "without `alg`"),
        (cut, "32 bytes"),
        (off_curve, "P-256"),
        (
            p256("").replace("\"x\":\"", "\"x\":\"="),
            "`x` is not unpadded base64url",
        ),
        (
            rsa2048("").replace("AQAB", "AQAB="),
            "`e` is not unpadded base64url",
        ),
        (
            rsa2048("").replace("\"n\":\"", "\"n\":\"AAAA"),
            "leading zeros",
        ),
        (
            r#"{"kty":"oct","alg":"HS256","k":""}"#.to_owned(),
            "0 bytes",
        ),
        (
            r#"{"kty":"oct","alg":"HS256","k":"c2hvcnQ"}"#.to_owned(),
            "5 bytes",
        ),
        (p256(r#","kid":"a","kid":"b""#), "not a JWK"),
        (p256(r#","x":"AA""#), "not a JWK"),
        (p256(r#","kid":5"#), "not a JWK"),
        ("[]".to_owned(), "not a JWK"),
        ("null".to_owned(), "not a JWK"),
        (String::new(), "not a JWK"),
    ] {
        assert_error(Key::from_jwk(&json), part);
    }
}

pub(super) fn p256(extra: &str) -> String {
    let point = PAIRS.p256.public_key().as_ref();
    let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
    format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"{extra}}}"#)
}

pub(super) fn p384(extra: &str) -> String {
    let point = PAIRS.p384.public_key().as_ref();
    let (x, y) = (encode(&point[1..49]), encode(&point[49..]));
    format!(r#"{{"kty":"EC","crv":"P-384","x":"{x}","y":"{y}"{extra}}}"#)
}

pub(super) fn ed25519(extra: &str) -> String {
    let x = encode(PAIRS.ed25519.public_key().as_ref());
    format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"{extra}}}"#)
}

pub(super) fn rsa2048(extra: &str) -> String {
    let n = PAIRS.rsa.public_key().modulus();
    let n = encode(n.big_endian_without_leading_zero());
    format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB"{extra}}}"#)
}

pub(super) fn oct(extra: &str) -> String {
    format!(r#"{{"kty":"oct","k":"{}"{extra}}}"#, encode(SECRET))
}
