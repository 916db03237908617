//! What is taken for a key, and what is not.

mod jwk;
mod sets;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{ECDSA_P256K1_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use portcullis_jwt::{Algorithm, Jwt, Key, KeySet};

use crate::support::{
    AUDIENCE, ISSUER, PAIRS, SECRET, encode, good_claims, pem, public_der, public_key, says, sign,
    token, verifier,
};

#[test]
fn secrets_are_as_long_as_the_hash() {
    for (algorithm, length) in [
        (Algorithm::HS256, 32),
        (Algorithm::HS384, 48),
        (Algorithm::HS512, 64),
    ] {
        assert!(Key::from_secret(algorithm, &SECRET[..length]).is_ok());
        says(
            Key::from_secret(algorithm, &SECRET[..length - 1]),
            &format!("{length} bytes"),
        );
        says(Key::from_secret(algorithm, b""), "0 bytes");
    }
    let public = pem("PUBLIC KEY", &public_der(Algorithm::RS256));
    says(
        Key::from_secret(Algorithm::HS256, public.as_bytes()),
        "from_pem",
    );
    says(Key::from_secret(Algorithm::RS256, SECRET), "from_pem");
    says(Key::from_der(Algorithm::HS256, SECRET), "from_secret");
}

#[test]
fn pem_is_read_and_other_blocks_are_told_apart() {
    for algorithm in [
        Algorithm::RS256,
        Algorithm::PS512,
        Algorithm::ES256,
        Algorithm::ES384,
    ] {
        let key = Key::from_pem(algorithm, pem("PUBLIC KEY", &public_der(algorithm))).unwrap();
        let jwt = verifier(key).build().unwrap();
        let header = format!(r#"{{"alg":"{algorithm:?}"}}"#);
        assert!(
            jwt.check(&token(header, good_claims(), sign(algorithm)))
                .is_ok()
        );
    }
    let pkcs1 = pem("RSA PUBLIC KEY", PAIRS.rsa.public_key().as_ref());
    assert!(Key::from_pem(Algorithm::RS256, pkcs1).is_ok());

    let private = PAIRS.p256.to_pkcs8v1().unwrap();
    says(
        Key::from_pem(Algorithm::ES256, pem("PRIVATE KEY", private.as_ref())),
        "-pubout",
    );
    says(
        Key::from_pem(Algorithm::RS256, pem("RSA PRIVATE KEY", &[0])),
        "-pubout",
    );
    says(
        Key::from_pem(Algorithm::ES256, pem("CERTIFICATE", &[0])),
        "x509",
    );
    says(
        Key::from_pem(Algorithm::ES256, pem("X", &[0])),
        "PUBLIC KEY",
    );
    says(Key::from_pem(Algorithm::ES256, "no pem"), "BEGIN");
    // A private key in DER, without its label, is no public key either.
    says(Key::from_der(Algorithm::ES256, private.as_ref()), "P-256");
}

#[test]
fn keys_of_another_kind_are_refused() {
    let ours = [
        Algorithm::RS256,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ];
    for key in ours {
        for algorithm in ours {
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
    says(Key::from_der(Algorithm::ES256, der.as_ref()), "P-256");
    for junk in [&[][..], &[0], &[4; 65], &[0x30, 0x80], &[7; 300]] {
        for algorithm in ours {
            assert!(Key::from_der(algorithm, junk).is_err());
        }
    }
}

#[test]
fn weak_keys_are_refused_from_every_source() {
    // 1024 bits, as `openssl genrsa 1024` makes them.
    let short = format!("{}3", "c".repeat(255));
    let modulus: Vec<u8> = (0..128)
        .map(|byte| u8::from_str_radix(&short[2 * byte..2 * byte + 2], 16).unwrap())
        .collect();
    let jwk = format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, encode(&modulus));
    says(Key::from_jwk(&jwk), "1024 bits");
    says(
        Key::from_der(Algorithm::RS256, &rsa_public_key(&modulus, &[1, 0, 1])),
        "1024 bits",
    );

    let modulus = PAIRS.rsa.public_key().modulus();
    let modulus = modulus.big_endian_without_leading_zero();
    for e in ["AQ", "Ag", "AQAA", "", "AA", "AAAAAAE"] {
        let jwk = format!(r#"{{"kty":"RSA","n":"{}","e":"{e}"}}"#, encode(modulus));
        says(Key::from_jwk(&jwk), "exponent");
    }
    assert!(Key::from_der(Algorithm::RS256, &rsa_public_key(modulus, &[1])).is_err());
    assert!(Key::from_der(Algorithm::RS256, &rsa_public_key(modulus, &[1, 0, 1])).is_ok());

    let small = encode([1_u8].iter().chain(&[0; 31]).copied().collect::<Vec<_>>());
    let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{small}"}}"#);
    says(Key::from_jwk(&jwk), "small order");
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

/// A secret is in no `Debug` and in no error, in none of the forms a log would show it in.
#[test]
fn nothing_prints_a_key() {
    const CANARY: &[u8; 40] = b"canary-7f3a9c-canary-7f3a9c-canary-7f3a9";
    let key = || {
        Key::from_secret(Algorithm::HS256, CANARY)
            .unwrap()
            .with_id("the-name")
    };
    let keys = KeySet::new([key()]).unwrap();
    let wants_issuer = Jwt::builder(keys.clone());
    let mut printed = vec![format!("{:?} {keys:?} {wants_issuer:?}", key())];
    let wants_audience = wants_issuer.issuer(ISSUER);
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
    // A public key is no secret, but nobody wants to read one either.
    let public = format!("{:?}", public_key(Algorithm::RS256));
    assert_eq!(public, "Key { id: None, algorithm: RS256, .. }");
}
