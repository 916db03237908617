//! Verifiers with several audiences. The identity names the one that its token is for, since a
//! session compares it with the audience of a renewal.

use portcullis_jwt::{Algorithm, Jwt, JwtBuilder, JwtError, Key};

use crate::support::{At, ISSUER, NOW, claims, secret_key, sign, token, verifier};

/// Returns the audience of the identity for a token with this `aud`.
fn audience_of(jwt: &Jwt, aud: &str) -> Result<Option<String>, JwtError> {
    let payload = claims(&[("aud", aud)]);
    let token = token(r#"{"alg":"HS256"}"#, payload, sign(Algorithm::HS256));
    let identity = jwt.check(&token)?;
    Ok(identity.audience().map(str::to_owned))
}

fn build(settings: impl FnOnce(Key) -> JwtBuilder) -> Jwt {
    settings(secret_key()).build().unwrap()
}

#[test]
fn every_configured_audience_is_accepted() {
    let jwt = verifier(secret_key())
        .or_audience("https://chat.example")
        .build()
        .unwrap();
    for (audience, is_accepted) in [
        ("\"chat\"", true),
        ("\"https://chat.example\"", true),
        ("[\"https://chat.example\"]", true),
        ("\"https://other.example\"", false),
    ] {
        let payload = claims(&[("aud", audience)]);
        let token = token(r#"{"alg":"HS256"}"#, payload, sign(Algorithm::HS256));
        assert_eq!(jwt.check(&token).is_ok(), is_accepted, "{audience}");
    }
}

#[test]
fn identity_names_the_audience_if_several_are_configured() {
    const NONE: Result<Option<&str>, JwtError> = Ok(None);
    const FOREIGN: Result<Option<&str>, JwtError> = Err(JwtError::Audience);
    let one = build(verifier);
    let two = build(|key| verifier(key).or_audience("mail"));
    let any = build(|key| {
        Jwt::builder(key)
            .issuer(ISSUER)
            .insecure_any_audience()
            .or_audience("mail")
            .clock(At(NOW as f64))
    });
    // `aud`, then the result for "chat", for "chat" or "mail", and for every audience.
    let rows = [
        // A single audience is not named.
        (r#""chat""#, NONE, Ok(Some("chat")), NONE),
        (r#""mail""#, FOREIGN, Ok(Some("mail")), NONE),
        (r#"["mail"]"#, FOREIGN, Ok(Some("mail")), NONE),
        (r#"["other","mail"]"#, FOREIGN, Ok(Some("mail")), NONE),
        // For both: the order of the verifier decides, so that a renewal with a token that lists
        // them in another order has the same audience.
        (r#"["chat","mail"]"#, NONE, Ok(Some("chat")), NONE),
        (r#"["mail","chat"]"#, NONE, Ok(Some("chat")), NONE),
        // The comparison is exact.
        (r#""Mail""#, FOREIGN, FOREIGN, NONE),
        (r#""mai""#, FOREIGN, FOREIGN, NONE),
        (r#""other""#, FOREIGN, FOREIGN, NONE),
        ("[]", FOREIGN, FOREIGN, NONE),
        ("", FOREIGN, FOREIGN, NONE),
    ];
    for (aud, of_one, of_two, of_any) in rows {
        for (jwt, expected) in [(&one, of_one), (&two, of_two), (&any, of_any)] {
            let expected = expected.map(|audience| audience.map(str::to_owned));
            assert_eq!(audience_of(jwt, aud), expected, "aud {aud}: {jwt:?}");
        }
    }
}
