//! Compares the verifier with jsonwebtoken on altered tokens: it may be stricter, but never more
//! permissive.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::KeyPair as _;
use jsonwebtoken::{DecodingKey, Validation};
use portcullis_jwt::{Algorithm, Jwt, Key};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use crate::support::{
    AUDIENCE, ISSUER, PAIRS, SECRET, encode, public_der, secret_key, sign, token,
};

/// Returns whether jsonwebtoken accepts the token, with its strictest settings.
fn jsonwebtoken_accepts(algorithm: Algorithm, key: &DecodingKey, token: &str) -> bool {
    // This build enables both backends, so jsonwebtoken needs a choice.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let algorithm = algorithm.as_str().parse().unwrap();
    let mut validation = Validation::new(algorithm);
    validation.leeway = 30;
    validation.validate_nbf = true;
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    jsonwebtoken::decode::<serde_json::Value>(token, key, &validation).is_ok()
}

fn jwt() -> Jwt {
    Jwt::builder(secret_key())
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .build()
        .unwrap()
}

/// Asserts for many tokens that jsonwebtoken accepts each one that the verifier accepts. Some
/// tokens have to be accepted by both, and some by jsonwebtoken alone, or the test proves nothing.
fn compare(strategy: impl Strategy<Value = String>) {
    let ours = jwt();
    let key = DecodingKey::from_secret(SECRET).unwrap();
    let (both, only_jsonwebtoken) = (Cell::new(0), Cell::new(0));
    let config = Config {
        cases: 3000,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&strategy, |token| {
            match (
                ours.check(&token),
                jsonwebtoken_accepts(Algorithm::HS256, &key, &token),
            ) {
                (Ok(_), true) => both.set(both.get() + 1),
                (Err(_), true) => only_jsonwebtoken.set(only_jsonwebtoken.get() + 1),
                (Err(_), false) => {}
                (Ok(_), false) => {
                    return Err(TestCaseError::fail(format!("jsonwebtoken refuses {token}")));
                }
            }
            Ok(())
        })
        .unwrap();
    assert!(both.get() > 20, "{} accepted by both", both.get());
    assert!(
        only_jsonwebtoken.get() > 20,
        "{} accepted by jsonwebtoken alone",
        only_jsonwebtoken.get()
    );
}

#[test]
fn altered_claims_and_headers() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    // Far enough from every limit that the duration of the test does not matter. No fractions:
    // jsonwebtoken refuses them if a build enables serde_json's `arbitrary_precision`.
    let at = |offset: i64| (now.as_secs() as i64 + offset).to_string();
    let dates = vec![
        String::new(),
        at(-3600),
        at(-15),
        at(0),
        at(15),
        at(3600),
        "null".to_owned(),
        "0".to_owned(),
        "-1".to_owned(),
        "1e300".to_owned(),
        u64::MAX.to_string(),
        i64::MAX.to_string(),
        "9007199254740992".to_owned(),
        format!("\"{}\"", at(3600)),
        "[]".to_owned(),
    ];
    let texts = |good: &str| {
        let others = vec![
            String::new(),
            format!("[{good:?}]"),
            format!("[{good:?},\"x\"]"),
            format!("[{good:?},1]"),
            format!("\"{good} \""),
            "\"\"".to_owned(),
            "[]".to_owned(),
            "null".to_owned(),
            "5".to_owned(),
            "{}".to_owned(),
            format!("\"x\",\"sub\":{good:?}"),
        ];
        prop_oneof![3 => Just(format!("{good:?}")), 1 => select(others)]
    };
    let headers = [
        "",
        "",
        "",
        r#","typ":"JWT""#,
        r#","typ":"at+jwt""#,
        r#","typ":5"#,
        r#","crit":["x"]"#,
        r#","crit":["b64"],"b64":false"#,
        r#","zip":"DEF""#,
        r#","cty":"JWT""#,
        r#","kid":"x""#,
        r#","kid":5"#,
        r#","alg":"HS256""#,
        r#","jku":"https://evil.example/""#,
        r#","x":{"y":[1,{}]}"#,
    ];
    let algorithms = [
        "HS256", "HS256", "HS256", "HS256", "HS512", "none", "None", "RS256", "",
    ];
    let good_date = at(3600);
    let exp = prop_oneof![3 => Just(good_date), 1 => select(dates.clone())];
    let optional = prop_oneof![3 => Just(String::new()), 1 => select(dates)];
    let strategy = (
        (select(algorithms.to_vec()), select(headers.to_vec())),
        (exp, optional.clone(), optional),
        (texts(ISSUER), texts(AUDIENCE), texts("alice")),
    )
        .prop_map(|((algorithm, header), (exp, nbf, iat), (iss, aud, sub))| {
            let members = [
                ("iss", iss),
                ("sub", sub),
                ("aud", aud),
                ("exp", exp),
                ("nbf", nbf),
                ("iat", iat),
            ];
            let members: Vec<String> = members
                .iter()
                .filter(|(_, json)| !json.is_empty())
                .map(|(name, json)| format!("{name:?}:{json}"))
                .collect();
            let header = format!(r#"{{"alg":"{algorithm}"{header}}}"#);
            token(
                header,
                format!("{{{}}}", members.join(",")),
                sign(Algorithm::HS256),
            )
        });
    compare(strategy);
}

