use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use portcullis_core::{Carrier, Credential, Scheme};

/// The random keys of one cache, under which it takes the digests of credentials.
///
/// So no cache shares a digest with another one, and nobody outside can tell which digests are
/// neighbours, or what a digest that leaked was made of.
pub(super) struct DigestKey {
    nameless: [u8; 32],
    named: [u8; 32],
}

/// Everything a verifier can see of a credential, without the secret itself.
///
/// The carrier is a part of it: most verifiers do not look at it, but one may.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Key {
    carrier: Carrier,
    scheme: Scheme,
    digest: blake3::Hash,
}

impl DigestKey {
    pub(super) fn generate() -> Self {
        Self {
            nameless: random(),
            named: random(),
        }
    }

    pub(super) fn key_of(&self, credential: &Credential) -> Key {
        let secret = credential.expose_secret().as_bytes();
        let digest = match credential.username() {
            None => blake3::keyed_hash(&self.nameless, secret),
            // Under a key of its own, since no name is something else than an empty one; and with
            // lengths, so that nothing can be moved from one part to the other.
            Some(name) => blake3::Hasher::new_keyed(&self.named)
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
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey([redacted])")
    }
}

impl Key {
    /// Which of `shards` it belongs to. Other bytes than those of its hash decide, or all keys of a
    /// shard would crowd into a few buckets.
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

/// Hashes a [`Key`] by taking a piece of it. It is random already, and no client can choose it.
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
    fn everything_a_verifier_can_see_counts() {
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
            // Names and secrets that look like a message, or like the rest of one.
            Credential::basic("a\x02\0\0\0\0\0\0\0bc", ""),
            Credential::basic("a", "b\x01\0\0\0\0\0\0\0c"),
            Credential::basic("a\x0a\0\0\0\0\0\0\0b", "c"),
            Credential::new(
                Carrier::Authorization,
                Scheme::Basic,
                "\x01\0\0\0\0\0\0\0a\x02\0\0\0\0\0\0\0bc",
            ),
        ];
        let known: HashSet<_> = credentials.iter().map(|it| keys.key_of(it)).collect();
        assert_eq!(known.len(), credentials.len());
        for credential in credentials {
            assert!(known.contains(&keys.key_of(&credential.clone())));
        }
    }

    #[test]
    fn no_two_caches_agree() {
        let [one, other] = [DigestKey::generate(), DigestKey::generate()];
        for credential in [Credential::bearer("abc"), Credential::basic("a", "bc")] {
            assert_ne!(one.key_of(&credential), other.key_of(&credential));
        }
    }
}
