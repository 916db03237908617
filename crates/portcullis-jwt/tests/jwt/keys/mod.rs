//! Valid and invalid keys.

mod jwk;
mod sets;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{ECDSA_P256K1_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use portcullis_jwt::{Algorithm, Jwt, Key, KeySet};

use crate::support::{
    AUDIENCE, ISSUER, PAIRS, SECRET, assert_error, encode, pem, public_der, public_key, sign,
    token, valid_claims, verifier,
};

#[test]
fn short_secrets_are_refused() {
    for (algorithm, length) in [
        (Algorithm::HS256, 32),
        (Algorithm::HS384, 48),
        (Algorithm::HS512, 64),
    ] {
        assert!(Key::from_secret(algorithm, &SECRET[..length]).is_ok());
        assert_error(
            Key::from_secret(algorithm, &SECRET[..length - 1]),
            &format!("{length} bytes"),
        );
        assert_error(Key::from_secret(algorithm, b""), "0 bytes");
    }
    let public = pem("PUBLIC KEY", &public_der(Algorithm::RS256));
    assert_error(
        Key::from_secret(Algorithm::HS256, public.as_bytes()),
        "from_pem",
    );
    assert_error(Key::from_secret(Algorithm::RS256, SECRET), "from_pem");
    assert_error(Key::from_der(Algorithm::HS256, SECRET), "from_secret");
}

#[test]
fn pem_public_keys_are_accepted_and_other_blocks_are_named() {
    for algorithm in [
        Algorithm::RS256,
        Algorithm::PS512,
        Algorithm::ES256,
        Algorithm::ES384,
    ] {
        let key = Key::from_pem(algorithm, pem("PUBLIC KEY", &public_der(algorithm))).unwrap();
        let jwt = verifier(key).build().unwrap();
        let header = format!(r#"{{"alg":"{algorithm}"}}"#);
        assert!(
            jwt.check(&token(header, valid_claims(), sign(algorithm)))
                .is_ok()
        );
    }
    let pkcs1 = pem("RSA PUBLIC KEY", PAIRS.rsa.public_key().as_ref());
    assert!(Key::from_pem(Algorithm::RS256, pkcs1).is_ok());

    let private = PAIRS.p256.to_pkcs8v1().unwrap();
    assert_error(
        Key::from_pem(Algorithm::ES256, pem("PRIVATE KEY", private.as_ref())),
        "-pubout",
    );
    assert_error(
        Key::from_pem(Algorithm::RS256, pem("RSA PRIVATE KEY", &[0])),
        "-pubout",
    );
    assert_error(
        Key::from_pem(Algorithm::ES256, pem("CERTIFICATE", &[0])),
        "x509",
    );
    assert_error(
        Key::from_pem(Algorithm::ES256, pem("X", &[0])),
        "PUBLIC KEY",
    );
    assert_error(Key::from_pem(Algorithm::ES256, "not pem"), "BEGIN");
    // A private key in DER has no label, but is still not a public key.
    assert_error(Key::from_der(Algorithm::ES256, private.as_ref()), "P-256");
}

#[test]
fn keys_for_another_algorithm_are_refused() {
    let algorithms = [
        Algorithm::RS256,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ];
    for key in algorithms {
        for algorithm in algorithms {
            let result = Key::from_der(algorithm, &public_der(key));
            assert_eq!(
                result.is_ok(),
                key == algorithm,
                "a key for {key:?} as {algorithm:?}"
            );
        }
    }
    let secp256k1 = EcdsaKeyPair::generate(&ECDSA_P256K1_SHA256_FIXED_SIGNING).unwrap();
    let der = secp256k1.public_key().as_der().unwrap();
    assert_error(Key::from_der(Algorithm::ES256, der.as_ref()), "P-256");
    for junk in [&[][..], &[0], &[4; 65], &[0x30, 0x80], &[7; 300]] {
        for algorithm in algorithms {
            assert!(Key::from_der(algorithm, junk).is_err());
        }
    }
}

#[test]
fn weak_keys_are_refused_from_every_source() {
    // An odd number of 1024 bits.
    let short = format!("{}3", "c".repeat(255));
    let modulus: Vec<u8> = (0..128)
        .map(|byte| u8::from_str_radix(&short[2 * byte..2 * byte + 2], 16).unwrap())
        .collect();
    let jwk = format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, encode(&modulus));
    assert_error(Key::from_jwk(&jwk), "1024 bits");
    assert_error(
        Key::from_der(Algorithm::RS256, &rsa_public_key(&modulus, &[1, 0, 1])),
        "1024 bits",
    );

    let modulus = PAIRS.rsa.public_key().modulus();
    let modulus = modulus.big_endian_without_leading_zero();
    for e in ["AQ", "Ag", "AQAA", "", "AA", "AAAAAAE"] {
        let jwk = format!(r#"{{"kty":"RSA","n":"{}","e":"{e}"}}"#, encode(modulus));
        assert_error(Key::from_jwk(&jwk), "exponent");
    }
    assert!(Key::from_der(Algorithm::RS256, &rsa_public_key(modulus, &[1])).is_err());
    assert!(Key::from_der(Algorithm::RS256, &rsa_public_key(modulus, &[1, 0, 1])).is_ok());

    let small = encode([1_u8].iter().chain(&[0; 31]).copied().collect::<Vec<_>>());
    let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{small}"}}"#);
    assert_error(Key::from_jwk(&jwk), "small order");
}

/// RFC 8017 §A.1.1, for numbers that need two bytes of length.
fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let length =
        |length: usize| [&[0x82], &u16::try_from(length).unwrap().to_be_bytes()[..]].concat();
    let short = |length: usize| vec![u8::try_from(length).unwrap()];
    let positive = [&[0][..], modulus].concat();
    let modulus_length = if positive.len() < 256 {
        vec![0x81, positive.len() as u8]
    } else {
        length(positive.len())
    };
    let body = [
        &[0x02],
        &modulus_length[..],
        &positive,
        &[0x02],
        &short(exponent.len()),
        exponent,
    ]
    .concat();
    let body_length = if body.len() < 256 {
        vec![0x81, body.len() as u8]
    } else {
        length(body.len())
    };
    [&[0x30], &body_length[..], &body].concat()
}

/// No `Debug` and no error contains a secret, in any of its usual encodings.
#[test]
fn secrets_are_never_printed() {
    const CANARY: &[u8; 40] = b"canary-7f3a9c-canary-7f3a9c-canary-7f3a9";
    let key = || {
        Key::from_secret(Algorithm::HS256, CANARY)
            .unwrap()
            .with_id("the-name")
    };
    let keys = KeySet::new([key()]).unwrap();
    let builder = Jwt::builder(keys.clone());
    let mut printed = vec![format!("{:?} {keys:?} {builder:?}", key())];
    let wants_audience = builder.issuer(ISSUER);
    printed.push(format!("{wants_audience:#?}"));
    let builder = wants_audience.audience(AUDIENCE);
    printed.push(format!("{builder:#?}"));
    let jwt = builder.build().unwrap();
    printed.push(format!("{jwt:#?} {:?}", jwt.keys()));
    let short = Key::from_secret(Algorithm::HS512, CANARY).unwrap_err();
    printed.push(format!("{short} {short:?}"));
    let json = format!(r#"{{"kty":"oct","alg":"HS512","k":"{}"}}"#, encode(CANARY));
    let short = Key::from_jwk(&json).unwrap_err();
    printed.push(format!("{short} {short:?}"));
    let error = Key::from_jwk(&json.replace("\"k\":\"", "\"k\":\"!")).unwrap_err();
    printed.push(format!("{error} {error:?}"));

    for text in &printed[..4] {
        assert!(
            text.contains("the-name") && text.contains("HS256"),
            "{text}"
        );
    }
    let hex: String = CANARY[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let list = format!("{:?}", &CANARY[..4]);
    for text in &printed {
        for form in [
            "canary",
            &encode(CANARY)[..16],
            &hex,
            list.trim_matches(['[', ']']),
        ] {
            assert!(!text.contains(form), "{text}");
        }
    }
    // Public keys are not secret, but too long for a log.
    let public = format!("{:?}", public_key(Algorithm::RS256));
    assert_eq!(public, "Key { id: None, algorithm: RS256, .. }");
}
