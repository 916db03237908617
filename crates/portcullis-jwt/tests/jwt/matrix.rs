//! The matrix of bad inputs, row by row, and the good ones beside them.
//!
//! Everything is signed with the right key unless the row is about the signature, so that no row is
//! refused for anything but its own reason. That reason is in the row.

use aws_lc_rs::hmac;
use aws_lc_rs::rsa::RsaPssSaltLength;
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256, RsaSignatureEncoding};
use portcullis_jwt::{Algorithm, Jwt, JwtError, MAX_TOKEN_LENGTH};
use std::time::{Duration, UNIX_EPOCH};

use crate::support::{
    At, NOW, PAIRS, SECRET, claims, ecdsa_signature, encode, good_claims, mac, pem, public_der,
    public_key, rsa_signature, secret_key, sign, token, verifier,
};

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

type Outcome = Result<(), JwtError>;
const GOOD: Outcome = Ok(());

fn outcome(jwt: &Jwt, token: &str) -> Outcome {
    jwt.check(token).map(|_| ())
}

fn hs256() -> Jwt {
    verifier(secret_key()).build().unwrap()
}

/// A token with these claims, signed right.
fn with_claims(payload: impl AsRef<[u8]>) -> String {
    token(HEADER, payload, sign(Algorithm::HS256))
}

/// Good claims under this header, signed right.
fn with_header(header: impl AsRef<[u8]>) -> String {
    token(header, good_claims(), sign(Algorithm::HS256))
}

// ---------------------------------------------------------------------------------------- header

