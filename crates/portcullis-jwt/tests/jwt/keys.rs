//! What is taken for a key, and what is not.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{ECDSA_P256K1_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use portcullis_jwt::{Algorithm, ConfigError, Jwt, JwtError, Key, KeySet, MAX_KEYS};
use std::time::Duration;

use crate::support::{
    AUDIENCE, ISSUER, PAIRS, SECRET, encode, good_claims, pem, public_der, public_key, secret_key,
    sign, token, verifier,
};

fn says<T>(result: Result<T, ConfigError>, part: &str) {
    let error = result.err().expect("an error").to_string();
    assert!(error.contains(part), "{error:?} should say {part:?}");
}

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

fn p256(extra: &str) -> String {
    let point = PAIRS.p256.public_key().as_ref();
    let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
    format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"{extra}}}"#)
}

fn p384(extra: &str) -> String {
    let point = PAIRS.p384.public_key().as_ref();
    let (x, y) = (encode(&point[1..49]), encode(&point[49..]));
    format!(r#"{{"kty":"EC","crv":"P-384","x":"{x}","y":"{y}"{extra}}}"#)
}

fn ed25519(extra: &str) -> String {
    let x = encode(PAIRS.ed25519.public_key().as_ref());
    format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"{extra}}}"#)
}

fn rsa2048(extra: &str) -> String {
    let n = PAIRS.rsa.public_key().modulus();
    let n = encode(n.big_endian_without_leading_zero());
    format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB"{extra}}}"#)
}

fn oct(extra: &str) -> String {
    format!(r#"{{"kty":"oct","k":"{}"{extra}}}"#, encode(SECRET))
}

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
        let header = format!(r#"{{"alg":"{algorithm:?}"}}"#);
        assert!(
            jwt.check(&token(header, good_claims(), sign(algorithm)))
                .is_ok(),
            "{json}"
        );
    }
}

#[test]
fn jwks_that_are_no_keys_for_us() {
    const NOT_OURS: &str = "no key for the signatures";
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
        says(Key::from_jwk(&json), NOT_OURS);
    }
}

