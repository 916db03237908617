//! What a verifier has to be told, what it may be told not to look at, and what it gives back.

use std::time::{Duration, UNIX_EPOCH};

use portcullis_jwt::{Algorithm, Jwt, JwtError};

use crate::support::{AUDIENCE, At, ISSUER, NOW, claims, says, secret_key, sign, token, verifier};

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
    let open = open.clock(At(NOW as f64)).build().unwrap();
    let check = |replaced: &[(&str, &str)]| {
        let payload = claims(replaced);
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
fn identities_hold_what_the_token_says() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Ours {
        room: String,
        admin: Option<bool>,
    }

    let jwt = verifier(secret_key()).claims::<Ours>().build().unwrap();
    let signed = |replaced: &[(&str, &str)]| {
        let payload = claims(replaced);
        token(r#"{"alg":"HS256"}"#, payload, sign(Algorithm::HS256))
    };
    let identity = jwt.check(&signed(&[
        ("room", "\"r\\u00e4um\""),
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