#[test]
fn altered_characters() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let end = now + Duration::from_secs(3600);
    let payload = format!(
        r#"{{"iss":{ISSUER:?},"sub":"alice","aud":[{AUDIENCE:?}],"exp":{}}}"#,
        end.as_secs()
    );
    let good = token(
        r#"{"alg":"HS256","typ":"JWT"}"#,
        &payload,
        sign(Algorithm::HS256),
    );
    let wrong_kind = token(
        r#"{"alg":"HS256","typ":"x"}"#,
        &payload,
        sign(Algorithm::HS256),
    );
    let letters: Vec<char> =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. \n\u{e9}"
            .chars()
            .collect();
    let strategy =
        (0..good.len() + 50, 0..4_u8, select(letters)).prop_map(move |(place, how, letter)| {
            if place >= good.len() {
                return if place % 2 == 0 {
                    good.clone()
                } else {
                    wrong_kind.clone()
                };
            }
            let mut symbols: Vec<char> = good.chars().collect();
            match how {
                0 => symbols[place] = letter,
                1 => symbols.insert(place, letter),
                2 => drop(symbols.remove(place)),
                _ => symbols.truncate(place),
            }
            symbols.into_iter().collect()
        });
    compare(strategy);
}

#[test]
fn altered_signatures() {
    let end = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
        + 3600;
    let payload = format!(r#"{{"iss":{ISSUER:?},"sub":"alice","aud":{AUDIENCE:?},"exp":{end}}}"#);
    for algorithm in [
        Algorithm::RS256,
        Algorithm::PS384,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ] {
        let der = public_der(algorithm);
        let ours = Key::from_der(algorithm, &der).unwrap();
        let ours = Jwt::builder(ours)
            .issuer(ISSUER)
            .audience(AUDIENCE)
            .build()
            .unwrap();
        let key = match algorithm {
            Algorithm::ES256 => DecodingKey::from_ec_der(PAIRS.p256.public_key().as_ref()),
            Algorithm::ES384 => DecodingKey::from_ec_der(PAIRS.p384.public_key().as_ref()),
            Algorithm::EdDSA => DecodingKey::from_ed_der(PAIRS.ed25519.public_key().as_ref()),
            _ => DecodingKey::from_rsa_der(PAIRS.rsa.public_key().as_ref()),
        };
        let good = token(
            format!(r#"{{"alg":"{algorithm:?}"}}"#),
            &payload,
            sign(algorithm),
        );
        assert!(
            ours.check(&good).is_ok() && jsonwebtoken_accepts(algorithm, &key, &good),
            "{algorithm:?}"
        );
        let (message, _) = good.rsplit_once('.').unwrap();
        let signature = sign(algorithm)(message.as_bytes());
        for place in 0..signature.len().min(64) {
            let mut altered = signature.clone();
            altered[place] ^= 0x10;
            let token = format!("{message}.{}", encode(altered));
            assert!(ours.check(&token).is_err(), "{algorithm:?}");
            assert!(
                !jsonwebtoken_accepts(algorithm, &key, &token),
                "{algorithm:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(Config { cases: 2000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn arbitrary_input_is_refused_without_a_panic(text in ".{0,200}", header in any::<Vec<u8>>(), payload in any::<Vec<u8>>()) {
        let jwt = jwt();
        prop_assert!(jwt.check(&text).is_err());
        let thrice = format!("{text}.{text}.{text}");
        prop_assert!(jwt.check(&thrice).is_err());
        let unsigned = token(&header, &payload, |_| Vec::new());
        prop_assert!(jwt.check(&unsigned).is_err());
        let signed = token(r#"{"alg":"HS256"}"#, &payload, sign(Algorithm::HS256));
        prop_assert!(jwt.check(&signed).is_err());
    }
}
