//! What the claims say, and when.

use std::time::{Duration, UNIX_EPOCH};

use portcullis_jwt::JwtError;

use super::{GOOD, HEADER, Outcome, hs256, outcome, with_claims};
use crate::support::{At, NOW, claims, secret_key, token, verifier};

/// A claim, its JSON, and what becomes of a token that is otherwise good.
fn assert_claims(rows: &[(&str, &str, Outcome)]) {
    let jwt = hs256();
    for (name, json, expected) in rows {
        let token = with_claims(claims(&[(name, json)]));
        assert_eq!(outcome(&jwt, &token), *expected, "{name}: {json}");
    }
}

#[test]
fn expiry() {
    const CLAIMS: Outcome = Err(JwtError::Claims);
    const EXPIRED: Outcome = Err(JwtError::Expired);
    assert_claims(&[
        ("exp", "", Err(JwtError::NoExpiry)),
        ("exp", "null", CLAIMS),
        ("exp", "\"1900000600\"", CLAIMS),
        ("exp", "true", CLAIMS),
        ("exp", "[1900000600]", CLAIMS),
        ("exp", "{}", CLAIMS),
        ("exp", "-1", CLAIMS),
        ("exp", "-1.5", CLAIMS),
        ("exp", "-9223372036854775808", CLAIMS),
        ("exp", "-1e300", CLAIMS),
        // No clock shows these; jsonwebtoken refuses them too.
        ("exp", "18446744073709551616", CLAIMS),
        ("exp", "1e300", CLAIMS),
        ("exp", "1e400", CLAIMS),
        ("exp", "NaN", CLAIMS),
        ("exp", "0x7fffffff", CLAIMS),
        ("exp", "1_900_000_600", CLAIMS),
        ("exp", "1900000600,\"exp\":1900000600", CLAIMS),
        ("exp", "1,\"\\u0065xp\":1900000600", CLAIMS),
        ("exp", "0", EXPIRED),
        ("exp", "-0", EXPIRED),
        ("exp", "1", EXPIRED),
        // The leeway is 30 seconds, and the second of expiry itself is too late.
        ("exp", "1899999969", EXPIRED),
        ("exp", "1899999970", EXPIRED),
        ("exp", "1899999970.5", GOOD),
        ("exp", "1899999971", GOOD),
        ("exp", "1900000000", GOOD),
        ("exp", "1900000600.25", GOOD),
        ("exp", "1.9000006e9", GOOD),
        // Good, but not for ever: see the next test.
        ("exp", "9007199254740992", GOOD),
        ("exp", "9223372036854775807", GOOD),
        ("exp", "9223372036854775808", GOOD),
        ("exp", "18446744073709551615", GOOD),
    ]);
}

#[test]
fn expiry_never_lasts_for_ever() {
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    for (exp, end) in [
        ((NOW + 600).to_string(), now + Duration::from_secs(600)),
        (
            format!("{}.5", NOW + 600),
            now + Duration::from_millis(600_500),
        ),
        // In its leeway a token is good, and its identity still ends when it says.
        ((NOW - 10).to_string(), now - Duration::from_secs(10)),
        ((NOW + 365 * 24 * 60 * 60).to_string(), now + year),
        ((NOW + 365 * 24 * 60 * 60 + 1).to_string(), now + year),
        ("9007199254740992".to_owned(), now + year),
        (i64::MAX.to_string(), now + year),
        (u64::MAX.to_string(), now + year),
        ("1e19".to_owned(), now + year),
    ] {
        let identity = hs256()
            .check(&with_claims(claims(&[("exp", &exp)])))
            .unwrap();
        assert_eq!(identity.expires_at(), Some(end), "exp {exp}");
    }
    let hour = Duration::from_secs(3600);
    let jwt = verifier(secret_key())
        .longest_lifetime(hour)
        .build()
        .unwrap();
    let identity = jwt.check(&with_claims(claims(&[("exp", "1e19")]))).unwrap();
    assert_eq!(identity.expires_at(), Some(now + hour));
}

#[test]
fn not_before_and_issued() {
    const CLAIMS: Outcome = Err(JwtError::Claims);
    for (name, to_come) in [
        ("nbf", Err(JwtError::NotYetValid)),
        ("iat", Err(JwtError::IssuedInFuture)),
    ] {
        assert_claims(&[
            (name, "", GOOD),
            (name, "null", CLAIMS),
            (name, "\"0\"", CLAIMS),
            (name, "-1", CLAIMS),
            (name, "-1e300", CLAIMS),
            (name, "[]", CLAIMS),
            (name, "false", CLAIMS),
            (name, "1e400", CLAIMS),
            (name, "0", GOOD),
            (name, "1900000000", GOOD),
            (name, "1900000030", GOOD),
            (name, "1900000030.5", to_come),
            (name, "1900000031", to_come),
            (name, "9007199254740992", to_come),
            (name, "9223372036854775807", to_come),
            (name, "18446744073709551615", to_come),
            (name, "1e19", to_come),
            (name, "1e300", CLAIMS),
        ]);
    }
}

