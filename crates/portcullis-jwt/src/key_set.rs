use std::fmt;
use std::sync::Arc;

use crate::key::name;
use crate::{ConfigError, Key, jwk};

/// The most keys a set may have.
pub const MAX_KEYS: usize = 128;

/// The keys of one issuer. It is never empty, and a token finds at most one key in it.
///
/// # Which key a token is checked with
///
/// | the token's `kid` | the key |
/// |---|---|
/// | names a key | that key |
/// | names none | the key without a name, if there is one for the token's `alg` |
/// | is absent | the key without a name for the token's `alg`, else the only key for it |
///
/// In each row the key's own algorithm has to be the token's `alg`. So a set may mix public keys
/// of different kinds, but not two keys of one name, nor two nameless ones of one algorithm, nor
/// secrets with public keys.
///
/// A clone shares the keys.
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
    /// A set of these keys.
    ///
    /// # Errors
    ///
    /// There is none, there are more than [`MAX_KEYS`], or a token could mean more than one of
    /// them.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Result<Self, ConfigError> {
        let keys: Arc<[Key]> = keys.into_iter().take(MAX_KEYS + 1).collect();
        if keys.is_empty() {
            return Err(ConfigError::new("no key: a set needs one at least"));
        }
        if keys.len() > MAX_KEYS {
            return Err(ConfigError::new(format!("more than {MAX_KEYS} keys")));
        }
        for (index, key) in keys.iter().enumerate() {
            for other in &keys[..index] {
                tell_apart(key, other)?;
            }
        }
        Ok(Self(keys))
    }

    /// The public keys of a JWK Set (RFC 7517 §5), as an identity provider publishes it.
    ///
    /// Keys for encryption and of kinds we do not know are skipped.
    ///
    /// # Errors
    ///
    /// It is no such set, no key is left, or a key is weak, malformed, private or a shared secret:
    /// what is published is no secret. See also [`new`](Self::new).
    pub fn from_jwks(json: &str) -> Result<Self, ConfigError> {
        let keys = Self::new(jwk::read_set(json)?)?;
        if keys.iter().any(Key::is_secret) {
            return Err(ConfigError::new(
                "a shared secret in a set of public keys: use `KeySet::from_secret_jwks` if the \
                 set is yours and was never published",
            ));
        }
        Ok(keys)
    }

    /// The shared secrets (`oct`) of a JWK Set that is yours alone.
    ///
    /// # Errors
    ///
    /// As [`from_jwks`](Self::from_jwks), but here it is a public key that is refused.
    pub fn from_secret_jwks(json: &str) -> Result<Self, ConfigError> {
        let keys = Self::new(jwk::read_set(json)?)?;
        if !keys.iter().all(Key::is_secret) {
            return Err(ConfigError::new(
                "a public key in a set of secrets: use `KeySet::from_jwks`",
            ));
        }
        Ok(keys)
    }

    /// The keys, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }

    /// The one key for a token with this header, by the table above.
    pub(crate) fn find(&self, algorithm: &str, id: Option<&str>) -> Option<&Key> {
        if id.is_some()
            && let Some(key) = self.iter().find(|key| key.id() == id)
        {
            return Some(key).filter(|key| name(key.algorithm()) == algorithm);
        }
        let fitting = || self.iter().filter(|key| name(key.algorithm()) == algorithm);
        let nameless = fitting().find(|key| key.id().is_none());
        if id.is_some() || nameless.is_some() {
            return nameless;
        }
        let mut fitting = fitting();
        let only = fitting.next();
        only.filter(|_| fitting.next().is_none())
    }
}

impl From<Key> for KeySet {
    fn from(key: Key) -> Self {
        Self(Arc::new([key]))
    }
}

/// Prints the keys' names and algorithms.
impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

fn tell_apart(key: &Key, other: &Key) -> Result<(), ConfigError> {
    if key.is_secret() != other.is_secret() {
        return Err(ConfigError::new(
            "secrets and public keys in one set: make two verifiers, and join them with `any_of`",
        ));
    }
    if key.id() == other.id() {
        match key.id() {
            Some(id) => {
                return Err(ConfigError::new(format!("two keys have the id {id:?}")));
            }
            None if key.algorithm() == other.algorithm() => {
                return Err(ConfigError::new(format!(
                    "two keys for {:?} have no id: name them with `Key::with_id`",
                    key.algorithm(),
                )));
            }
            None => {}
        }
    }
    Ok(())
}
