//! The cost of a verification, next to the bare signature check and `jsonwebtoken::decode`.
//!
//! `cargo bench -p portcullis-jwt` prints nanoseconds, which are comparable within one run. For
//! reproducible instruction counts, run one case under callgrind:
//!
//! ```text
//! valgrind --tool=callgrind --toggle-collect='verify::rounds*' verify-… jwt-hs256 1000
//! ```

use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
};
use aws_lc_rs::{encoding::AsDer as _, hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, Validation};
use portcullis_core::{Credential, Verify as _};
use portcullis_jwt::{Algorithm, Jwt, Key};

const SECRET: &[u8; 32] = b"a secret that is thirty-two long";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [name, times] = &arguments[..] {
        let (_, algorithm) = name.split_once('-').expect("a case");
        let cases = cases(algorithm);
        let (_, run) = cases.iter().find(|(case, _)| case == name).expect("a case");
        rounds(run, times.parse().expect("a number of rounds"));
        return;
    }
    for algorithm in ["hs256", "es256", "eddsa", "rs256"] {
        for (name, run) in cases(algorithm) {
            println!("{name:24} {:>9.0} ns", nanoseconds(&run));
        }
    }
}

#[inline(never)]
fn rounds(run: &dyn Fn(), times: u32) {
    (0..times).for_each(|_| run());
}

/// Returns the median of eleven batches.
fn nanoseconds(run: &dyn Fn()) -> f64 {
    const ROUNDS: u32 = 200;
    let mut batches: Vec<Duration> = (0..11)
        .map(|_| {
            let start = Instant::now();
            rounds(run, ROUNDS);
            start.elapsed() / ROUNDS
        })
        .collect();
    batches.sort_unstable();
    batches[batches.len() / 2].as_secs_f64() * 1e9
}

type Case = (String, Box<dyn Fn()>);

fn cases(algorithm: &str) -> [Case; 3] {
    let random = SystemRandom::new();
    match algorithm {
        "hs256" => {
            let secret = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
            let signing = secret.clone();
            for_algorithm(
                Algorithm::HS256,
                Key::from_secret(Algorithm::HS256, SECRET).expect("a key"),
                DecodingKey::from_secret(SECRET).expect("a key"),
                |message| hmac::sign(&signing, message).as_ref().to_vec(),
                move |message, signature| hmac::verify(&secret, message, signature).is_ok(),
            )
        }
        "es256" => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
            let der = pair.public_key().as_der().expect("a key");
            let bare = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, der.as_ref());
            let bare = bare.expect("a key");
            for_algorithm(
                Algorithm::ES256,
                Key::from_der(Algorithm::ES256, der.as_ref()).expect("a key"),
                DecodingKey::from_ec_der(pair.public_key().as_ref()),
                |message| {
                    pair.sign(&random, message)
                        .expect("a signature")
                        .as_ref()
                        .to_vec()
                },
                move |message, signature| bare.verify_sig(message, signature).is_ok(),
            )
        }
        "eddsa" => {
            let pair = Ed25519KeyPair::generate().expect("a key");
            let der = pair.public_key().as_der().expect("a key");
            let bare = ParsedPublicKey::new(&ED25519, der.as_ref()).expect("a key");
            for_algorithm(
                Algorithm::EdDSA,
                Key::from_der(Algorithm::EdDSA, der.as_ref()).expect("a key"),
                DecodingKey::from_ed_der(pair.public_key().as_ref()),
                |message| pair.sign(message).as_ref().to_vec(),
                move |message, signature| bare.verify_sig(message, signature).is_ok(),
            )
        }
        "rs256" => {
            let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).expect("a key");
            let der = pair.public_key().as_der().expect("a key");
            let bare = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der.as_ref());
            let bare = bare.expect("a key");
            for_algorithm(
                Algorithm::RS256,
                Key::from_der(Algorithm::RS256, der.as_ref()).expect("a key"),
                DecodingKey::from_rsa_der(pair.public_key().as_ref()),
                |message| {
                    let mut signature = vec![0; pair.public_modulus_len()];
                    let signed = pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature);
                    signed.expect("a signature");
                    signature
                },
                move |message, signature| bare.verify_sig(message, signature).is_ok(),
            )
        }
        other => panic!("unknown algorithm {other}"),
    }
}

/// Returns the whole verification, the bare signature check, and `jsonwebtoken::decode` of one token.
fn for_algorithm(
    algorithm: Algorithm,
    key: Key,
    decoding_key: DecodingKey,
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
    check: impl Fn(&[u8], &[u8]) -> bool + 'static,
) -> [Case; 3] {
    let token = token(algorithm, sign);
    let (message, signature) = token.rsplit_once('.').expect("a token");
    let message = message.to_owned();
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");

    let jwt = Jwt::builder(key)
        .issuer("https://idp.example")
        .audience("chat")
        .build();
    let jwt = jwt.expect("a verifier");
    let credential = Credential::bearer(token.clone());

    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let theirs = algorithm.as_str().parse().expect("an algorithm of both");
    let mut validation = Validation::new(theirs);
    validation.set_audience(&["chat"]);
    validation.set_issuer(&["https://idp.example"]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.validate_nbf = true;

    let name = algorithm.as_str().to_lowercase();
    [
        (
            format!("jwt-{name}"),
            Box::new(move || {
                let identity = jwt.verify_now(black_box(&credential));
                assert!(black_box(identity).is_some_and(|identity| identity.is_ok()));
            }),
        ),
        (
            format!("bare-{name}"),
            Box::new(move || assert!(check(black_box(message.as_bytes()), &signature))),
        ),
        (
            format!("jsonwebtoken-{name}"),
            Box::new(move || {
                type Claims = serde_json::Map<String, serde_json::Value>;
                let data =
                    jsonwebtoken::decode::<Claims>(black_box(&token), &decoding_key, &validation);
                assert!(black_box(data).is_ok());
            }),
        ),
    ]
}

/// Builds a small token: 200 bytes with HS256.
fn token(algorithm: Algorithm, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let header = format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#);
    let claims = format!(
        r#"{{"iss":"https://idp.example","sub":"alice","aud":"chat","exp":{},"iat":{now}}}"#,
        now + 3600,
    );
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}
