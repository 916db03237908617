//! Sets of keys.

use portcullis_jwt::{Algorithm, Jwt, JwtError, KeySet, MAX_KEYS};

use super::jwk::{ed25519, oct, p256, p384, rsa2048};
use crate::support::{
    AUDIENCE, At, ISSUER, NOW, assert_error, public_key, secret_key, sign, token, valid_claims,
};

#[test]
fn usable_keys_of_a_jwk_set_are_read_and_others_skipped() {
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
    let jwt = jwt.clock(At(NOW as f64)).build().unwrap();
    for (id, algorithm) in [
        ("r", Algorithm::RS256),
        ("e", Algorithm::ES256),
        ("d", Algorithm::EdDSA),
    ] {
        let with_kid = format!(r#"{{"alg":"{algorithm}","kid":"{id}"}}"#);
        assert!(
            jwt.check(&token(with_kid, valid_claims(), sign(algorithm)))
                .is_ok()
        );
        // `kid` is not required for the only key of an algorithm.
        let without_kid = format!(r#"{{"alg":"{algorithm}"}}"#);
        assert!(
            jwt.check(&token(without_kid, valid_claims(), sign(algorithm)))
                .is_ok()
        );
        // A `kid` selects its own key only.
        let crossed = format!(
            r#"{{"alg":"{algorithm}","kid":"{}"}}"#,
            if id == "r" { "e" } else { "r" }
        );
        let crossed = jwt.check(&token(crossed, valid_claims(), sign(algorithm)));
        assert_eq!(crossed.err(), Some(JwtError::Key));
    }

    let set = |keys: &[String]| format!(r#"{{"keys":[{}]}}"#, keys.join(","));
    assert_error(KeySet::from_jwks(&set(&[])), "no key");
    assert_error(
        KeySet::from_jwks(&set(&[p256(r#","use":"enc""#)])),
        "no key",
    );
    assert_error(
        KeySet::from_jwks(&set(&[p256(""), rsa2048(r#","d":"AA""#)])),
        "key 1 of the set",
    );
    assert_error(
        KeySet::from_jwks(&set(&[p256(r#","kid":"a""#), p384(r#","kid":"a""#)])),
        "id \"a\"",
    );
    assert_error(KeySet::from_jwks(&set(&[p256(""), p256("")])), "have no id");
    assert!(KeySet::from_jwks(&set(&[p256(""), p384("")])).is_ok());
    for json in [
        "",
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":null}"#,
        "<html>",
    ] {
        assert_error(KeySet::from_jwks(json), "not a JWK Set");
    }
    assert_error(KeySet::from_jwks(r#"{"keys":[1]}"#), "not a JWK");
}

#[test]
fn secrets_and_public_keys_are_not_mixed() {
    let set = |keys: &[String]| format!(r#"{{"keys":[{}]}}"#, keys.join(","));
    let secret = oct(r#","alg":"HS256","kid":"s""#);
    let public = p256(r#","kid":"p""#);
    assert_error(
        KeySet::from_jwks(&set(std::slice::from_ref(&secret))),
        "from_secret_jwks",
    );
    assert_error(
        KeySet::from_secret_jwks(&set(std::slice::from_ref(&public))),
        "from_jwks",
    );
    assert!(KeySet::from_secret_jwks(&set(std::slice::from_ref(&secret))).is_ok());
    for mixed in [
        set(&[secret.clone(), public.clone()]),
        set(&[public, secret]),
    ] {
        assert_error(KeySet::from_jwks(&mixed), "any_of");
        assert_error(KeySet::from_secret_jwks(&mixed), "any_of");
    }
    assert_error(
        KeySet::new([secret_key(), public_key(Algorithm::RS256)]),
        "any_of",
    );
}

#[test]
fn sets_are_limited_and_keys_are_distinct() {
    let many = |count: usize| KeySet::new((0..count).map(|n| secret_key().with_id(n.to_string())));
    assert_error(many(0), "no key");
    assert!(many(MAX_KEYS).is_ok());
    assert_error(many(MAX_KEYS + 1), "more than");

    // Without a `kid`, a token matches neither of two keys for its algorithm.
    let jwt = Jwt::builder(many(2).unwrap())
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .build()
        .unwrap();
    let without_kid = token(r#"{"alg":"HS256"}"#, valid_claims(), sign(Algorithm::HS256));
    assert_eq!(jwt.check(&without_kid).err(), Some(JwtError::Key));
}