#[test]
fn leeway_is_what_was_asked_for() {
    for (leeway, last) in [(0, NOW + 1), (30, NOW - 29), (60, NOW - 59)] {
        let jwt = verifier(secret_key())
            .leeway(Duration::from_secs(leeway))
            .build()
            .unwrap();
        let ends = |end: u64| outcome(&jwt, &with_claims(claims(&[("exp", &end.to_string())])));
        assert_eq!(ends(last), GOOD, "{leeway}");
        assert_eq!(ends(last - 1), Err(JwtError::Expired), "{leeway}");
    }
}

#[test]
fn audience() {
    const AUDIENCE: Outcome = Err(JwtError::Audience);
    const CLAIMS: Outcome = Err(JwtError::Claims);
    assert_claims(&[
        ("aud", "\"chat\"", GOOD),
        ("aud", "[\"chat\"]", GOOD),
        ("aud", "[\"other\",\"chat\"]", GOOD),
        ("aud", "[\"c\\u0068at\"]", GOOD),
        ("aud", "", AUDIENCE),
        ("aud", "\"\"", AUDIENCE),
        ("aud", "[]", AUDIENCE),
        ("aud", "\"other\"", AUDIENCE),
        ("aud", "\"chat \"", AUDIENCE),
        ("aud", "\" chat\"", AUDIENCE),
        ("aud", "\"CHAT\"", AUDIENCE),
        ("aud", "\"chat/\"", AUDIENCE),
        ("aud", "\"chat,other\"", AUDIENCE),
        ("aud", "[\"other\",\"chatx\"]", AUDIENCE),
        ("aud", "null", CLAIMS),
        ("aud", "5", CLAIMS),
        ("aud", "true", CLAIMS),
        ("aud", "{}", CLAIMS),
        ("aud", "{\"chat\":1}", CLAIMS),
        ("aud", "[1,\"chat\"]", CLAIMS),
        ("aud", "[\"chat\",1]", CLAIMS),
        ("aud", "[\"chat\",null]", CLAIMS),
        ("aud", "[[\"chat\"]]", CLAIMS),
        ("aud", "[{\"chat\":1}]", CLAIMS),
        ("aud", "\"other\",\"aud\":\"chat\"", CLAIMS),
    ]);
}

#[test]
fn issuer() {
    const ISSUER: Outcome = Err(JwtError::Issuer);
    const CLAIMS: Outcome = Err(JwtError::Claims);
    assert_claims(&[
        ("iss", "\"https://idp.example\"", GOOD),
        ("iss", "\"https:\\/\\/idp.example\"", GOOD),
        ("iss", "", ISSUER),
        ("iss", "\"\"", ISSUER),
        ("iss", "\"https://idp.example/\"", ISSUER),
        ("iss", "\"HTTPS://idp.example\"", ISSUER),
        ("iss", "\"https://IDP.example\"", ISSUER),
        ("iss", "\"http://idp.example\"", ISSUER),
        ("iss", "\"https://idp.example.evil.example\"", ISSUER),
        ("iss", "\"https://idp.example@evil.example\"", ISSUER),
        ("iss", "\"https://\u{456}dp.example\"", ISSUER), // a Cyrillic i
        ("iss", "\"http://169.254.169.254/\"", ISSUER),
        ("iss", "\"../x\"", ISSUER),
        ("iss", "\"https://idp.example\\u0000\"", ISSUER),
        ("iss", "null", CLAIMS),
        ("iss", "7", CLAIMS),
        ("iss", "[\"https://idp.example\"]", CLAIMS),
        ("iss", "{\"https://idp.example\":1}", CLAIMS),
        ("iss", "\"x\",\"iss\":\"https://idp.example\"", CLAIMS),
    ]);
}

