use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_core::Credential;
use zeroize::{Zeroize as _, Zeroizing};

use crate::ConfigError;

/// The secret that all machines of a deployment share, and Redis does not know.
///
/// Under it, credentials become names, and what is kept is signed. With another key, nothing that
/// was kept before is found.
#[derive(Clone)]
pub struct VerificationKey(Zeroizing<[u8; 32]>);

impl VerificationKey {
    /// A key of these random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A key from its text form.
    ///
    /// # Errors
    ///
    /// If the text, without the white space around it, is not 32 bytes in unpadded base64url.
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

/// The two keys that are made of it, for one verifier.
pub(super) struct Keys {
    name: [u8; 32],
    seal: [u8; 32],
}

impl Keys {
    /// Everything that changes an answer is a part of the names: here, which verifier it is.
    pub(super) fn new(key: &VerificationKey, namespace: &str) -> Self {
        let derive = |purpose| {
            let mut base = blake3::derive_key(purpose, &*key.0);
            let derived = blake3::keyed_hash(&base, namespace.as_bytes());
            base.zeroize();
            *derived.as_bytes()
        };
        Self {
            name: derive("portcullis-redis 2026-11 name of a verification"),
            seal: derive("portcullis-redis 2026-11 seal of a verification"),
        }
    }

    /// The name of a credential: a digest of all that a verifier can see of it. Each part has its
    /// length before it, so that nothing can be moved from one to the next.
    pub(super) fn name(&self, credential: &Credential) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.name);
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(credential.carrier().as_str().as_bytes());
        part(credential.scheme().as_str().as_bytes());
        // No name is something else than an empty one.
        part(&[u8::from(credential.username().is_some())]);
        part(credential.username().unwrap_or_default().as_bytes());
        part(credential.expose_secret().as_bytes());
        hasher.finalize()
    }

    /// What only one who has the key can say about `message`, kept under `name`.
    pub(super) fn seal(&self, name: &blake3::Hash, message: &[u8]) -> blake3::Hash {
        blake3::Hasher::new_keyed(&self.seal)
            .update(name.as_bytes())
            .update(message)
            .finalize()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.name.zeroize();
        self.seal.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use portcullis_core::{Carrier, Scheme};

    use super::*;

    #[test]
    fn everything_a_verifier_can_see_counts() {
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
        let rooms = [(&one, "a"), (&one, "b"), (&other, "a"), (&one, "")];
        let names: HashSet<_> = rooms
            .iter()
            .flat_map(|(key, namespace)| {
                let keys = Keys::new(key, namespace);
                credentials
                    .iter()
                    .map(move |credential| keys.name(credential))
            })
            .collect();
        assert_eq!(names.len(), rooms.len() * credentials.len());
        let again = Keys::new(&one.clone(), "a");
        assert!(
            credentials
                .iter()
                .all(|it| names.contains(&again.name(&it.clone())))
        );
    }

    #[test]
    fn keys_are_written_in_base64url() {
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
