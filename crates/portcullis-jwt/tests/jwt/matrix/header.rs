//! What the header says of its algorithm, its kind, its key and what else is to be known.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::KeyPair as _;
use portcullis_jwt::{Algorithm, JwtError};

use super::{GOOD, Outcome, hs256, outcome};
use crate::support::{
    PAIRS, encode, good_claims, mac, pem, public_der, public_key, secret_key, sign, token, verifier,
};

/// Good claims under this header, signed right.
fn with_header(header: impl AsRef<[u8]>) -> String {
    token(header, good_claims(), sign(Algorithm::HS256))
}

#[test]
fn algorithm() {
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
fn algorithm_confused_with_a_public_key() {
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
fn extensions() {
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
fn kind() {
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
fn that_brings_its_own_key() {
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
fn key_id() {
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
fn is_an_object_of_json() {
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
