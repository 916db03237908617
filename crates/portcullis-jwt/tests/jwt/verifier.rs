//! The settings of a verifier, its insecure switches, and the identities that it returns.

use std::time::{Duration, UNIX_EPOCH};

use portcullis_jwt::{Algorithm, Jwt, JwtError};

use crate::support::{
    AUDIENCE, At, ISSUER, NOW, assert_error, claims, secret_key, sign, token, verifier,
};

#[test]
fn invalid_settings_are_named() {
    let builder = || Jwt::builder(secret_key());
    assert_error(builder().issuer("").audience(AUDIENCE).build(), "issuer");
    assert_error(builder().issuer(ISSUER).audience(" ").build(), "audience");
    assert_error(
        builder()
            .issuer(ISSUER)
            .audience("a")
            .or_audience("")
            .build(),
        "audience",
    );
    assert_error(verifier(secret_key()).kind("").build(), "kind");
    assert_error(verifier(secret_key()).kind("application/").build(), "kind");
    assert_error(
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
    assert_error(
        verifier(secret_key()).max_lifetime(Duration::ZERO).build(),
        "lifetime",
    );
    assert_error(
        verifier(secret_key()).max_lifetime(Duration::MAX).build(),
        "lifetime",
    );
}

#[test]
fn insecure_switches_disable_one_check_and_keep_the_types() {
    let insecure = Jwt::builder(secret_key())
        .insecure_any_issuer()
        .insecure_any_audience();
    let insecure = insecure.clock(At(NOW as f64)).build().unwrap();
    let check = |replaced: &[(&str, &str)]| {
        let payload = claims(replaced);
        insecure
            .check(&token(
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
fn identity_contains_the_claims_of_the_token() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Member {
        tenant: String,
        admin: Option<bool>,
    }

    let jwt = verifier(secret_key()).claims::<Member>().build().unwrap();
    let signed = |replaced: &[(&str, &str)]| {
        let payload = claims(replaced);
        token(r#"{"alg":"HS256"}"#, payload, sign(Algorithm::HS256))
    };
    let identity = jwt.check(&signed(&[
        ("tenant", "\"r\\u00e4um\""),
        ("jti", "\"t-1\""),
        ("iat", "1899999990"),
        ("sub", "\"\\u0061lice\""),
    ]));
    let identity = identity.unwrap();
    let issued = UNIX_EPOCH + Duration::from_secs(1_899_999_990);
    assert_eq!(identity.subject(), "alice");
    assert_eq!(identity.issuer(), Some(ISSUER));
    assert_eq!(identity.token_id(), Some("t-1"));
    assert_eq!(identity.issued_at(), Some(issued));
    assert_eq!(
        *identity.claims::<Member>().unwrap(),
        Member {
            tenant: "räum".to_owned(),
            admin: None
        }
    );

    // A payload that does not deserialize is refused.
    for wrong in [
        &[][..],
        &[("tenant", "5")],
        &[("tenant", "\"r\""), ("admin", "\"yes\"")],
    ] {
        assert_eq!(jwt.check(&signed(wrong)).err(), Some(JwtError::Application));
    }
    // Expiry is checked last.
    let expired = signed(&[("exp", "1")]);
    assert_eq!(jwt.check(&expired).err(), Some(JwtError::Application));
    assert_eq!(
        jwt.check(&signed(&[("exp", "1"), ("tenant", "\"r\"")]))
            .err(),
        Some(JwtError::Expired),
    );
}
