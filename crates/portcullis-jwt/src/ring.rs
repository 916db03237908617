use std::sync::OnceLock;

use crate::{Key, KeySet};

/// The keys a verifier uses at the moment, each with the header its tokens have.
///
/// All tokens of one key tend to have the same header, letter for letter. Once a token was found
/// good, the next one with its header needs not be parsed up to the signature. That saves a tenth
/// of the work for a shared secret. It belongs to one verifier, since the judgement of a header
/// depends on its rules, and it ends with its keys.
pub(crate) struct Ring {
    keys: KeySet,
    headers: Box<[OnceLock<Box<str>>]>,
}

impl Ring {
    pub(crate) fn new(keys: KeySet) -> Self {
        let headers = keys.iter().map(|_| OnceLock::new()).collect();
        Self { keys, headers }
    }

    pub(crate) fn keys(&self) -> &KeySet {
        &self.keys
    }

    /// The key of a header that was found good before.
    pub(crate) fn recall(&self, header: &str) -> Option<&Key> {
        let mut known = self.keys.iter().zip(&self.headers);
        let (key, _) =
            known.find(|(_, known)| known.get().is_some_and(|known| **known == *header))?;
        Some(key)
    }

    /// Remembers the header of a token whose signature by `key` holds. The first one stays.
    pub(crate) fn remember(&self, header: &str, key: &Key) {
        let mut places = self.keys.iter().zip(&self.headers);
        if let Some((_, place)) = places.find(|(other, _)| std::ptr::eq(*other, key)) {
            place.get_or_init(|| header.into());
        }
    }
}
