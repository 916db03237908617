//! Several keys, as JSON and as a list.

use portcullis_jwt::{Algorithm, Jwt, JwtError, KeySet, MAX_KEYS};

use super::jwk::{ed25519, oct, p256, p384, rsa2048};
use crate::support::{
    AUDIENCE, At, ISSUER, NOW, good_claims, public_key, says, secret_key, sign, token,
};

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
    let jwt = jwt.clock(At(NOW as f64)).build().unwrap();
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
