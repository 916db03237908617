//! The JSON Web Signatures and Keys of [Wycheproof](https://github.com/C2SP/wycheproof).

use portcullis_jwt::{Algorithm, ConfigError, Key, KeySet};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::is_signature_valid;
use super::published::{Stricter, Suite};
use crate::support::{encode, secret_key, sign};

#[derive(Deserialize)]
struct Vectors {
    #[serde(rename = "testGroups")]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    /// A key or a set of keys. A group without it has shared secrets, or a mixed set.
    public: Option<Box<RawValue>>,
    private: Box<RawValue>,
    tests: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    #[serde(rename = "tcId")]
    id: u64,
    result: String,
    /// Compact or JSON serialization.
    #[serde(alias = "jwe", alias = "jws")]
    token: Value,
}

#[test]
fn json_web_signatures() {
    let stricter = [
        Stricter {
            vectors: &["263", "267", "271", "275", "323", "328"],
            reason: "the payload is not UTF-8, so it contains no claims",
        },
        Stricter {
            vectors: &["346", "350"],
            reason: "the key is for PS256, and the token says PS384",
        },
        Stricter {
            vectors: &["347", "351"],
            reason: "ES512 on P-521 is not supported",
        },
        Stricter {
            vectors: &["372", "373"],
            reason: "header or payload contains `?`, which is not base64url",
        },
    ];
    // They lost the padding that is their subject, and equal the valid vector 357.
    let contradictory = ["367", "370"];
    let file = "wycheproof/json_web_signature_test.json";
    run(file, 399, &contradictory, &stricter);
}

#[test]
fn json_web_keys() {
    run("wycheproof/json_web_key_test.json", 26, &[], &[]);
}

#[test]
fn json_web_crypto() {
    let stricter = [Stricter {
        vectors: &["50", "67"],
        reason: "encrypted tokens (JWE) are not supported",
    }];
    run("wycheproof/json_web_crypto_test.json", 83, &[], &stricter);
}

/// Vectors 367 and 370 as their comments describe them.
#[test]
fn padding_is_refused() {
    let header = encode(r#"{"alg":"HS256"}"#);
    let signed = |payload: &str| {
        let message = format!("{header}.{payload}");
        let signature = encode(sign(Algorithm::HS256)(message.as_bytes()));
        format!("{message}.{signature}")
    };
    let is_accepted = |token: &str| is_signature_valid(secret_key().into(), token);
    assert!(is_accepted(&signed("VGVzdA")));
    assert!(!is_accepted(&signed("VGVzdA==")));
    assert!(!is_accepted(&format!("{}=", signed("VGVzdA"))));
}

/// Runs a file. `contradictory` are the invalid vectors that have the key and the token of a valid
/// one. They test nothing.
fn run(file: &'static str, minimum: usize, contradictory: &[&str], stricter: &[Stricter]) {
    let Some(mut suite) = Suite::open(file) else {
        return;
    };
    let vectors: Vectors = suite.read(file);
    let mut found = Vec::new();
    for group in &vectors.groups {
        let keys = keys(group.public.as_ref().unwrap_or(&group.private).get());
        let is_valid = |token: &Value| {
            let mut valid = group.tests.iter().filter(|vector| vector.result == "valid");
            valid.any(|vector| vector.token == *token)
        };
        for vector in &group.tests {
            let id = vector.id.to_string();
            if vector.result == "invalid" && is_valid(&vector.token) {
                found.push(id);
                continue;
            }
            let token = match &vector.token {
                Value::String(compact) => compact.clone(),
                json => json.to_string(),
            };
            let is_accepted = keys
                .clone()
                .is_ok_and(|keys| is_signature_valid(keys, &token));
            suite.compare(&id, vector.result == "valid", is_accepted);
        }
    }
    assert_eq!(found, contradictory, "{file}");
    suite.finish(minimum, stricter);
}

/// Reads a key, a set of public keys, or a set of secrets.
fn keys(json: &str) -> Result<KeySet, ConfigError> {
    Key::from_jwk(json)
        .map(KeySet::from)
        .or_else(|_| KeySet::from_jwks(json))
        .or_else(|_| KeySet::from_secret_jwks(json))
}