#[test]
fn subject_and_token_id() {
    const CLAIMS: Outcome = Err(JwtError::Claims);
    let of_length = |length: usize| format!("\"{}\"", "s".repeat(length));
    for (name, refused, absent) in [
        ("sub", Err(JwtError::Subject), Err(JwtError::Subject)),
        ("jti", Err(JwtError::TokenId), GOOD),
    ] {
        assert_claims(&[
            (name, "\"alice\"", GOOD),
            (name, "\"Ālice Ω\"", GOOD),
            (name, &of_length(1024), GOOD),
            (name, &of_length(1025), refused),
            (name, "", absent),
            (name, "\"\"", refused),
            (name, "\"a\\nb\"", refused),
            (name, "\"a\\u0000\"", refused),
            (name, "\"a\\u0085b\"", refused),
            (name, "null", CLAIMS),
            (name, "5", CLAIMS),
            (name, "[\"alice\"]", CLAIMS),
            (name, "{}", CLAIMS),
            (name, &format!("\"alice\",{name:?}:\"bob\""), CLAIMS),
        ]);
    }
    let whole = with_claims(claims(&[("sub", &of_length(1024 * 1024))]));
    assert_eq!(outcome(&hs256(), &whole), Err(JwtError::TooLong));
}

#[test]
fn scopes() {
    const CLAIMS: Outcome = Err(JwtError::Claims);
    assert_claims(&[
        ("scope", "null", CLAIMS),
        ("scope", "[\"a\",\"b\"]", CLAIMS),
        ("scope", "{}", CLAIMS),
        ("scp", "null", CLAIMS),
        ("scp", "[\"a\",1]", CLAIMS),
        ("scp", "1", CLAIMS),
        ("scope", "\"a\",\"scope\":\"b\"", CLAIMS),
    ]);
    let jwt = hs256();
    for (replaced, scopes) in [
        (&[][..], ""),
        (&[("scope", "\"\"")], ""),
        (&[("scope", "\"b a\"")], "a b"),
        (&[("scope", "\"  a  a b \"")], "a b"),
        (&[("scp", "\"b a\"")], "a b"),
        (&[("scp", "[\"b\",\"a\"]")], "a b"),
        (&[("scp", "[]")], ""),
        (&[("scp", "[\"\"]")], ""),
        (&[("scope", "\"a\""), ("scp", "[\"admin\"]")], "a"),
    ] {
        let identity = jwt.check(&with_claims(claims(replaced))).unwrap();
        assert_eq!(identity.scopes().to_string(), scopes, "{replaced:?}");
    }
}

#[test]
fn occur_once() {
    assert_claims(&[
        ("x", "1", GOOD),
        ("x", "{\"a\":[{\"b\":1},{\"b\":2}]}", GOOD),
        ("x", "1,\"x\":1", Err(JwtError::Claims)),
        (
            "x",
            "{\"roles\":[],\"roles\":[\"admin\"]}",
            Err(JwtError::Claims),
        ),
        ("x", "[{\"a\":{\"b\":1,\"b\":1}}]", Err(JwtError::Claims)),
    ]);
}

/// Expiry is the last thing to be said: nobody learns from it that a wrong token was good once.
#[test]
fn that_expired_and_are_wrong_are_wrong() {
    let jwt = hs256();
    for (name, json, expected) in [
        ("iss", "\"x\"", JwtError::Issuer),
        ("aud", "\"x\"", JwtError::Audience),
        ("sub", "\"\"", JwtError::Subject),
        ("jti", "\"\"", JwtError::TokenId),
        ("nbf", "1e19", JwtError::NotYetValid),
        ("iat", "1e19", JwtError::IssuedInFuture),
    ] {
        let token = with_claims(claims(&[("exp", "1"), (name, json)]));
        assert_eq!(outcome(&jwt, &token), Err(expected), "{name}");
    }
    let forged = token(HEADER, claims(&[("exp", "1")]), |_| vec![0; 32]);
    assert_eq!(outcome(&jwt, &forged), Err(JwtError::Signature));
}

#[test]
fn at_odd_times() {
    let at = |time: f64| verifier(secret_key()).clock(At(time)).build().unwrap();
    let good = with_claims(claims(&[("iat", &NOW.to_string())]));
    assert_eq!(outcome(&at(0.0), &good), Err(JwtError::IssuedInFuture));
    assert_eq!(outcome(&at(NOW as f64 + 0.5), &good), GOOD);
    assert_eq!(outcome(&at(4e9), &good), Err(JwtError::Expired));

    #[derive(Debug)]
    struct Before1970;
    impl portcullis_core::Clock for Before1970 {
        fn now(&self) -> std::time::SystemTime {
            UNIX_EPOCH - Duration::from_secs(1)
        }
    }
    let jwt = verifier(secret_key()).clock(Before1970).build().unwrap();
    assert_eq!(outcome(&jwt, &good), Err(JwtError::Clock));
}