#[test]
fn header_algorithm() {
    const ROWS: [(&str, Outcome); 24] = [
        (r#"{"alg":"HS256"}"#, GOOD),
        (r#"{"alg":"none"}"#, Err(JwtError::Key)),
        (r#"{"alg":"None"}"#, Err(JwtError::Key)),
        (r#"{"alg":"nOnE"}"#, Err(JwtError::Key)),
        (r#"{"alg":"NONE"}"#, Err(JwtError::Key)),
        (r#"{"alg":"none "}"#, Err(JwtError::Key)),
        (r#"{"alg":""}"#, Err(JwtError::Key)),
        (r#"{"alg":null}"#, Err(JwtError::Header)),
        (r#"{"alg":256}"#, Err(JwtError::Header)),
        (r#"{"alg":["HS256"]}"#, Err(JwtError::Header)),
        (r#"{"alg":{"HS256":1}}"#, Err(JwtError::Header)),
        (r#"{}"#, Err(JwtError::Header)),
        (r#"{"typ":"JWT"}"#, Err(JwtError::Header)),
        (r#"{"Alg":"HS256"}"#, Err(JwtError::Header)),
        (r#"{"alg":"hs256"}"#, Err(JwtError::Key)),
        (r#"{"alg":"HS256 "}"#, Err(JwtError::Key)),
        (r#"{"alg":"HS384"}"#, Err(JwtError::Key)),
        (r#"{"alg":"HS999"}"#, Err(JwtError::Key)),
        (r#"{"alg":"ES256K"}"#, Err(JwtError::Key)),
        (r#"{"alg":"RS1"}"#, Err(JwtError::Key)),
        (r#"{"alg":"RS256"}"#, Err(JwtError::Key)),
        (r#"{"alg":"dir","enc":"A128GCM"}"#, Err(JwtError::Extension)),
        (r#"{"alg":"none","alg":"HS256"}"#, Err(JwtError::Header)),
        // Escapes are JSON's, and say the same.
        (r#"{"\u0061lg":"\u0048S256"}"#, GOOD),
    ];
    let jwt = hs256();
    for (header, expected) in ROWS {
        assert_eq!(outcome(&jwt, &with_header(header)), expected, "{header}");
    }
}

/// CVE-2015-9235 and its children: a public key is no secret.
#[test]
fn header_algorithm_confused_with_a_public_key() {
    let der = public_der(Algorithm::RS256);
    let modulus = PAIRS.rsa.public_key().modulus();
    let modulus = modulus.big_endian_without_leading_zero();
    let secrets = [
        pem("PUBLIC KEY", &der).into_bytes(),
        pem("PUBLIC KEY", &der).trim_end().as_bytes().to_vec(),
        der,
        PAIRS.rsa.public_key().as_ref().to_vec(),
        format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, encode(modulus)).into_bytes(),
        modulus.to_vec(),
        Vec::new(),
    ];
    let hashes = [
        ("HS256", hmac::HMAC_SHA256),
        ("HS384", hmac::HMAC_SHA384),
        ("HS512", hmac::HMAC_SHA512),
    ];
    let jwt = verifier(public_key(Algorithm::RS256)).build().unwrap();
    for secret in &secrets {
        for (name, hash) in hashes {
            let header = format!(r#"{{"alg":"{name}"}}"#);
            let forged = token(header, good_claims(), |message| mac(hash, secret, message));
            assert_eq!(outcome(&jwt, &forged), Err(JwtError::Key));
        }
        // And if it calls itself RS256, it is a bad signature.
        let forged = token(r#"{"alg":"RS256"}"#, good_claims(), |message| {
            mac(hmac::HMAC_SHA256, secret, message)
        });
        assert_eq!(outcome(&jwt, &forged), Err(JwtError::Signature));
    }
}

#[test]
fn header_extensions() {
    const ROWS: [(&str, Outcome); 19] = [
        (r#""crit":["exp"]"#, Err(JwtError::Extension)),
        (r#""crit":["x"]"#, Err(JwtError::Extension)),
        (r#""crit":["x"],"x":1"#, Err(JwtError::Extension)),
        (r#""crit":[]"#, Err(JwtError::Extension)),
        (r#""crit":null"#, Err(JwtError::Extension)),
        (r#""crit":"exp""#, Err(JwtError::Extension)),
        (r#""crit":["b64"],"b64":false"#, Err(JwtError::Extension)),
        (r#""b64":false"#, Err(JwtError::Extension)),
        (r#""b64":true"#, Err(JwtError::Extension)),
        (r#""zip":"DEF""#, Err(JwtError::Extension)),
        (r#""enc":"A128GCM""#, Err(JwtError::Extension)),
        (r#""cty":"JWT""#, Err(JwtError::Extension)),
        (r#""cty":"jwt""#, Err(JwtError::Extension)),
        (r#""cty":"application/jwt""#, Err(JwtError::Extension)),
        (r#""cty":5"#, Err(JwtError::Header)),
        // Twilio's tokens: a note about the claims, and no other way to read them.
        (r#""cty":"twilio-fpa;v=1""#, GOOD),
        (r#""x":{"y":[1,null,"z"]}"#, GOOD),
        (r#""x":{"y":1,"y":2}"#, Err(JwtError::Header)),
        (r#""x":1,"x":1"#, Err(JwtError::Header)),
    ];
    let jwt = hs256();
    for (members, expected) in ROWS {
        let header = format!(r#"{{"alg":"HS256",{members}}}"#);
        assert_eq!(outcome(&jwt, &with_header(&header)), expected, "{header}");
    }
}

/// RFC 8725 §3.11: one kind of token is not taken for another.
#[test]
fn header_kind() {
    const KIND: Outcome = Err(JwtError::Kind);
    // typ, outcome by default, outcome where `at+jwt` is asked for
    const ROWS: [(&str, Outcome, Outcome); 16] = [
        ("", GOOD, KIND),
        (r#""JWT""#, GOOD, KIND),
        (r#""jwt""#, GOOD, KIND),
        (r#""application/JWT""#, GOOD, KIND),
        (r#""at+jwt""#, KIND, GOOD),
        (r#""AT+JWT""#, KIND, GOOD),
        (r#""application/at+jwt""#, KIND, GOOD),
        (r#""Application/At+Jwt""#, KIND, GOOD),
        (r#""secevent+jwt""#, KIND, KIND),
        (r#""dpop+jwt""#, KIND, KIND),
        (r#""JOSE""#, KIND, KIND),
        (r#""text/jwt""#, KIND, KIND),
        (r#""at+jwt ""#, KIND, KIND),
        (r#""""#, KIND, KIND),
        ("null", Err(JwtError::Header), Err(JwtError::Header)),
        (r#"["JWT"]"#, Err(JwtError::Header), Err(JwtError::Header)),
    ];
    let plain = hs256();
    let access = verifier(secret_key()).kind("at+jwt").build().unwrap();
    for (kind, by_default, at_jwt) in ROWS {
        let member = if kind.is_empty() {
            String::new()
        } else {
            format!(r#","typ":{kind}"#)
        };
        let token = with_header(format!(r#"{{"alg":"HS256"{member}}}"#));
        assert_eq!(outcome(&plain, &token), by_default, "typ {kind} by default");
        assert_eq!(outcome(&access, &token), at_jwt, "typ {kind} for at+jwt");
    }
}

/// RFC 8725 §3.5 and §3.10: keys in the header, and addresses of keys, are nobody's.
#[test]
fn header_that_brings_its_own_key() {
    let attacker = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
    let x = encode(attacker.public_key().as_ref());
    let own = [
        format!(r#""jwk":{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#),
        r#""jku":"http://169.254.169.254/keys""#.to_owned(),
        r#""x5u":"https://evil.example/cert.pem""#.to_owned(),
        r#""x5c":["MIIB"]"#.to_owned(),
        r#""x5t":"AAAA","x5t#S256":"AAAA""#.to_owned(),
    ];
    let jwt = verifier(public_key(Algorithm::EdDSA)).build().unwrap();
    for member in own {
        let header = format!(r#"{{"alg":"EdDSA",{member}}}"#);
        let forged = token(&header, good_claims(), |message| {
            attacker.sign(message).as_ref().to_vec()
        });
        assert_eq!(outcome(&jwt, &forged), Err(JwtError::Signature), "{header}");
        // Beside a good signature they are no harm, and not looked at.
        let good = token(&header, good_claims(), sign(Algorithm::EdDSA));
        assert_eq!(outcome(&jwt, &good), GOOD, "{header}");
    }
}

/// The names that attack tools try. They select nothing but a key of ours.
#[test]
fn header_key_id() {
    let named = verifier(secret_key().with_id("a")).build().unwrap();
    let nameless = hs256();
    for (id, by_name, without) in [
        (r#""a""#, GOOD, GOOD),
        (r#""A""#, Err(JwtError::Key), GOOD),
        (r#""""#, Err(JwtError::Key), GOOD),
        (r#""/dev/null""#, Err(JwtError::Key), GOOD),
        (r#""../../../../etc/passwd""#, Err(JwtError::Key), GOOD),
        (r#""x' UNION SELECT 'k';--""#, Err(JwtError::Key), GOOD),
        (r#""x | sleep 10""#, Err(JwtError::Key), GOOD),
        (r#""http://169.254.169.254/""#, Err(JwtError::Key), GOOD),
        (r#""\u0000""#, Err(JwtError::Key), GOOD),
        ("null", Err(JwtError::Header), Err(JwtError::Header)),
        ("0", Err(JwtError::Header), Err(JwtError::Header)),
        (r#"["a"]"#, Err(JwtError::Header), Err(JwtError::Header)),
        (r#"{"a":"a"}"#, Err(JwtError::Header), Err(JwtError::Header)),
        (
            r#""a","kid":"a""#,
            Err(JwtError::Header),
            Err(JwtError::Header),
        ),
    ] {
        let token = with_header(format!(r#"{{"alg":"HS256","kid":{id}}}"#));
        assert_eq!(outcome(&named, &token), by_name, "kid {id}");
        // The one key has no name, so a name says nothing; the signature decides.
        assert_eq!(outcome(&nameless, &token), without, "kid {id}");
    }
}

#[test]
fn header_is_an_object_of_json() {
    const ROWS: [&[u8]; 13] = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\"HS256\"",
        b"{\"alg\":\"HS256\"",
        b"{\"alg\":\"HS256\"}}",
        b"{\"alg\":\"HS256\"} {}",
        b"{\"alg\":\"HS256\",}",
        b"{'alg':'HS256'}",
        b"{\"alg\":\"HS256\"/**/}",
        b"\xef\xbb\xbf{\"alg\":\"HS256\"}",
        b"{\"alg\":\"HS256\",\"x\":\"\\ud800\"}",
    ];
    let jwt = hs256();
    for header in ROWS {
        assert_eq!(
            outcome(&jwt, &with_header(header)),
            Err(JwtError::Header),
            "{header:?}"
        );
    }
    let not_utf8 = with_header(b"{\"alg\":\"HS256\",\"x\":\"\xff\"}");
    assert_eq!(outcome(&jwt, &not_utf8), Err(JwtError::Malformed));
    let spaced = with_header(" { \"alg\" :\r\n\t\"HS256\" } ");
    assert_eq!(outcome(&jwt, &spaced), GOOD);
    let deep = with_header(format!(
        r#"{{"alg":"HS256","x":{}{}}}"#,
        "[".repeat(1000),
        "]".repeat(1000)
    ));
    assert_eq!(outcome(&jwt, &deep), Err(JwtError::Header));
}

// ------------------------------------------------------------------------------------- structure

#[test]
fn structure() {
    let jwt = hs256();
    let good = with_claims(good_claims());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("three parts")
    };
    assert_eq!(outcome(&jwt, &good), GOOD);

    // A token with symbols that the standard alphabet spells differently, in both its parts.
    let in_both = |token: &String| {
        token
            .split('.')
            .skip(1)
            .all(|part| part.contains(['-', '_']))
    };
    let odd = |n: u32| with_claims(claims(&[("x", "\"???~~~\""), ("n", &n.to_string())]));
    let odd = (0..).map(odd).find(in_both).unwrap();
    assert_eq!(outcome(&jwt, &odd), GOOD);
    let (odd_message, odd_signature) = odd.rsplit_once('.').unwrap();
    let standard = |part: &str| part.replace('-', "+").replace('_', "/");

    let rows = [
        (String::new(), JwtError::Malformed),
        (header.to_owned(), JwtError::Malformed),
        (format!("{header}.{payload}"), JwtError::Malformed),
        (format!("{good}."), JwtError::Signature),
        (format!(".{good}"), JwtError::Header),
        (format!("{good}.{signature}"), JwtError::Signature),
        (
            format!("{header}.{payload}.{payload}.{payload}.{signature}"),
            JwtError::Signature,
        ),
        ("..".to_owned(), JwtError::Header),
        (format!("{header}.."), JwtError::Signature),
        (format!("{header}..{signature}"), JwtError::Signature), // detached, RFC 7515 appendix F
        (format!("{header}.{payload}."), JwtError::Signature),
        (
            format!("{header}={}", &good[header.len()..]),
            JwtError::Malformed,
        ),
        (format!("{good}="), JwtError::Malformed),
        (format!(" {good}"), JwtError::Malformed),
        (format!("{good} "), JwtError::Malformed),
        (format!("{good}\n"), JwtError::Malformed),
        (
            format!("{header}. {payload}.{signature}"),
            JwtError::Signature,
        ),
        (good.replacen('.', ".\n", 1), JwtError::Signature),
        (
            format!("{}.{odd_signature}", standard(odd_message)),
            JwtError::Signature,
        ),
        (
            format!("{odd_message}.{}", standard(odd_signature)),
            JwtError::Malformed,
        ),
        (format!("Bearer {good}"), JwtError::Malformed),
        (format!("\"{good}\""), JwtError::Malformed),
        (
            format!(
                r#"{{"payload":"{payload}","protected":"{header}","signature":"{signature}"}}"#
            ),
            JwtError::Malformed,
        ),
        (
            format!(
                r#"{{"payload":"{payload}","signatures":[{{"protected":"{header}","signature":"{signature}"}}]}}"#
            ),
            JwtError::Malformed,
        ),
        (".".repeat(1_000_000), JwtError::TooLong),
        ("é.é.é".to_owned(), JwtError::Malformed),
    ];
    for (token, expected) in rows {
        let shown: String = token.chars().take(120).collect();
        assert_eq!(outcome(&jwt, &token), Err(expected), "{shown}");
    }
}

/// The unused bits of a last symbol are zero, so a token has one spelling.
#[test]
fn structure_of_last_symbols() {
    let jwt = hs256();
    let good = with_claims(good_claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    // 32 bytes leave two bits of the last symbol unused.
    let spellings = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars();
    let accepted = spellings.filter(|last| {
        let token = format!("{signed}.{}{last}", &signature[..signature.len() - 1]);
        jwt.check(&token).is_ok()
    });
    assert_eq!(accepted.count(), 1);
}

#[test]
fn structure_of_payloads() {
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(1000), "]".repeat(1000));
    let rows: [&[u8]; 14] = [
        b"",
        b"[]",
        b"[{}]",
        b"\"\"",
        b"null",
        b"1",
        b"{",
        b"{}{}",
        b"{\"iss\":1,}",
        b"\xef\xbb\xbf{}",
        b"{\"x\":NaN}",
        b"{\"x\":\"\\ud800\"}",
        b"{\"x\":\"\n\"}",
        deep.as_bytes(),
    ];
    let jwt = hs256();
    for payload in rows {
        assert_eq!(
            outcome(&jwt, &with_claims(payload)),
            Err(JwtError::Claims),
            "{payload:?}"
        );
    }
    assert_eq!(
        outcome(&jwt, &with_claims(b"{\"x\":\"\xff\"}")),
        Err(JwtError::Malformed)
    );
    assert_eq!(outcome(&jwt, &with_claims("{}")), Err(JwtError::Issuer));
}

#[test]
fn length_is_bounded_to_the_byte() {
    let jwt = hs256();
    let of_length = |length: usize| {
        let mut filling = length / 2;
        loop {
            // The payload grows by four symbols for three bytes; the header takes up the rest.
            for pad in 0..4 {
                let x = format!("\"{}\"", "x".repeat(filling));
                let header = format!("{}{HEADER}", " ".repeat(pad));
                let token = token(header, claims(&[("x", &x)]), sign(Algorithm::HS256));
                if token.len() == length {
                    return token;
                }
            }
            filling += 1;
        }
    };
    assert_eq!(outcome(&jwt, &of_length(MAX_TOKEN_LENGTH - 1)), GOOD);
    assert_eq!(outcome(&jwt, &of_length(MAX_TOKEN_LENGTH)), GOOD);
    assert_eq!(
        outcome(&jwt, &of_length(MAX_TOKEN_LENGTH + 1)),
        Err(JwtError::TooLong)
    );
}

// ---------------------------------------------------------------------------------------- claims

/// A claim, its JSON, and what becomes of a token that is otherwise good.
fn assert_claims(rows: &[(&str, &str, Outcome)]) {
    let jwt = hs256();
    for (name, json, expected) in rows {
        let token = with_claims(claims(&[(name, json)]));
        assert_eq!(outcome(&jwt, &token), *expected, "{name}: {json}");
    }
}

#[test]
fn claims_expiry() {
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
fn claims_expiry_never_lasts_for_ever() {
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
fn claims_not_before_and_issued() {
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
fn claims_leeway_is_what_was_asked_for() {
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
fn claims_audience() {
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
fn claims_issuer() {
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
fn claims_subject_and_token_id() {
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
fn claims_scopes() {
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
fn claims_occur_once() {
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
fn claims_that_expired_and_are_wrong_are_wrong() {
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
fn claims_at_odd_times() {
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

// ------------------------------------------------------------------------------------- signature

const PUBLIC: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

const SECRETS: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

fn any_key(algorithm: Algorithm) -> portcullis_jwt::Key {
    if SECRETS.contains(&algorithm) {
        portcullis_jwt::Key::from_secret(algorithm, SECRET).unwrap()
    } else {
        public_key(algorithm)
    }
}

/// Each algorithm's tokens pass its own key, and no other.
#[test]
fn signature_of_each_algorithm_for_each_key() {
    let all = || SECRETS.into_iter().chain(PUBLIC);
    for of_key in all() {
        let jwt = verifier(any_key(of_key)).build().unwrap();
        for of_token in all() {
            let header = format!(r#"{{"alg":"{of_token:?}"}}"#);
            let honest = token(&header, good_claims(), sign(of_token));
            let expected = if of_token == of_key {
                GOOD
            } else {
                Err(JwtError::Key)
            };
            assert_eq!(
                outcome(&jwt, &honest),
                expected,
                "{of_token:?} for {of_key:?}"
            );

            let header = format!(r#"{{"alg":"{of_key:?}"}}"#);
            let lying = token(&header, good_claims(), sign(of_token));
            let expected = if of_token == of_key {
                GOOD
            } else {
                Err(JwtError::Signature)
            };
            assert_eq!(
                outcome(&jwt, &lying),
                expected,
                "{of_token:?} as {of_key:?}"
            );
        }
    }
}

#[test]
fn signature_changed_by_one_bit_or_cut() {
    for algorithm in SECRETS.into_iter().chain(PUBLIC) {
        let jwt = verifier(any_key(algorithm)).build().unwrap();
        let header = format!(r#"{{"alg":"{algorithm:?}"}}"#);
        let message = format!("{}.{}", encode(header), encode(good_claims()));
        let signature = sign(algorithm)(message.as_bytes());
        let with = |signature: &[u8]| outcome(&jwt, &format!("{message}.{}", encode(signature)));
        assert_eq!(with(&signature), GOOD);

        let step = signature.len().div_ceil(40);
        for place in (0..signature.len()).step_by(step) {
            let mut changed = signature.clone();
            changed[place] ^= 1 << (place % 8);
            assert_eq!(
                with(&changed),
                Err(JwtError::Signature),
                "{algorithm:?} byte {place}"
            );
        }
        let longer = [&signature[..], &[0]].concat();
        let padded = [&[0], &signature[..]].concat();
        let half = &signature[..signature.len() / 2];
        let zeros = vec![0; signature.len()];
        let ones = vec![0xff; signature.len()];
        let cut = &signature[..signature.len() - 1];
        for bad in [&[], cut, half, &longer, &padded, &zeros, &ones] {
            assert_eq!(
                with(bad),
                Err(JwtError::Signature),
                "{algorithm:?} {}",
                bad.len()
            );
        }
        assert_eq!(with(&vec![1; 1025]), Err(JwtError::Signature));
        assert_eq!(with(&vec![1; 2000]), Err(JwtError::Malformed));
    }
}

/// CVE-2022-21449 and the wrong format.
#[test]
fn signature_of_ecdsa() {
    let jwt = verifier(public_key(Algorithm::ES256)).build().unwrap();
    let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let (zero, one) = ([0; 32], hex(&format!("{:0>64}", 1)));
    let as_asn1 = |message: &[u8]| ecdsa_signature(&PAIRS.p256_asn1, message);
    let header = r#"{"alg":"ES256"}"#;
    assert_eq!(
        outcome(&jwt, &token(header, good_claims(), as_asn1)),
        Err(JwtError::Signature)
    );
    for r in [&zero[..], &one, &order] {
        for s in [&zero[..], &one, &order] {
            let forged = token(header, good_claims(), |_| [r, s].concat());
            assert_eq!(outcome(&jwt, &forged), Err(JwtError::Signature));
        }
    }
    // Half of all honest signatures have a high s, and RFC 7518 does not forbid it: both pass, so
    // a signature is no name for a token. Revocation goes by `jti` or subject.
    let honest = token(header, good_claims(), sign(Algorithm::ES256));
    let (message, _) = honest.rsplit_once('.').unwrap();
    let signature = sign(Algorithm::ES256)(message.as_bytes());
    let mirrored = [&signature[..32], &minus(&order, &signature[32..])].concat();
    for signature in [signature, mirrored] {
        assert_eq!(
            outcome(&jwt, &format!("{message}.{}", encode(signature))),
            GOOD
        );
    }
}

/// RFC 7518 §3.5: the salt of PS256 has 32 bytes.
#[test]
fn signature_of_pss_with_another_salt() {
    static NONE: RsaSignatureEncoding =
        RSA_PSS_SHA256.with_pss_salt_length(RsaPssSaltLength::Custom(0));
    static LONG: RsaSignatureEncoding =
        RSA_PSS_SHA256.with_pss_salt_length(RsaPssSaltLength::Custom(64));
    static LONGEST: RsaSignatureEncoding =
        RSA_PSS_SHA256.with_pss_salt_length(RsaPssSaltLength::Max);
    static RIGHT: RsaSignatureEncoding =
        RSA_PSS_SHA256.with_pss_salt_length(RsaPssSaltLength::Custom(32));
    let jwt = verifier(public_key(Algorithm::PS256)).build().unwrap();
    let signed = |encoding| {
        token(r#"{"alg":"PS256"}"#, good_claims(), |message| {
            rsa_signature(encoding, message)
        })
    };
    for encoding in [&NONE, &LONG, &LONGEST] {
        assert_eq!(outcome(&jwt, &signed(encoding)), Err(JwtError::Signature));
    }
    assert_eq!(outcome(&jwt, &signed(&RIGHT)), GOOD);
}

fn hex(digits: &str) -> Vec<u8> {
    let byte = |place| u8::from_str_radix(&digits[place..place + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// The difference of two numbers of 32 bytes, the first of which is larger.
fn minus(large: &[u8], small: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut difference = vec![0; 32];
    for place in (0..32).rev() {
        let value = i16::from(large[place]) - i16::from(small[place]) - borrow;
        borrow = i16::from(value < 0);
        difference[place] = value.rem_euclid(256) as u8;
    }
    difference
}
