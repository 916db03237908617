use std::fmt;
use std::sync::Arc;

use crate::{ConfigError, Key, jwk};

/// The maximum number of keys in a [`KeySet`]: 128.
pub const MAX_KEYS: usize = 128;

/// The keys of one issuer: at least one key, and no two keys that fit the same token.
///
/// Cloning is cheap, since clones share the keys.
///
/// # Selection of a key
///
/// The verifier selects one key by the token's `kid` and `alg`, and checks the signature once:
///
/// | `kid` of the token | key |
/// |---|---|
/// | is the id of a key | that key |
/// | is not the id of any key | the key without an id for `alg`, if there is one |
/// | is missing | the key without an id for `alg`, else the only key for `alg` |
///
/// In each row, the algorithm of the key has to match `alg`. A set may therefore contain public
/// keys of several types, but not two keys with the same id, not two keys without an id for the
/// same algorithm, and not both secrets and public keys.
///
/// ```
/// use portcullis_jwt::{Algorithm, Key, KeySet};
///
/// # let (old, new) = (["o"; 32].concat(), ["n"; 32].concat());
/// let old = Key::from_secret(Algorithm::HS256, old.as_bytes())?.with_id("2026-08");
/// let new = Key::from_secret(Algorithm::HS256, new.as_bytes())?.with_id("2026-09");
/// let keys = KeySet::new([old, new])?;
/// assert_eq!(keys.iter().count(), 2);
/// # Ok::<_, portcullis_jwt::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct KeySet(Arc<[Key]>);

impl KeySet {
    /// Creates a set from keys.
    ///
    /// # Errors
    ///
    /// Returns an error if there are no keys, if there are more than [`MAX_KEYS`], or if a token
    /// could refer to more than one of them.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Result<Self, ConfigError> {
        let keys: Arc<[Key]> = keys.into_iter().take(MAX_KEYS + 1).collect();
        if keys.is_empty() {
            return Err(ConfigError::new(
                "no key: a set needs at least one key for signatures",
            ));
        }
        if keys.len() > MAX_KEYS {
            return Err(ConfigError::new(format!(
                "the set has more than {MAX_KEYS} keys"
            )));
        }
        for (index, key) in keys.iter().enumerate() {
            for other in &keys[..index] {
                check_distinct(key, other)?;
            }
        }
        Ok(Self(keys))
    }

    /// Creates a set from the public keys of a JWK Set (RFC 7517 §5), as an identity provider
    /// publishes it.
    ///
    /// Keys for encryption and keys of unknown types are skipped.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not a JWK Set, if no key remains, or if a key is weak,
    /// malformed, private or a shared secret (a published secret is not secret). The conditions of
    /// [`new`](Self::new) apply, too.
    pub fn from_jwks(json: &str) -> Result<Self, ConfigError> {
        let keys = Self::new(jwk::parse_set(json)?)?;
        if keys.iter().any(Key::is_secret) {
            return Err(ConfigError::new(
                "the set contains a shared secret: if it was never published, use \
                 `KeySet::from_secret_jwks`",
            ));
        }
        Ok(keys)
    }

    /// Creates a set from the shared secrets (`oct`) of a private JWK Set.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`from_jwks`](Self::from_jwks), except that this method
    /// refuses public keys instead of secrets.
    pub fn from_secret_jwks(json: &str) -> Result<Self, ConfigError> {
        let keys = Self::new(jwk::parse_set(json)?)?;
        if !keys.iter().all(Key::is_secret) {
            return Err(ConfigError::new(
                "the set contains a public key: use `KeySet::from_jwks`",
            ));
        }
        Ok(keys)
    }

    /// Returns the keys in their original order.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }

    /// Returns the key for a token with this header, by the table of [`KeySet`].
    pub(crate) fn find(&self, algorithm: &str, id: Option<&str>) -> Option<&Key> {
        let fits = |key: &&Key| key.algorithm().as_str() == algorithm;
        if id.is_some()
            && let Some(key) = self.iter().find(|key| key.id() == id)
        {
            return Some(key).filter(fits);
        }
        let without_id = self.iter().filter(fits).find(|key| key.id().is_none());
        if id.is_some() || without_id.is_some() {
            return without_id;
        }
        let mut fitting = self.iter().filter(fits);
        let only = fitting.next();
        only.filter(|_| fitting.next().is_none())
    }
}

impl From<Key> for KeySet {
    fn from(key: Key) -> Self {
        Self(Arc::new([key]))
    }
}

/// Prints ids and algorithms.
impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

fn check_distinct(key: &Key, other: &Key) -> Result<(), ConfigError> {
    if key.is_secret() != other.is_secret() {
        return Err(ConfigError::new(
            "the set contains secrets and public keys: build two verifiers and combine them with \
             `any_of`",
        ));
    }
    if key.id() == other.id() {
        match key.id() {
            Some(id) => {
                return Err(ConfigError::new(format!("two keys have the id {id:?}")));
            }
            None if key.algorithm() == other.algorithm() => {
                return Err(ConfigError::new(format!(
                    "two keys for {} have no id: set one with `Key::with_id`",
                    key.algorithm(),
                )));
            }
            None => {}
        }
    }
    Ok(())
}
