use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use portcullis_core::{Carrier, Credential, Scheme};

/// The random keys of one cache for the digests of credentials.
///
/// They are secret and differ between caches, so an attacker can neither choose credentials with
/// similar digests nor test a leaked digest.
pub(super) struct DigestKey {
    without_username: [u8; 32],
    with_username: [u8; 32],
}

/// Everything of a credential that a verifier can see, with a digest instead of the secret.
///
/// It includes the carrier, because a verifier may read it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Key {
    carrier: Carrier,
    scheme: Scheme,
    digest: blake3::Hash,
}

impl DigestKey {
    pub(super) fn generate() -> Self {
        Self {
            without_username: random(),
            with_username: random(),
        }
    }

    pub(super) fn key_of(&self, credential: &Credential) -> Key {
        let secret = credential.expose_secret().as_bytes();
        let digest = match credential.username() {
            None => blake3::keyed_hash(&self.without_username, secret),
            // Another key, because no user name differs from an empty one. The lengths distinguish
            // `ab`, `c` from `a`, `bc`.
            Some(name) => blake3::Hasher::new_keyed(&self.with_username)
                .update(&(name.len() as u64).to_le_bytes())
                .update(name.as_bytes())
                .update(&(secret.len() as u64).to_le_bytes())
                .update(secret)
                .finalize(),
        };
        Key {
            carrier: credential.carrier(),
            scheme: credential.scheme(),
            digest,
        }
    }
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system provides random bytes");
    bytes
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey([redacted])")
    }
}

impl Key {
    /// Returns the index of its shard. It uses other bytes than the hash, so that the keys of one
    /// shard spread over all buckets.
    pub(super) fn shard(&self, shards: usize) -> usize {
        let [.., a, b, c, d] = *self.digest.as_bytes();
        u32::from_le_bytes([a, b, c, d]) as usize % shards
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = *self.digest.as_bytes();
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

/// Hashes a [`Key`] by taking some of its bytes. A digest is random, and a client cannot choose it.
pub(super) type BuildKeyHasher = BuildHasherDefault<KeyHasher>;

#[derive(Debug, Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = self.0.rotate_left(8) ^ number;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn key_depends_on_everything_that_a_verifier_can_see() {
        let keys = DigestKey::generate();
        let credentials = [
            Credential::bearer("abc"),
            Credential::bearer("ab"),
            Credential::bearer("abc\0"),
            Credential::bearer(""),
            Credential::new(Carrier::Authorization, Scheme::Token, "abc"),
            Credential::new(Carrier::Authorization, Scheme::Basic, "abc"),
            Credential::new(Carrier::Query, Scheme::Bearer, "abc"),
            Credential::new(Carrier::Cookie, Scheme::Bearer, "abc"),
            Credential::new(Carrier::Subprotocol, Scheme::Bearer, "abc"),
            Credential::basic("", "abc"),
            Credential::basic("ab", "c"),
            Credential::basic("a", "bc"),
            Credential::basic("abc", ""),
            Credential::basic("a\0", "bc"),
            Credential::basic("a", "\0bc"),
            // User names and secrets that contain encoded lengths.
            Credential::basic("a\x02\0\0\0\0\0\0\0bc", ""),
            Credential::basic("a", "b\x01\0\0\0\0\0\0\0c"),
            Credential::basic("a\x0a\0\0\0\0\0\0\0b", "c"),
            Credential::new(
                Carrier::Authorization,
                Scheme::Basic,
                "\x01\0\0\0\0\0\0\0a\x02\0\0\0\0\0\0\0bc",
            ),
        ];
        let keys_of_all: HashSet<_> = credentials.iter().map(|it| keys.key_of(it)).collect();
        assert_eq!(keys_of_all.len(), credentials.len());
        for credential in credentials {
            assert!(keys_of_all.contains(&keys.key_of(&credential.clone())));
        }
    }

    #[test]
    fn keys_differ_between_caches() {
        let [one, other] = [DigestKey::generate(), DigestKey::generate()];
        for credential in [Credential::bearer("abc"), Credential::basic("a", "bc")] {
            assert_ne!(one.key_of(&credential), other.key_of(&credential));
        }
    }
}
