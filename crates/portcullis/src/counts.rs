//! Counts per key, for limits such as the sessions of one subject.

use std::collections::HashMap;
use std::hash::Hash;

/// The number of items of each key. A key without an item takes no memory.
#[derive(Debug)]
pub(crate) struct Counts<K> {
    counts: HashMap<K, usize>,
}

impl<K: Eq + Hash> Counts<K> {
    /// Counts one more item of `key`. Returns `false`, and counts nothing, if there are `limit`
    /// items already.
    pub(crate) fn try_add(&mut self, key: K, limit: usize) -> bool {
        // Compare first: a refused key must not leave an entry behind, even if the limit is zero.
        if self.counts.get(&key).copied().unwrap_or(0) >= limit {
            return false;
        }
        *self.counts.entry(key).or_default() += 1;
        true
    }

    /// Counts one item of `key` less.
    pub(crate) fn remove(&mut self, key: &K) {
        let Some(count) = self.counts.get_mut(key) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            self.counts.remove(key);
        }
    }

    /// Returns the number of keys.
    #[cfg(test)]
    pub(crate) fn keys(&self) -> usize {
        self.counts.len()
    }
}

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self {
            counts: HashMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_counted_up_to_the_limit() {
        let mut counts = Counts::default();
        assert!(counts.try_add("alice", 2));
        assert!(counts.try_add("alice", 2));
        assert!(!counts.try_add("alice", 2));
        assert!(counts.try_add("bob", 2));
        counts.remove(&"alice");
        assert!(counts.try_add("alice", 2));
    }

    #[test]
    fn keys_without_items_leave_no_entry() {
        let mut counts = Counts::default();
        assert!(!counts.try_add("alice", 0));
        assert_eq!(counts.keys(), 0);
        assert!(counts.try_add("alice", 1));
        counts.remove(&"alice");
        counts.remove(&"alice");
        assert_eq!(counts.keys(), 0);
    }
}
