use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rsa::{PublicKey, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    VerificationAlgorithm,
};
use aws_lc_rs::{digest, hmac};

use crate::strength::{check_ed25519, check_rsa, check_secret};
use crate::{Algorithm, ConfigError, jwk};

/// A key that verifies signatures, bound to one algorithm (RFC 8725 §3.1).
///
/// A token's `alg` must equal the algorithm of the key, and never selects how the key is used. The
/// constructors reject weak keys and prepare the key, so that each token costs one signature check.
/// `Debug` prints the id and the algorithm, and nothing of the key itself.
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
    /// Boxed, since it is twenty times as large as the other variant.
    Secret(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

impl Key {
    /// Creates a key from a shared secret, for HS256, HS384 or HS512.
    ///
    /// Generate the secret at random, for example with `openssl rand 32`. Every holder of the
    /// secret can also issue tokens.
    ///
    /// # Errors
    ///
    /// Returns an error if the secret is shorter than the hash (RFC 7518 §3.2), if it is a public
    /// key in PEM, or if the algorithm takes a public key.
    pub fn from_secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, ConfigError> {
        let hash = match algorithm {
            Algorithm::HS256 => hmac::HMAC_SHA256,
            Algorithm::HS384 => hmac::HMAC_SHA384,
            Algorithm::HS512 => hmac::HMAC_SHA512,
            _ => {
                return Err(ConfigError::new(format!(
                    "{algorithm} takes a public key and no shared secret: use `Key::from_pem`",
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

    /// Creates a key from a public key in PEM.
    ///
    /// The block is a `PUBLIC KEY`; RSA keys may also be an `RSA PUBLIC KEY`.
    ///
    /// ```
    /// use portcullis_jwt::{Algorithm, Key};
    ///
    /// let pem = "-----BEGIN PUBLIC KEY-----\n\
    ///            MCowBQYDK2VwAyEA18Utkjo9MW8lzIaX6mcdGm/tfnfDoKul7oX2UdRZOlU=\n\
    ///            -----END PUBLIC KEY-----\n";
    /// let key = Key::from_pem(Algorithm::EdDSA, pem)?;
    /// assert_eq!(key.algorithm(), Algorithm::EdDSA);
    /// # Ok::<_, portcullis_jwt::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not such a block (for a private key or a certificate, the
    /// error names the `openssl` command that extracts the public key), or if the key is weak or
    /// does not fit the algorithm.
    pub fn from_pem(algorithm: Algorithm, text: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let block = pem::parse(text).map_err(|_| {
            ConfigError::new("not PEM: the text must start with `-----BEGIN PUBLIC KEY-----`")
        })?;
        match block.tag() {
            "PUBLIC KEY" | "RSA PUBLIC KEY" => Self::from_der(algorithm, block.contents()),
            "CERTIFICATE" => Err(ConfigError::new(
                "the PEM block is a certificate: extract its public key with \
                 `openssl x509 -pubkey -noout`",
            )),
            tag if tag.ends_with("PRIVATE KEY") => Err(ConfigError::new(
                "the PEM block is a private key, which a verifier does not need: extract the public \
                 key with `openssl pkey -pubout`",
            )),
            tag => Err(ConfigError::new(format!(
                "the PEM block is a {tag:?}; expected a `PUBLIC KEY`"
            ))),
        }
    }

    /// Creates a key from a public key in DER.
    ///
    /// The bytes are a `SubjectPublicKeyInfo` (RFC 5280 §4.1); RSA keys may also be an
    /// `RSAPublicKey` (RFC 8017 §A.1.1).
    ///
    /// # Errors
    ///
    /// Returns an error if the key does not fit the algorithm or is weak.
    pub fn from_der(algorithm: Algorithm, der: &[u8]) -> Result<Self, ConfigError> {
        match scheme(algorithm)? {
            Scheme::Rsa(parameters) => {
                let key = PublicKey::from_der(der).map_err(|_| mismatch(algorithm))?;
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

    /// Creates a key from a JSON Web Key (RFC 7517) of the type RSA, EC, OKP or oct.
    ///
    /// `kid` becomes the [id](Self::id) and `alg` the [algorithm](Self::algorithm). Without `alg`,
    /// the curve selects ES256, ES384 or EdDSA, and an RSA key is used with RS256.
    ///
    /// ```
    /// use portcullis_jwt::{Algorithm, Key};
    ///
    /// let key = Key::from_jwk(
    ///     r#"{
    ///         "kty": "OKP", "crv": "Ed25519", "kid": "2026-09",
    ///         "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    ///     }"#,
    /// )?;
    /// assert_eq!(key.id(), Some("2026-09"));
    /// assert_eq!(key.algorithm(), Algorithm::EdDSA);
    /// # Ok::<_, portcullis_jwt::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not a JWK, if the key is not for signatures (`use`,
    /// `key_ops`), or if it is private or weak.
    pub fn from_jwk(json: &str) -> Result<Self, ConfigError> {
        jwk::parse(json)
    }

    /// Sets the id, which tokens refer to as `kid`.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Returns the id, if the key has one.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns the algorithm that the key is bound to.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn is_secret(&self) -> bool {
        matches!(self.material, Material::Secret(_))
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Secret(key) => {
                // `hmac::verify` does the same, but copies the state of the hash once more.
                let mut tag = [0; digest::MAX_OUTPUT_LEN];
                hmac::sign_to_buffer(key, message, &mut tag)
                    .and_then(|tag| verify_slices_are_equal(tag, signature))
                    .is_ok()
            }
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
            Scheme::Curve(_) => Err(mismatch(algorithm)),
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
            material: Material::Public(key.map_err(|_| mismatch(algorithm))?),
        })
    }

    fn from_point(
        algorithm: Algorithm,
        curve: &'static dyn VerificationAlgorithm,
        bytes: &[u8],
    ) -> Result<Self, ConfigError> {
        let key = ParsedPublicKey::new(curve, bytes).map_err(|_| mismatch(algorithm))?;
        if algorithm == Algorithm::EdDSA {
            let der: PublicKeyX509Der<'_> = key.as_der().map_err(|_| mismatch(algorithm))?;
            let point = der
                .as_ref()
                .last_chunk()
                .ok_or_else(|| mismatch(algorithm))?;
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

enum Scheme {
    Rsa(&'static RsaParameters),
    Curve(&'static dyn VerificationAlgorithm),
}

fn scheme(algorithm: Algorithm) -> Result<Scheme, ConfigError> {
    Ok(match algorithm {
        Algorithm::RS256 => Scheme::Rsa(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Scheme::Rsa(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Scheme::Rsa(&RSA_PKCS1_2048_8192_SHA512),
        // aws-lc's default salt is as long as the hash, as RFC 7518 §3.5 asks.
        Algorithm::PS256 => Scheme::Rsa(&RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Scheme::Rsa(&RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Scheme::Rsa(&RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => Scheme::Curve(&ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Scheme::Curve(&ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => Scheme::Curve(&ED25519),
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
            return Err(ConfigError::new(format!(
                "{algorithm} takes a shared secret and no public key: use `Key::from_secret`"
            )));
        }
    })
}

fn mismatch(algorithm: Algorithm) -> ConfigError {
    let needed = match algorithm {
        Algorithm::ES256 => "on the curve P-256",
        Algorithm::ES384 => "on the curve P-384",
        Algorithm::EdDSA => "on the curve Ed25519",
        _ => "of the type RSA",
    };
    ConfigError::new(format!(
        "not a key for {algorithm}, which needs a public key {needed}"
    ))
}

#[cfg(test)]
#[path = "../tests/jwt/vectors/primitives.rs"]
mod published_vectors;
