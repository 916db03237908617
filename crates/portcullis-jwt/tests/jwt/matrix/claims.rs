//! Registered claims and their times.

use std::time::{Duration, UNIX_EPOCH};

use portcullis_jwt::JwtError;

use super::{ACCEPTED, HEADER, Outcome, hs256, outcome, with_claims};
use crate::support::{At, NOW, claims, secret_key, token, verifier};

/// Checks otherwise valid tokens. A row is a claim, its JSON, and the outcome.
fn assert_claims(rows: &[(&str, &str, Outcome)]) {
    let jwt = hs256();
    for (name, json, expected) in rows {
        let token = with_claims(claims(&[(name, json)]));
        assert_eq!(outcome(&jwt, &token), *expected, "{name}: {json}");
    }
}

#[test]
fn expiry_is_required_and_checked() {
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
        // Beyond the range of a clock; jsonwebtoken refuses them, too.
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
        ("exp", "1899999970.5", ACCEPTED),
        ("exp", "1899999971", ACCEPTED),
        ("exp", "1900000000", ACCEPTED),
        ("exp", "1900000600.25", ACCEPTED),
        ("exp", "1.9000006e9", ACCEPTED),
        // Accepted with a shorter lifetime: see the next test.
        ("exp", "9007199254740992", ACCEPTED),
        ("exp", "9223372036854775807", ACCEPTED),
        ("exp", "9223372036854775808", ACCEPTED),
        ("exp", "18446744073709551615", ACCEPTED),
    ]);
}

#[test]
fn lifetime_of_an_identity_is_limited() {
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    for (exp, end) in [
        ((NOW + 600).to_string(), now + Duration::from_secs(600)),
        (
            format!("{}.5", NOW + 600),
            now + Duration::from_millis(600_500),
        ),
        // The leeway accepts the token, but does not extend the identity.
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
    let jwt = verifier(secret_key()).max_lifetime(hour).build().unwrap();
    let identity = jwt.check(&with_claims(claims(&[("exp", "1e19")]))).unwrap();
    assert_eq!(identity.expires_at(), Some(now + hour));
}

#[test]
fn times_in_the_future_are_refused() {
    const CLAIMS: Outcome = Err(JwtError::Claims);
    for (name, in_future) in [
        ("nbf", Err(JwtError::NotYetValid)),
        ("iat", Err(JwtError::IssuedInFuture)),
    ] {
        assert_claims(&[
            (name, "", ACCEPTED),
            (name, "null", CLAIMS),
            (name, "\"0\"", CLAIMS),
            (name, "-1", CLAIMS),
            (name, "-1e300", CLAIMS),
            (name, "[]", CLAIMS),
            (name, "false", CLAIMS),
            (name, "1e400", CLAIMS),
            (name, "0", ACCEPTED),
            (name, "1900000000", ACCEPTED),
            (name, "1900000030", ACCEPTED),
            (name, "1900000030.5", in_future),
            (name, "1900000031", in_future),
            (name, "9007199254740992", in_future),
            (name, "9223372036854775807", in_future),
            (name, "18446744073709551615", in_future),
            (name, "1e19", in_future),
            (name, "1e300", CLAIMS),
        ]);
    }
}

#[test]
fn leeway_is_configurable() {
    for (leeway, last) in [(0, NOW + 1), (30, NOW - 29), (60, NOW - 59)] {
        let jwt = verifier(secret_key())
            .leeway(Duration::from_secs(leeway))
            .build()
            .unwrap();
        let ends = |end: u64| outcome(&jwt, &with_claims(claims(&[("exp", &end.to_string())])));
        assert_eq!(ends(last), ACCEPTED, "{leeway}");
        assert_eq!(ends(last - 1), Err(JwtError::Expired), "{leeway}");
    }
}

#[test]
fn audience_is_required_and_compared_exactly() {
    const AUDIENCE: Outcome = Err(JwtError::Audience);
    const CLAIMS: Outcome = Err(JwtError::Claims);
    assert_claims(&[
        ("aud", "\"chat\"", ACCEPTED),
        ("aud", "[\"chat\"]", ACCEPTED),
        ("aud", "[\"other\",\"chat\"]", ACCEPTED),
        ("aud", "[\"c\\u0068at\"]", ACCEPTED),
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
fn issuer_is_required_and_compared_exactly() {
    const ISSUER: Outcome = Err(JwtError::Issuer);
    const CLAIMS: Outcome = Err(JwtError::Claims);
    assert_claims(&[
        ("iss", "\"https://idp.example\"", ACCEPTED),
        ("iss", "\"https:\\/\\/idp.example\"", ACCEPTED),
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
fn unusable_subjects_and_token_ids_are_refused() {
    const CLAIMS: Outcome = Err(JwtError::Claims);
    let of_length = |length: usize| format!("\"{}\"", "s".repeat(length));
    for (name, refused, absent) in [
        ("sub", Err(JwtError::Subject), Err(JwtError::Subject)),
        ("jti", Err(JwtError::TokenId), ACCEPTED),
    ] {
        assert_claims(&[
            (name, "\"alice\"", ACCEPTED),
            (name, "\"Ālice Ω\"", ACCEPTED),
            (name, &of_length(1024), ACCEPTED),
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
fn scopes_are_read_from_scope_or_scp() {
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
fn duplicate_names_are_refused_at_every_depth() {
    assert_claims(&[
        ("x", "1", ACCEPTED),
        ("x", "{\"a\":[{\"b\":1},{\"b\":2}]}", ACCEPTED),
        ("x", "1,\"x\":1", Err(JwtError::Claims)),
        (
            "x",
            "{\"roles\":[],\"roles\":[\"admin\"]}",
            Err(JwtError::Claims),
        ),
        ("x", "[{\"a\":{\"b\":1,\"b\":1}}]", Err(JwtError::Claims)),
    ]);
}

/// Expiry is checked last, so that it does not reveal that an invalid token was valid once.
#[test]
fn other_reasons_precede_expiry() {
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
fn odd_clocks_are_handled() {
    let at = |time: f64| verifier(secret_key()).clock(At(time)).build().unwrap();
    let good = with_claims(claims(&[("iat", &NOW.to_string())]));
    assert_eq!(outcome(&at(0.0), &good), Err(JwtError::IssuedInFuture));
    assert_eq!(outcome(&at(NOW as f64 + 0.5), &good), ACCEPTED);
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
