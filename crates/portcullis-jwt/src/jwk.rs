//! JSON Web Keys (RFC 7517).
//!
//! jsonwebtoken parses them. It ignores `use`, `key_ops` and `alg` and checks no lengths, so this
//! module does.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::json::Unique;
use crate::{Algorithm, ConfigError, Key};

/// Parses one key, which has to be usable.
pub(crate) fn parse(json: &str) -> Result<Key, ConfigError> {
    parse_if_usable(json)?.ok_or_else(|| {
        ConfigError::new(
            "the JWK verifies no signatures: `kty`, `crv` and `alg` must belong to a supported \
             algorithm, and `use` and `key_ops` must allow verification",
        )
    })
}

/// Parses the keys of a set.
///
/// Keys for encryption and of unknown types are skipped, as RFC 7517 §5 asks. A malformed or weak
/// key for signatures is an error.
pub(crate) fn parse_set(json: &str) -> Result<Vec<Key>, ConfigError> {
    #[derive(Deserialize)]
    struct Set<'a> {
        #[serde(borrow)]
        keys: Vec<&'a RawValue>,
    }

    let set: Set<'_> = serde_json::from_str(json).map_err(|_| {
        ConfigError::new("not a JWK Set: expected a JSON object with an array `keys`")
    })?;
    let mut keys = Vec::new();
    for (index, json) in set.keys.iter().enumerate() {
        let key = parse_if_usable(json.get());
        keys.extend(key.map_err(|error| error.at(format_args!("key {index} of the set")))?);
    }
    Ok(keys)
}

/// Returns `None` for a key that is not for signatures or has an unsupported algorithm.
fn parse_if_usable(json: &str) -> Result<Option<Key>, ConfigError> {
    /// The member of private keys, which jsonwebtoken ignores.
    #[derive(Deserialize)]
    struct Private {
        d: Option<IgnoredAny>,
    }

    let malformed =
        |_| ConfigError::new("not a JWK: expected a JSON object (RFC 7517) with unique names");
    serde_json::from_str::<Unique>(json).map_err(malformed)?;
    let jwk: Jwk = serde_json::from_str(json).map_err(malformed)?;
    let private: Private = serde_json::from_str(json).map_err(malformed)?;

    if !is_for_verification(&jwk) {
        return Ok(None);
    }
    if private.d.is_some() {
        return Err(ConfigError::new(
            "the JWK is a private key, which a verifier does not need: remove the private members",
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
    let key_use = jwk.common.public_key_use.as_ref();
    let operations = jwk.common.key_operations.as_ref();
    key_use.is_none_or(|key_use| *key_use == PublicKeyUse::Signature)
        && operations.is_none_or(|operations| operations.contains(&KeyOperations::Verify))
}

/// Returns the one algorithm to use the key with, or `None` if it is not supported.
fn algorithm(jwk: &Jwk) -> Result<Option<Algorithm>, ConfigError> {
    let candidates: &[Algorithm] = match &jwk.algorithm {
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
                "an `oct` key without `alg`: set it to HS256, HS384 or HS512",
            )),
            _ => Ok(candidates.first().copied()),
        };
    };
    let Some(named) = Algorithm::from_jwk(named) else {
        return Ok(None);
    };
    if !candidates.contains(&named) {
        return Err(ConfigError::new(format!(
            "`alg` is {named}, which does not fit `kty` and `crv`"
        )));
    }
    Ok(Some(named))
}

fn bytes(member: &str, text: &str) -> Result<Vec<u8>, ConfigError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| ConfigError::new(format!("`{member}` is not unpadded base64url")))
}
