//! The signatures and keys of RFC 7520, RFC 8037 and RFC 7797, from the
//! [JOSE cookbook](https://github.com/ietf-jose/cookbook).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_jwt::{ConfigError, Key};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::is_signature_valid;
use super::published::{Stricter, Suite};
use crate::support::encode;

const EXAMPLES: [&str; 11] = [
    "jws/4_1.rsa_v15_signature",
    "jws/4_2.rsa-pss_signature",
    "jws/4_3.ecdsa_signature",
    "jws/4_4.hmac-sha2_integrity_protection",
    "jws/4_5.signature_with_detached_content",
    "jws/4_6.protecting_specific_header_fields",
    "jws/4_7.protecting_content_only",
    "jws/4_8.multiple_signatures",
    "curve25519/jws",
    "rfc7797/4.2.hmac-sha2_b64_false",
    "rfc7797/hmac-sha2_b64_false",
];

/// The examples with a signature that the crate supports, in compact serialization.
const VERIFIED: [&str; 4] = [EXAMPLES[0], EXAMPLES[1], EXAMPLES[3], EXAMPLES[8]];

const KEYS: [&str; 6] = [
    "3_1.ec_public_key",
    "3_2.ec_private_key",
    "3_3.rsa_public_key",
    "3_4.rsa_private_key",
    "3_5.symmetric_key_mac_computation",
    "3_6.symmetric_key_encryption",
];

const PRIVATE_MEMBERS: [&str; 6] = ["d", "p", "q", "dp", "dq", "qi"];

#[derive(Deserialize)]
struct Example {
    input: Input,
    output: Output,
}

#[derive(Deserialize)]
struct Input {
    key: Value,
    alg: Value,
}

#[derive(Deserialize)]
struct Output {
    compact: Option<String>,
    json: Value,
    #[serde(rename = "json_flat")]
    flattened: Option<Value>,
}

impl Example {
    fn read(suite: &Suite, name: &str) -> Self {
        suite.read(&format!("rfc7520/{name}.json"))
    }

    /// Returns the public key, bound to the algorithm of the example.
    fn jwk(&self) -> Map<String, Value> {
        let first = |value: &Value| value.get(0).unwrap_or(value).clone();
        let Value::Object(mut jwk) = first(&self.input.key) else {
            panic!("a JWK is an object")
        };
        jwk.retain(|name, _| !PRIVATE_MEMBERS.contains(&name.as_str()));
        jwk.insert("alg".to_owned(), first(&self.input.alg));
        jwk
    }

    fn compact(&self) -> &str {
        self.output.compact.as_deref().expect("a compact form")
    }
}

/// Returns whether `token` has a valid signature for a key. No token has one for an unusable key.
fn is_accepted(jwk: Map<String, Value>, token: &str) -> bool {
    let key = Key::from_jwk(&Value::Object(jwk).to_string());
    key.is_ok_and(|key| is_signature_valid(key.into(), token))
}

#[test]
fn compact_serializations() {
    let stricter = [
        Stricter {
            vectors: &["jws/4_3.ecdsa_signature"],
            reason: "ES512 on P-521 is not supported",
        },
        Stricter {
            vectors: &["jws/4_5.signature_with_detached_content"],
            reason: "a token contains its claims, so the payload is not detached",
        },
        Stricter {
            vectors: &["rfc7797/hmac-sha2_b64_false"],
            reason: "no extension in `crit` is supported",
        },
    ];
    let Some(mut suite) = Suite::open("rfc7520, compact serialization") else {
        return;
    };
    for name in EXAMPLES {
        let example = Example::read(&suite, name);
        if let Some(token) = &example.output.compact {
            suite.compare(name, true, is_accepted(example.jwk(), token));
        }
    }
    suite.finish(7, &stricter);
}

/// A credential is a token in compact serialization.
#[test]
fn json_serializations_are_refused() {
    let Some(mut suite) = Suite::open("rfc7520, JSON serializations") else {
        return;
    };
    for name in EXAMPLES {
        let example = Example::read(&suite, name);
        let Output {
            json, flattened, ..
        } = &example.output;
        for json in [Some(json), flattened.as_ref()].into_iter().flatten() {
            let is_accepted = is_accepted(example.jwk(), &json.to_string());
            suite.compare(name, false, is_accepted);
        }
    }
    suite.finish(21, &[]);
}

#[test]
fn tokens_with_one_changed_bit_are_refused() {
    let Some(mut suite) = Suite::open("rfc7520 with one changed bit") else {
        return;
    };
    for name in VERIFIED {
        let example = Example::read(&suite, name);
        let parts: Vec<_> = example.compact().split('.').collect();
        for (index, part) in parts.iter().enumerate() {
            let bytes = URL_SAFE_NO_PAD.decode(part).unwrap();
            for bit in 0..bytes.len() * 8 {
                let mut changed = bytes.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                let changed = encode(changed);
                let mut parts = parts.clone();
                parts[index] = &changed;
                let id = format!("{name}, part {index}, bit {bit}");
                suite.compare(&id, false, is_accepted(example.jwk(), &parts.join(".")));
            }
        }
    }
    suite.finish(10_000, &[]);
}

#[test]
fn other_keys_and_other_uses_are_refused() {
    let Some(mut suite) = Suite::open("rfc7520 with another key") else {
        return;
    };
    for name in VERIFIED {
        let example = Example::read(&suite, name);
        let mut keys: Vec<_> = VERIFIED
            .iter()
            .filter(|other| **other != name)
            .map(|other| Example::read(&suite, other).jwk())
            .collect();
        for (member, value) in [
            ("use", Value::from("enc")),
            ("key_ops", Value::from(vec!["sign"])),
            ("kty", Value::from("EC")),
            ("alg", Value::from("none")),
        ] {
            let mut key = example.jwk();
            key.insert(member.to_owned(), value);
            keys.push(key);
        }
        for key in keys {
            let id = format!("{name} with {}", Value::Object(key.clone()));
            suite.compare(&id, false, is_accepted(key, example.compact()));
        }
    }
    suite.finish(28, &[]);
}

#[test]
fn keys() {
    let stricter = [
        Stricter {
            vectors: &["3_1.ec_public_key"],
            reason: "P-521 is not supported",
        },
        Stricter {
            vectors: &["3_2.ec_private_key", "3_4.rsa_private_key"],
            reason: "a verifier needs no private key",
        },
        Stricter {
            vectors: &["3_6.symmetric_key_encryption"],
            reason: "the key is not for signatures",
        },
    ];
    let Some(mut suite) = Suite::open("rfc7520, keys") else {
        return;
    };
    for name in KEYS {
        let jwk: Map<String, Value> = suite.read(&format!("rfc7520/jwk/{name}.json"));
        let key: Result<Key, ConfigError> = Key::from_jwk(&Value::Object(jwk.clone()).to_string());
        suite.compare(name, true, key.is_ok());
        let shown = format!("{key:?} {:?}", key.as_ref().map_err(ToString::to_string));
        for member in PRIVATE_MEMBERS.into_iter().chain(["k"]) {
            if let Some(Value::String(secret)) = jwk.get(member) {
                assert!(
                    !shown.contains(&**secret),
                    "{name} shows `{member}`: {shown}"
                );
            }
        }
    }
    suite.finish(6, &stricter);
}
