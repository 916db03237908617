//! Algorithm, type, key and extensions in the header.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::KeyPair as _;
use portcullis_jwt::{Algorithm, JwtError};

use super::{ACCEPTED, Outcome, hs256, outcome};
use crate::support::{
    PAIRS, encode, mac, pem, public_der, public_key, secret_key, sign, token, valid_claims,
    verifier,
};

/// Builds a token with this header, valid claims and a valid signature.
fn with_header(header: impl AsRef<[u8]>) -> String {
    token(header, valid_claims(), sign(Algorithm::HS256))
}

#[test]
fn algorithm_has_to_match_exactly() {
    const ROWS: [(&str, Outcome); 24] = [
        (r#"{"alg":"HS256"}"#, ACCEPTED),
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
        // Escapes of JSON do not change the meaning.
        (r#"{"\u0061lg":"\u0048S256"}"#, ACCEPTED),
    ];
    let jwt = hs256();
    for (header, expected) in ROWS {
        assert_eq!(outcome(&jwt, &with_header(header)), expected, "{header}");
    }
}

/// CVE-2015-9235 and similar ones.
#[test]
fn public_key_is_not_accepted_as_secret() {
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
            let forged = token(header, valid_claims(), |message| mac(hash, secret, message));
            assert_eq!(outcome(&jwt, &forged), Err(JwtError::Key));
        }
        // If `alg` is RS256, the signature is invalid.
        let forged = token(r#"{"alg":"RS256"}"#, valid_claims(), |message| {
            mac(hmac::HMAC_SHA256, secret, message)
        });
        assert_eq!(outcome(&jwt, &forged), Err(JwtError::Signature));
    }
}

#[test]
fn extensions_are_refused() {
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
        // Tokens of Twilio: `cty` is informational and does not announce a nested token.
        (r#""cty":"twilio-fpa;v=1""#, ACCEPTED),
        (r#""x":{"y":[1,null,"z"]}"#, ACCEPTED),
        (r#""x":{"y":1,"y":2}"#, Err(JwtError::Header)),
        (r#""x":1,"x":1"#, Err(JwtError::Header)),
    ];
    let jwt = hs256();
    for (members, expected) in ROWS {
        let header = format!(r#"{{"alg":"HS256",{members}}}"#);
        assert_eq!(outcome(&jwt, &with_header(&header)), expected, "{header}");
    }
}

/// RFC 8725 §3.11.
#[test]
fn type_has_to_match() {
    const KIND: Outcome = Err(JwtError::Kind);
    // `typ`, the outcome by default, the outcome if `at+jwt` is required
    const ROWS: [(&str, Outcome, Outcome); 16] = [
        ("", ACCEPTED, KIND),
        (r#""JWT""#, ACCEPTED, KIND),
        (r#""jwt""#, ACCEPTED, KIND),
        (r#""application/JWT""#, ACCEPTED, KIND),
        (r#""at+jwt""#, KIND, ACCEPTED),
        (r#""AT+JWT""#, KIND, ACCEPTED),
        (r#""application/at+jwt""#, KIND, ACCEPTED),
        (r#""Application/At+Jwt""#, KIND, ACCEPTED),
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

/// RFC 8725 §3.5 and §3.10.
#[test]
fn keys_in_the_header_are_ignored() {
    let attacker = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
    let x = encode(attacker.public_key().as_ref());
    let members = [
        format!(r#""jwk":{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#),
        r#""jku":"http://169.254.169.254/keys""#.to_owned(),
        r#""x5u":"https://evil.example/cert.pem""#.to_owned(),
        r#""x5c":["MIIB"]"#.to_owned(),
        r#""x5t":"AAAA","x5t#S256":"AAAA""#.to_owned(),
    ];
    let jwt = verifier(public_key(Algorithm::EdDSA)).build().unwrap();
    for member in members {
        let header = format!(r#"{{"alg":"EdDSA",{member}}}"#);
        let forged = token(&header, valid_claims(), |message| {
            attacker.sign(message).as_ref().to_vec()
        });
        assert_eq!(outcome(&jwt, &forged), Err(JwtError::Signature), "{header}");
        // With a valid signature, they are harmless.
        let good = token(&header, valid_claims(), sign(Algorithm::EdDSA));
        assert_eq!(outcome(&jwt, &good), ACCEPTED, "{header}");
    }
}

/// Includes the values that attack tools try.
#[test]
fn kid_only_selects_a_configured_key() {
    let with_id = verifier(secret_key().with_id("a")).build().unwrap();
    let without_id = hs256();
    for (id, expected, expected_without_id) in [
        (r#""a""#, ACCEPTED, ACCEPTED),
        (r#""A""#, Err(JwtError::Key), ACCEPTED),
        (r#""""#, Err(JwtError::Key), ACCEPTED),
        (r#""/dev/null""#, Err(JwtError::Key), ACCEPTED),
        (r#""../../../../etc/passwd""#, Err(JwtError::Key), ACCEPTED),
        (r#""x' UNION SELECT 'k';--""#, Err(JwtError::Key), ACCEPTED),
        (r#""x | sleep 10""#, Err(JwtError::Key), ACCEPTED),
        (r#""http://169.254.169.254/""#, Err(JwtError::Key), ACCEPTED),
        (r#""\u0000""#, Err(JwtError::Key), ACCEPTED),
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
        assert_eq!(outcome(&with_id, &token), expected, "kid {id}");
        // The only key has no id, so `kid` is ignored and the signature decides.
        assert_eq!(
            outcome(&without_id, &token),
            expected_without_id,
            "kid {id}"
        );
    }
}

#[test]
fn headers_that_are_no_json_object_are_refused() {
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
    assert_eq!(outcome(&jwt, &spaced), ACCEPTED);
    let deep = with_header(format!(
        r#"{{"alg":"HS256","x":{}{}}}"#,
        "[".repeat(1000),
        "]".repeat(1000)
    ));
    assert_eq!(outcome(&jwt, &deep), Err(JwtError::Header));
}
