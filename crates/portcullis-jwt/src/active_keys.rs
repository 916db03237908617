use std::sync::OnceLock;

use crate::{Key, KeySet};

/// The current keys of a verifier, each with the header of its tokens.
///
/// Most tokens of a key have the same header, byte for byte. Once the signature of one token was
/// valid, the verifier does not parse the same header again, which saves a tenth of the work for
/// HS256. The headers belong to one verifier, since its settings decide which `typ` is accepted,
/// and they are dropped with the keys.
pub(crate) struct ActiveKeys {
    keys: KeySet,
    headers: Box<[OnceLock<Box<str>>]>,
}

impl ActiveKeys {
    pub(crate) fn new(keys: KeySet) -> Self {
        let headers = keys.iter().map(|_| OnceLock::new()).collect();
        Self { keys, headers }
    }

    pub(crate) fn keys(&self) -> &KeySet {
        &self.keys
    }

    /// Returns the key for an encoded header that was accepted before.
    pub(crate) fn find_by_header(&self, header: &str) -> Option<&Key> {
        let mut known = self.keys.iter().zip(&self.headers);
        let (key, _) =
            known.find(|(_, known)| known.get().is_some_and(|known| **known == *header))?;
        Some(key)
    }

    /// Remembers the encoded header of a token with a valid signature by `key`. The first one stays.
    pub(crate) fn remember_header(&self, header: &str, key: &Key) {
        let mut known = self.keys.iter().zip(&self.headers);
        if let Some((_, known)) = known.find(|(other, _)| std::ptr::eq(*other, key)) {
            known.get_or_init(|| header.into());
        }
    }
}
