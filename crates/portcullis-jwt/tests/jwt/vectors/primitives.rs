//! The signatures of [Wycheproof](https://github.com/C2SP/wycheproof) below JWS.
//!
//! Their messages are not the signing input of a token, so `Key::verifies` verifies them, and this
//! file is a module of the crate.

use serde::Deserialize;
use serde_json::value::RawValue;

use self::published::{Stricter, Suite};
use super::Key;
use crate::{Algorithm, ConfigError};

#[path = "published.rs"]
mod published;

#[derive(Deserialize)]
struct Vectors {
    #[serde(rename = "testGroups")]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(rename = "publicKeyDer")]
    der: String,
    #[serde(rename = "publicKeyPem")]
    pem: String,
    #[serde(rename = "publicKeyJwk", alias = "keyJwk")]
    jwk: Option<Box<RawValue>>,
    tests: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    #[serde(rename = "tcId")]
    id: u64,
    /// `valid`, `invalid`, or `acceptable`, a legacy format that has to be refused here.
    result: String,
    msg: String,
    sig: String,
}

#[test]
fn es256() {
    let file = "wycheproof/ecdsa_secp256r1_sha256_p1363_test.json";
    run(file, Algorithm::ES256, 262);
}

#[test]
fn es384() {
    let file = "wycheproof/ecdsa_secp384r1_sha384_p1363_test.json";
    run(file, Algorithm::ES384, 280);
}

#[test]
fn eddsa() {
    run("wycheproof/ed25519_test.json", Algorithm::EdDSA, 151);
}

#[test]
fn rs256() {
    let file = "wycheproof/rsa_signature_2048_sha256_test.json";
    run(file, Algorithm::RS256, 259);
}

#[test]
fn ps256() {
    let file = "wycheproof/rsa_pss_2048_sha256_mgf1_32_test.json";
    run(file, Algorithm::PS256, 108);
}

fn run(file: &'static str, algorithm: Algorithm, minimum: usize) {
    let Some(mut suite) = Suite::open(file) else {
        return;
    };
    let vectors: Vectors = suite.read(file);
    for group in &vectors.groups {
        let mut keys = vec![
            Key::from_der(algorithm, &bytes(&group.der)),
            Key::from_pem(algorithm, &group.pem),
        ];
        keys.extend(group.jwk.as_ref().map(|jwk| Key::from_jwk(jwk.get())));
        for vector in &group.tests {
            let (id, message, signature) = (vector.id, bytes(&vector.msg), bytes(&vector.sig));
            let accepts = |key: &Result<Key, ConfigError>| match key {
                Ok(key) => key.algorithm() == algorithm && key.verifies(&message, &signature),
                Err(_) => false,
            };
            let is_accepted = accepts(&keys[0]);
            for key in &keys {
                assert_eq!(accepts(key), is_accepted, "{file}, {id}: {keys:?} differ");
            }
            suite.compare(&id.to_string(), vector.result == "valid", is_accepted);
        }
    }
    suite.finish(minimum, NO_DIFFERENCES);
}

const NO_DIFFERENCES: &[Stricter] = &[];

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .map(|digit| digit.to_digit(16).expect("a hexadecimal digit") as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}
