//! Several audiences of one verifier, and which of them an identity names: the one its token is
//! meant for, where there are several to tell apart. A renewal holds it against the one before.

use portcullis_jwt::{Algorithm, Jwt, JwtBuilder, JwtError, Key};

use crate::support::{At, ISSUER, NOW, claims, secret_key, sign, token, verifier};

/// The audience of the identity that comes of a token with this `aud`.
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
        let payload = claims(&[("aud", audience)]);
        let token = token(r#"{"alg":"HS256"}"#, payload, sign(Algorithm::HS256));
        assert_eq!(jwt.check(&token).is_ok(), is_good, "{audience}");
    }
}

#[test]
fn several_audiences_are_told_apart() {
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
    // What the token says; for "chat" alone, for "chat" or "mail", for whomever.
    let rows = [
        // Where there is one, it tells nothing.
        (r#""chat""#, NONE, Ok(Some("chat")), NONE),
        (r#""mail""#, FOREIGN, Ok(Some("mail")), NONE),
        (r#"["mail"]"#, FOREIGN, Ok(Some("mail")), NONE),
        (r#"["other","mail"]"#, FOREIGN, Ok(Some("mail")), NONE),
        // Meant for both: our own order decides, so that a renewal with the two the other way
        // round is none for another audience.
        (r#"["chat","mail"]"#, NONE, Ok(Some("chat")), NONE),
        (r#"["mail","chat"]"#, NONE, Ok(Some("chat")), NONE),
        // Another letter case, or a part of the name, is another audience.
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
