use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_core::Credential;
use zeroize::{Zeroize as _, Zeroizing};

use crate::ConfigError;

/// The secret that all machines of a deployment share for verification results. Redis does not
/// receive it.
///
/// It keys the digests of credentials and authenticates the stored results. After a change of the
/// key, earlier results are not found any more.
///
/// ```
/// use portcullis_redis::VerificationKey;
///
/// // Generated with `head -c 32 /dev/urandom | basenc --base64url | tr -d =`.
/// let key = VerificationKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")?;
/// # Ok::<_, portcullis_redis::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct VerificationKey(Zeroizing<[u8; 32]>);

impl VerificationKey {
    /// Creates a key from 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Parses a key of 32 bytes in unpadded base64url, with optional white space around it.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError::Key`] if the text is anything else.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim());
        let bytes = Zeroizing::new(bytes.map_err(|_| ConfigError::Key)?);
        let bytes = <[u8; 32]>::try_from(&**bytes).map_err(|_| ConfigError::Key)?;
        Ok(Self::new(bytes))
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerificationKey([redacted])")
    }
}

/// The keys for one verifier, derived from its [`VerificationKey`] and namespace.
pub(super) struct Keys {
    name: [u8; 32],
    tag: [u8; 32],
}

impl Keys {
    pub(super) fn new(key: &VerificationKey, namespace: &str) -> Self {
        let derive = |purpose| {
            let mut base = blake3::derive_key(purpose, &*key.0);
            let derived = blake3::keyed_hash(&base, namespace.as_bytes());
            base.zeroize();
            *derived.as_bytes()
        };
        Self {
            name: derive("portcullis-redis 2026-11 name of a verification"),
            tag: derive("portcullis-redis 2026-11 seal of a verification"),
        }
    }

    /// Returns the name of a credential: a keyed digest of everything that a verifier sees of it.
    /// Each part is preceded by its length, so that different parts never have the same digest.
    pub(super) fn name(&self, credential: &Credential) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.name);
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(credential.carrier().as_str().as_bytes());
        part(credential.scheme().as_str().as_bytes());
        // A missing user name differs from an empty one.
        part(&[u8::from(credential.username().is_some())]);
        part(credential.username().unwrap_or_default().as_bytes());
        part(credential.expose_secret().as_bytes());
        hasher.finalize()
    }

    /// Authenticates `message` for `name`.
    pub(super) fn tag(&self, name: &blake3::Hash, message: &[u8]) -> blake3::Hash {
        blake3::Hasher::new_keyed(&self.tag)
            .update(name.as_bytes())
            .update(message)
            .finalize()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.name.zeroize();
        self.tag.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use portcullis_core::{Carrier, Scheme};

    use super::*;

    #[test]
    fn names_differ_in_everything_that_a_verifier_sees() {
        let credentials = [
            Credential::bearer("abc"),
            Credential::bearer("ab"),
            Credential::bearer(""),
            Credential::new(Carrier::Authorization, Scheme::Token, "abc"),
            Credential::new(Carrier::Authorization, Scheme::Basic, "abc"),
            Credential::new(Carrier::Query, Scheme::Bearer, "abc"),
            Credential::new(Carrier::Message, Scheme::Bearer, "abc"),
            Credential::basic("", "abc"),
            Credential::basic("ab", "c"),
            Credential::basic("a", "bc"),
            Credential::basic("abc", ""),
            Credential::basic("a\x02\0\0\0\0\0\0\0bc", ""),
            Credential::basic("a", "b\x01\0\0\0\0\0\0\0c"),
        ];
        let one = VerificationKey::new([1; 32]);
        let other = VerificationKey::new([2; 32]);
        let scopes = [(&one, "a"), (&one, "b"), (&other, "a"), (&one, "")];
        let names: HashSet<_> = scopes
            .iter()
            .flat_map(|(key, namespace)| {
                let keys = Keys::new(key, namespace);
                credentials
                    .iter()
                    .map(move |credential| keys.name(credential))
            })
            .collect();
        assert_eq!(names.len(), scopes.len() * credentials.len());
        let again = Keys::new(&one.clone(), "a");
        assert!(
            credentials
                .iter()
                .all(|credential| names.contains(&again.name(&credential.clone())))
        );
    }

    #[test]
    fn keys_are_parsed_from_base64url() {
        let key = VerificationKey::parse(" AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n").unwrap();
        assert_eq!(key.0[31], 31);
        assert_eq!(format!("{key:?}"), "VerificationKey([redacted])");
        for text in [
            "",
            "AAECAwQF",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        ] {
            assert_eq!(VerificationKey::parse(text).unwrap_err(), ConfigError::Key);
        }
    }
}