#[test]
fn jwks_that_are_wrong() {
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
            "`x` is no base64url",
        ),
        (rsa2048("").replace("AQAB", "AQAB="), "`e` is no base64url"),
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
        (p256(r#","kid":"a","kid":"b""#), "no JWK"),
        (p256(r#","x":"AA""#), "no JWK"),
        (p256(r#","kid":5"#), "no JWK"),
        ("[]".to_owned(), "no JWK"),
        ("null".to_owned(), "no JWK"),
        (String::new(), "no JWK"),
    ] {
        says(Key::from_jwk(&json), part);
    }
}

#[test]
fn sets_take_what_is_theirs_and_skip_what_is_not() {
    let json = format!(
        r#"{{"keys":[{},{},{},{},{{"kty":"new","a":1}}],"other":1}}"#,
        rsa2048(r#","kid":"r""#),
        p256(r#","kid":"e""#),
        p256(r#","kid":"x","use":"enc""#),
        ed25519(r#","kid":"d""#),
    );
    let keys = KeySet::from_jwks(&json).unwrap();
    let ids: Vec<_> = keys.iter().map(|key| key.id().unwrap()).collect();
    assert_eq!(ids, ["r", "e", "d"]);

    let jwt = Jwt::builder(keys).issuer(ISSUER).audience(AUDIENCE);
    let jwt = jwt
        .clock(crate::support::At(crate::support::NOW as f64))
        .build()
        .unwrap();
    for (id, algorithm) in [
        ("r", Algorithm::RS256),
        ("e", Algorithm::ES256),
        ("d", Algorithm::EdDSA),
    ] {
        let named = format!(r#"{{"alg":"{algorithm:?}","kid":"{id}"}}"#);
        assert!(
            jwt.check(&token(named, good_claims(), sign(algorithm)))
                .is_ok()
        );
        // The only key of its algorithm needs no name.
        let nameless = format!(r#"{{"alg":"{algorithm:?}"}}"#);
        assert!(
            jwt.check(&token(nameless, good_claims(), sign(algorithm)))
                .is_ok()
        );
        // A name belongs to its key alone.
        let crossed = format!(
            r#"{{"alg":"{algorithm:?}","kid":"{}"}}"#,
            if id == "r" { "e" } else { "r" }
        );
        let crossed = jwt.check(&token(crossed, good_claims(), sign(algorithm)));
        assert_eq!(crossed.err(), Some(JwtError::Key));
    }

    let set = |keys: &[String]| format!(r#"{{"keys":[{}]}}"#, keys.join(","));
    says(KeySet::from_jwks(&set(&[])), "no key");
    says(
        KeySet::from_jwks(&set(&[p256(r#","use":"enc""#)])),
        "no key",
    );
    says(
        KeySet::from_jwks(&set(&[p256(""), rsa2048(r#","d":"AA""#)])),
        "key 1 of the set",
    );
    says(
        KeySet::from_jwks(&set(&[p256(r#","kid":"a""#), p384(r#","kid":"a""#)])),
        "id \"a\"",
    );
    says(KeySet::from_jwks(&set(&[p256(""), p256("")])), "have no id");
    assert!(KeySet::from_jwks(&set(&[p256(""), p384("")])).is_ok());
    for json in [
        "",
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":null}"#,
        "<html>",
    ] {
        says(KeySet::from_jwks(json), "no key set");
    }
    says(KeySet::from_jwks(r#"{"keys":[1]}"#), "no JWK");
}

#[test]
fn secrets_stay_out_of_public_sets() {
    let set = |keys: &[String]| format!(r#"{{"keys":[{}]}}"#, keys.join(","));
    let secret = oct(r#","alg":"HS256","kid":"s""#);
    let public = p256(r#","kid":"p""#);
    says(
        KeySet::from_jwks(&set(std::slice::from_ref(&secret))),
        "from_secret_jwks",
    );
    says(
        KeySet::from_secret_jwks(&set(std::slice::from_ref(&public))),
        "from_jwks",
    );
    assert!(KeySet::from_secret_jwks(&set(std::slice::from_ref(&secret))).is_ok());
    for mixed in [
        set(&[secret.clone(), public.clone()]),
        set(&[public, secret]),
    ] {
        says(KeySet::from_jwks(&mixed), "any_of");
        says(KeySet::from_secret_jwks(&mixed), "any_of");
    }
    says(
        KeySet::new([secret_key(), public_key(Algorithm::RS256)]),
        "any_of",
    );
}

#[test]
fn sets_are_bounded_and_name_their_keys_apart() {
    let many = |count: usize| KeySet::new((0..count).map(|n| secret_key().with_id(n.to_string())));
    says(many(0), "no key");
    assert!(many(MAX_KEYS).is_ok());
    says(many(MAX_KEYS + 1), "more than");

    // Without a name, a token for two keys of one algorithm is for neither.
    let jwt = Jwt::builder(many(2).unwrap())
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .build()
        .unwrap();
    let nameless = token(r#"{"alg":"HS256"}"#, good_claims(), sign(Algorithm::HS256));
    assert_eq!(jwt.check(&nameless).err(), Some(JwtError::Key));
}

#[test]
fn a_verifier_says_what_it_misses() {
    let builder = || Jwt::builder(secret_key());
    says(builder().issuer("").audience(AUDIENCE).build(), "issuer");
    says(builder().issuer(ISSUER).audience(" ").build(), "audience");
    says(
        builder()
            .issuer(ISSUER)
            .audience("a")
            .or_audience("")
            .build(),
        "audience",
    );
    says(verifier(secret_key()).kind("").build(), "kind");
    says(verifier(secret_key()).kind("application/").build(), "kind");
    says(
        verifier(secret_key())
            .leeway(Duration::from_secs(61))
            .build(),
        "60 seconds",
    );
    assert!(
        verifier(secret_key())
            .leeway(Duration::from_secs(60))
            .build()
            .is_ok()
    );
    says(
        verifier(secret_key())
            .longest_lifetime(Duration::ZERO)
            .build(),
        "lifetime",
    );
    says(
        verifier(secret_key())
            .longest_lifetime(Duration::MAX)
            .build(),
        "lifetime",
    );
}

#[test]
fn insecure_opt_outs_drop_one_check_and_keep_the_types() {
    let open = Jwt::builder(secret_key())
        .insecure_any_issuer()
        .insecure_any_audience();
    let open = open
        .clock(crate::support::At(crate::support::NOW as f64))
        .build()
        .unwrap();
    let check = |replaced: &[(&str, &str)]| {
        let payload = crate::support::claims(replaced);
        open.check(&token(
            r#"{"alg":"HS256"}"#,
            payload,
            sign(Algorithm::HS256),
        ))
        .map(|identity| identity.issuer().map(str::to_owned))
    };
    assert_eq!(check(&[("iss", ""), ("aud", "")]), Ok(None));
    assert_eq!(
        check(&[("iss", "\"x\""), ("aud", "\"y\"")]),
        Ok(Some("x".to_owned()))
    );
    assert_eq!(check(&[("iss", "[\"x\"]")]), Err(JwtError::Claims));
    assert_eq!(check(&[("aud", "[1]")]), Err(JwtError::Claims));
    assert_eq!(check(&[("exp", "")]), Err(JwtError::NoExpiry));
    assert_eq!(check(&[("sub", "")]), Err(JwtError::Subject));
}

#[test]
fn an_audience_may_have_other_names() {
    let jwt = verifier(secret_key())
        .or_audience("https://chat.example")
        .build()
        .unwrap();
    for (audience, is_good) in [
        ("\"chat\"", true),
        ("\"https://chat.example\"", true),
        ("[\"https://chat.example\"]", true),
        ("\"https://other.example\"", false),
    ] {
        let payload = crate::support::claims(&[("aud", audience)]);
        let token = token(r#"{"alg":"HS256"}"#, payload, sign(Algorithm::HS256));
        assert_eq!(jwt.check(&token).is_ok(), is_good, "{audience}");
    }
}

#[test]
fn identities_hold_what_the_token_says() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Ours {
        room: String,
        admin: Option<bool>,
    }

    let jwt = verifier(secret_key()).claims::<Ours>().build().unwrap();
    let signed = |replaced: &[(&str, &str)]| {
        let payload = crate::support::claims(replaced);
        token(r#"{"alg":"HS256"}"#, payload, sign(Algorithm::HS256))
    };
    let identity = jwt.check(&signed(&[
        ("room", "\"r\\u00e4um\""),
        ("jti", "\"t-1\""),
        ("iat", "1899999990"),
        ("sub", "\"\\u0061lice\""),
    ]));
    let identity = identity.unwrap();
    let issued = std::time::UNIX_EPOCH + Duration::from_secs(1_899_999_990);
    assert_eq!(identity.subject(), "alice");
    assert_eq!(identity.issuer(), Some(ISSUER));
    assert_eq!(identity.token_id(), Some("t-1"));
    assert_eq!(identity.issued_at(), Some(issued));
    assert_eq!(
        *identity.claims(),
        Ours {
            room: "räum".to_owned(),
            admin: None
        }
    );

    // The application's type is as strict as it is written.
    for wrong in [
        &[][..],
        &[("room", "5")],
        &[("room", "\"r\""), ("admin", "\"yes\"")],
    ] {
        assert_eq!(jwt.check(&signed(wrong)).err(), Some(JwtError::Application));
    }
    // Expiry still comes last.
    let expired = signed(&[("exp", "1")]);
    assert_eq!(jwt.check(&expired).err(), Some(JwtError::Application));
    assert_eq!(
        jwt.check(&signed(&[("exp", "1"), ("room", "\"r\"")])).err(),
        Some(JwtError::Expired),
    );
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
