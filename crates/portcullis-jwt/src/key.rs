use std::fmt;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::{PublicKey, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    VerificationAlgorithm,
};
use jsonwebtoken::Algorithm;

use crate::strength::{check_ed25519, check_rsa, check_secret};
use crate::{ConfigError, jwk};

/// A key that checks signatures, bound to one algorithm (RFC 8725 §3.1).
///
/// What a token says about its algorithm never chooses how a key is used: it only has to agree.
/// A key is weighed when it is made and kept ready for use, so that a token costs no more than its
/// signature check. `Debug` prints its name and algorithm, and nothing of the key itself.
///
/// ```
/// use portcullis_jwt::{Algorithm, Key};
///
/// let key = Key::from_secret(Algorithm::HS256, b"thirty-two bytes or more: 0123456789")?.with_id("2026-09");
/// assert_eq!(key.id(), Some("2026-09"));
///
/// let error = Key::from_secret(Algorithm::HS256, b"changeme").unwrap_err();
/// assert!(error.to_string().contains("32 bytes"));
/// # Ok::<_, portcullis_jwt::ConfigError>(())
/// ```
pub struct Key {
    id: Option<Box<str>>,
    algorithm: Algorithm,
    material: Material,
}

enum Material {
    /// Boxed, since it is twenty times as large as the other.
    Secret(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

impl Key {
    /// A shared secret, for HS256, HS384 and HS512.
    ///
    /// Draw it at random: `openssl rand 32`. Whoever holds it can also make tokens.
    ///
    /// # Errors
    ///
    /// The secret is shorter than the hash (RFC 7518 §3.2), is a public key in PEM, or the
    /// algorithm is none of the three.
    pub fn from_secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, ConfigError> {
        let hash = match algorithm {
            Algorithm::HS256 => hmac::HMAC_SHA256,
            Algorithm::HS384 => hmac::HMAC_SHA384,
            Algorithm::HS512 => hmac::HMAC_SHA512,
            _ => {
                return Err(ConfigError::new(format!(
                    "{algorithm:?} has no shared secret: use `Key::from_pem` with the public key",
                )));
            }
        };
        check_secret(secret, hash.tag_len())?;
        Ok(Self {
            id: None,
            algorithm,
            material: Material::Secret(Box::new(hmac::Key::new(hash, secret))),
        })
    }

    /// A public key in PEM: `-----BEGIN PUBLIC KEY-----`, for RSA also
    /// `-----BEGIN RSA PUBLIC KEY-----`.
    ///
    /// # Errors
    ///
    /// The text is something else (private keys and certificates are refused by name), or the key
    /// does not fit the algorithm or is weak.
    pub fn from_pem(algorithm: Algorithm, text: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let block = pem::parse(text).map_err(|_| {
            ConfigError::new("no PEM: the text should start with `-----BEGIN PUBLIC KEY-----`")
        })?;
        match block.tag() {
            "PUBLIC KEY" | "RSA PUBLIC KEY" => Self::from_der(algorithm, block.contents()),
            "CERTIFICATE" => Err(ConfigError::new(
                "a certificate: take its public key out with `openssl x509 -pubkey -noout`",
            )),
            tag if tag.ends_with("PRIVATE KEY") => Err(ConfigError::new(
                "a private key, which a verifier should not have: make the public one with \
                 `openssl pkey -pubout`",
            )),
            tag => Err(ConfigError::new(format!(
                "the PEM block is a {tag:?}: a `PUBLIC KEY` is needed"
            ))),
        }
    }

    /// A public key in DER: a `SubjectPublicKeyInfo` (RFC 5280 §4.1), for RSA also an
    /// `RSAPublicKey` (RFC 8017 §A.1.1).
    ///
    /// # Errors
    ///
    /// The key does not fit the algorithm, or is weak.
    pub fn from_der(algorithm: Algorithm, der: &[u8]) -> Result<Self, ConfigError> {
        match scheme(algorithm)? {
            Scheme::Rsa(parameters) => {
                let key = PublicKey::from_der(der).map_err(|_| unfit(algorithm))?;
                Self::from_rsa(
                    algorithm,
                    parameters,
                    key.modulus().big_endian_without_leading_zero(),
                    key.exponent().big_endian_without_leading_zero(),
                )
            }
            Scheme::Curve(curve) => Self::from_point(algorithm, curve, der),
        }
    }

    /// A key in JSON (RFC 7517): RSA, EC, OKP or, for a shared secret, oct.
    ///
    /// Its `kid` becomes its id. Its `alg` binds it; without one, a curve binds the key to ES256,
    /// ES384 or EdDSA, and an RSA key is bound to RS256.
    ///
    /// # Errors
    ///
    /// It is no such key, not one for signatures (`use`, `key_ops`), a private one, or weak.
    pub fn from_jwk(json: &str) -> Result<Self, ConfigError> {
        jwk::read(json)
    }

    /// Gives the key a name, by which tokens refer to it (`kid`).
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The name of the key, if it has one.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The one algorithm it is good for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn is_secret(&self) -> bool {
        matches!(self.material, Material::Secret(_))
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            Material::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }

    pub(crate) fn from_components(
        algorithm: Algorithm,
        modulus: &[u8],
        exponent: &[u8],
    ) -> Result<Self, ConfigError> {
        match scheme(algorithm)? {
            Scheme::Rsa(parameters) => Self::from_rsa(algorithm, parameters, modulus, exponent),
            Scheme::Curve(_) => Err(unfit(algorithm)),
        }
    }

    fn from_rsa(
        algorithm: Algorithm,
        parameters: &'static RsaParameters,
        modulus: &[u8],
        exponent: &[u8],
    ) -> Result<Self, ConfigError> {
        check_rsa(modulus, exponent)?;
        let components = PublicKeyComponents {
            n: modulus,
            e: exponent,
        };
        let key = components.to_parsed_public_key(parameters);
        Ok(Self {
            id: None,
            algorithm,
            material: Material::Public(key.map_err(|_| unfit(algorithm))?),
        })
    }

    fn from_point(
        algorithm: Algorithm,
        curve: &'static dyn VerificationAlgorithm,
        bytes: &[u8],
    ) -> Result<Self, ConfigError> {
        let key = ParsedPublicKey::new(curve, bytes).map_err(|_| unfit(algorithm))?;
        if algorithm == Algorithm::EdDSA {
            let der: PublicKeyX509Der<'_> = key.as_der().map_err(|_| unfit(algorithm))?;
            let point = der.as_ref().last_chunk().ok_or_else(|| unfit(algorithm))?;
            check_ed25519(point)?;
        }
        Ok(Self {
            id: None,
            algorithm,
            material: Material::Public(key),
        })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// The algorithm's name as `alg` spells it, case and all.
pub(crate) fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HS256 => "HS256",
        Algorithm::HS384 => "HS384",
        Algorithm::HS512 => "HS512",
        Algorithm::RS256 => "RS256",
        Algorithm::RS384 => "RS384",
        Algorithm::RS512 => "RS512",
        Algorithm::PS256 => "PS256",
        Algorithm::PS384 => "PS384",
        Algorithm::PS512 => "PS512",
        Algorithm::ES256 => "ES256",
        Algorithm::ES384 => "ES384",
        Algorithm::EdDSA => "EdDSA",
        // One that we make no key for, so that no token can ask for it.
        _ => "",
    }
}

enum Scheme {
    Rsa(&'static RsaParameters),
    Curve(&'static dyn VerificationAlgorithm),
}

fn scheme(algorithm: Algorithm) -> Result<Scheme, ConfigError> {
    Ok(match algorithm {
        Algorithm::RS256 => Scheme::Rsa(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Scheme::Rsa(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Scheme::Rsa(&RSA_PKCS1_2048_8192_SHA512),
        // The salt is as long as the hash (RFC 7518 §3.5), which is their default.
        Algorithm::PS256 => Scheme::Rsa(&RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Scheme::Rsa(&RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Scheme::Rsa(&RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => Scheme::Curve(&ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Scheme::Curve(&ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => Scheme::Curve(&ED25519),
        _ => {
            return Err(ConfigError::new(format!(
                "{algorithm:?} has no public key: use `Key::from_secret`"
            )));
        }
    })
}

fn unfit(algorithm: Algorithm) -> ConfigError {
    let needed = match algorithm {
        Algorithm::ES256 => "on the curve P-256",
        Algorithm::ES384 => "on the curve P-384",
        Algorithm::EdDSA => "on the curve Ed25519",
        _ => "of RSA",
    };
    ConfigError::new(format!(
        "not a key for {algorithm:?}, which needs a public key {needed}"
    ))
}
