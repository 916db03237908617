//! Keys in JSON (RFC 7517), read with the types of jsonwebtoken and weighed by us: it ignores
//! `use`, `key_ops` and `alg`, and does not look at the length of anything.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::json::Unique;
use crate::{ConfigError, Key};

/// One key, which has to be usable.
pub(crate) fn read(json: &str) -> Result<Key, ConfigError> {
    read_if_ours(json)?.ok_or_else(|| {
        ConfigError::new(
            "no key for the signatures of tokens: `kty`, `crv` and `alg` must be of one of our \
             algorithms, and `use` and `key_ops` must allow to verify",
        )
    })
}

/// The keys of a set. What is not for us is skipped, as RFC 7517 §5 asks: a set may also hold keys
/// for encryption and of kinds that we do not know. What is for us and wrong is an error.
pub(crate) fn read_set(json: &str) -> Result<Vec<Key>, ConfigError> {
    #[derive(Deserialize)]
    struct Set<'a> {
        #[serde(borrow)]
        keys: Vec<&'a RawValue>,
    }

    let set: Set<'_> = serde_json::from_str(json).map_err(|_| {
        ConfigError::new("no key set: a JSON object with an array `keys` is needed")
    })?;
    let mut keys = Vec::new();
    for (index, json) in set.keys.iter().enumerate() {
        let key = read_if_ours(json.get());
        keys.extend(key.map_err(|error| error.at(format_args!("key {index} of the set")))?);
    }
    Ok(keys)
}

/// `None` for a key that is not for us.
fn read_if_ours(json: &str) -> Result<Option<Key>, ConfigError> {
    /// What jsonwebtoken does not read.
    #[derive(Deserialize)]
    struct Private {
        d: Option<IgnoredAny>,
    }

    let no_jwk = |_| ConfigError::new("no JWK: a JSON object of RFC 7517 with each name once");
    serde_json::from_str::<Unique>(json).map_err(no_jwk)?;
    let jwk: Jwk = serde_json::from_str(json).map_err(no_jwk)?;
    let private: Private = serde_json::from_str(json).map_err(no_jwk)?;

    if !is_for_verification(&jwk) {
        return Ok(None);
    }
    if private.d.is_some() {
        return Err(ConfigError::new(
            "a private key, which a verifier should not have: leave only the public members",
        ));
    }
    let Some(algorithm) = algorithm(&jwk)? else {
        return Ok(None);
    };
    let key = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => {
            Key::from_components(algorithm, &bytes("n", &rsa.n)?, &bytes("e", &rsa.e)?)?
        }
        AlgorithmParameters::EllipticCurve(point) => {
            let length = if algorithm == Algorithm::ES256 {
                32
            } else {
                48
            };
            let (x, y) = (bytes("x", &point.x)?, bytes("y", &point.y)?);
            if x.len() != length || y.len() != length {
                return Err(ConfigError::new(format!(
                    "`x` and `y` must have {length} bytes each (RFC 7518 §6.2.1.2)"
                )));
            }
            Key::from_der(algorithm, &[&[4], &x[..], &y].concat())?
        }
        AlgorithmParameters::OctetKeyPair(point) => {
            let x = bytes("x", &point.x)?;
            if x.len() != 32 {
                return Err(ConfigError::new("`x` must have 32 bytes (RFC 8037 §2)"));
            }
            Key::from_der(algorithm, &x)?
        }
        AlgorithmParameters::OctetKey(secret) => {
            Key::from_secret(algorithm, &bytes("k", &secret.value)?)?
        }
        _ => return Ok(None),
    };
    Ok(Some(match jwk.common.key_id {
        Some(id) => key.with_id(id),
        None => key,
    }))
}

fn is_for_verification(jwk: &Jwk) -> bool {
    let by_use = jwk.common.public_key_use.as_ref();
    let by_operation = jwk.common.key_operations.as_ref();
    by_use.is_none_or(|r#use| *r#use == PublicKeyUse::Signature)
        && by_operation.is_none_or(|operations| operations.contains(&KeyOperations::Verify))
}

/// The one algorithm the key is good for; `None` if it is none of ours.
fn algorithm(jwk: &Jwk) -> Result<Option<Algorithm>, ConfigError> {
    let fitting: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(point) => match point.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => return Ok(None),
        },
        AlgorithmParameters::OctetKeyPair(point) => match point.curve {
            EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
            _ => return Ok(None),
        },
        AlgorithmParameters::OctetKey(_) => &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512],
        _ => return Ok(None),
    };
    let Some(named) = jwk.common.key_algorithm else {
        return match &jwk.algorithm {
            AlgorithmParameters::OctetKey(_) => Err(ConfigError::new(
                "a secret without `alg`: write HS256, HS384 or HS512 into it",
            )),
            _ => Ok(fitting.first().copied()),
        };
    };
    let Ok(named) = Algorithm::try_from(named) else {
        return Ok(None);
    };
    if !fitting.contains(&named) {
        return Err(ConfigError::new(format!(
            "`alg` is {named:?}, which does not fit the `kty` and `crv`"
        )));
    }
    Ok(Some(named))
}

fn bytes(member: &str, text: &str) -> Result<Vec<u8>, ConfigError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| ConfigError::new(format!("`{member}` is no base64url without padding")))
}
