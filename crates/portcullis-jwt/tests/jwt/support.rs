//! Keys, and tokens with arbitrary headers, payloads and signatures.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING,
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
    RsaSignatureEncoding,
};
use aws_lc_rs::{hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use portcullis_core::Clock;
use portcullis_jwt::{Algorithm, ConfigError, Jwt, JwtBuilder, Key};

pub(crate) const ISSUER: &str = "https://idp.example";
pub(crate) const AUDIENCE: &str = "chat";
pub(crate) const SECRET: &[u8; 64] =
    b"a secret of sixty-four bytes, which is enough for each of HS***.";

/// The time of the tests that do not use the system clock, in seconds since 1970.
pub(crate) const NOW: u64 = 1_900_000_000;

#[derive(Debug)]
pub(crate) struct At(pub(crate) f64);

impl Clock for At {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs_f64(self.0)
    }
}

/// Returns a builder with the defaults, except for the clock.
pub(crate) fn verifier(key: Key) -> JwtBuilder {
    Jwt::builder(key)
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .clock(At(NOW as f64))
}

pub(crate) fn secret_key() -> Key {
    Key::from_secret(Algorithm::HS256, SECRET).unwrap()
}

/// A key pair of each type, generated once.
pub(crate) struct Pairs {
    pub(crate) rsa: rsa::KeyPair,
    pub(crate) p256: EcdsaKeyPair,
    /// The key `p256`, but with signatures in the format of X.509 instead of JOSE.
    pub(crate) p256_asn1: EcdsaKeyPair,
    pub(crate) p384: EcdsaKeyPair,
    pub(crate) ed25519: Ed25519KeyPair,
}

pub(crate) static PAIRS: LazyLock<Pairs> = LazyLock::new(|| {
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let pkcs8 = p256.to_pkcs8v1().unwrap();
    Pairs {
        rsa: rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap(),
        p256_asn1: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref())
            .unwrap(),
        p256,
        p384: EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
        ed25519: Ed25519KeyPair::generate().unwrap(),
    }
});

/// Returns the public key for an algorithm as a `SubjectPublicKeyInfo`.
pub(crate) fn public_der(algorithm: Algorithm) -> Vec<u8> {
    let der = match algorithm {
        Algorithm::ES256 => PAIRS.p256.public_key().as_der(),
        Algorithm::ES384 => PAIRS.p384.public_key().as_der(),
        Algorithm::EdDSA => PAIRS.ed25519.public_key().as_der(),
        _ => PAIRS.rsa.public_key().as_der(),
    };
    der.unwrap().as_ref().to_vec()
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let lines: Vec<u8> = STANDARD.encode(der).into_bytes();
    let lines: Vec<&str> = lines
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

pub(crate) fn public_key(algorithm: Algorithm) -> Key {
    Key::from_der(algorithm, &public_der(algorithm)).unwrap()
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Builds a token from any header, payload and signature.
pub(crate) fn token(
    header: impl AsRef<[u8]>,
    payload: impl AsRef<[u8]>,
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
) -> String {
    let message = format!("{}.{}", encode(header), encode(payload));
    let signature = encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// Signs with `algorithm`.
pub(crate) fn sign(algorithm: Algorithm) -> impl Fn(&[u8]) -> Vec<u8> {
    move |message| match algorithm {
        Algorithm::HS256 => mac(hmac::HMAC_SHA256, SECRET, message),
        Algorithm::HS384 => mac(hmac::HMAC_SHA384, SECRET, message),
        Algorithm::HS512 => mac(hmac::HMAC_SHA512, SECRET, message),
        Algorithm::RS256 => rsa_signature(&RSA_PKCS1_SHA256, message),
        Algorithm::RS384 => rsa_signature(&RSA_PKCS1_SHA384, message),
        Algorithm::RS512 => rsa_signature(&RSA_PKCS1_SHA512, message),
        Algorithm::PS256 => rsa_signature(&RSA_PSS_SHA256, message),
        Algorithm::PS384 => rsa_signature(&RSA_PSS_SHA384, message),
        Algorithm::PS512 => rsa_signature(&RSA_PSS_SHA512, message),
        Algorithm::ES256 => ecdsa_signature(&PAIRS.p256, message),
        Algorithm::ES384 => ecdsa_signature(&PAIRS.p384, message),
        Algorithm::EdDSA => PAIRS.ed25519.sign(message).as_ref().to_vec(),
        other => panic!("no key for {other:?}"),
    }
}

pub(crate) fn mac(hash: hmac::Algorithm, secret: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hash, secret), message)
        .as_ref()
        .to_vec()
}

pub(crate) fn rsa_signature(encoding: &'static RsaSignatureEncoding, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; PAIRS.rsa.public_modulus_len()];
    PAIRS
        .rsa
        .sign(encoding, &SystemRandom::new(), message, &mut signature)
        .unwrap();
    signature
}

pub(crate) fn ecdsa_signature(pair: &EcdsaKeyPair, message: &[u8]) -> Vec<u8> {
    pair.sign(&SystemRandom::new(), message)
        .unwrap()
        .as_ref()
        .to_vec()
}

/// Returns the claims of a valid token.
pub(crate) fn valid_claims() -> String {
    claims(&[])
}

/// Returns the claims of a valid token with some of them replaced, or removed if the JSON is empty.
pub(crate) fn claims(replaced: &[(&str, &str)]) -> String {
    let valid = [
        ("iss", format!("{ISSUER:?}")),
        ("sub", "\"alice\"".to_owned()),
        ("aud", format!("{AUDIENCE:?}")),
        ("exp", (NOW + 600).to_string()),
    ];
    let replacement = |name| replaced.iter().find(|(other, _)| *other == name);
    let mut members: Vec<(&str, &str)> = valid
        .iter()
        .map(|(name, json)| {
            replacement(*name)
                .copied()
                .unwrap_or((*name, json.as_str()))
        })
        .collect();
    members.extend(
        replaced
            .iter()
            .filter(|(name, _)| valid.iter().all(|(other, _)| other != name)),
    );
    let members: Vec<String> = members
        .iter()
        .filter(|(_, json)| !json.is_empty())
        .map(|(name, json)| format!("{name:?}:{json}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// Asserts that the message of the error contains `part`.
pub(crate) fn assert_error<T>(result: Result<T, ConfigError>, part: &str) {
    let error = result.err().expect("an error").to_string();
    assert!(error.contains(part), "{error:?} does not contain {part:?}");
}
