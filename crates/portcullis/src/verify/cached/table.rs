use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::key::{BuildKeyHasher, Key};

/// A bounded map from keys to values, in shards with one lock each.
///
/// A full shard evicts an entry with the CLOCK algorithm: the hand moves on to the first entry that
/// was not used since the hand last passed it. A flood of new entries evicts its own entries, and
/// not those in use. Evicted values are dropped outside of the lock.
#[derive(Debug)]
pub(super) struct Table<T> {
    shards: Box<[Mutex<Shard<T>>]>,
    time_to_live: Duration,
}

/// A value with the times that limit its use.
#[derive(Clone, Debug)]
pub(super) struct Entry<T> {
    pub(super) value: T,
    pub(super) verified_at: SystemTime,
    pub(super) ends_at: Option<SystemTime>,
}

const MAX_SHARDS: usize = 64;
/// Keys are distributed randomly. With smaller shards, one would be full long before the others.
const MIN_SHARD: usize = 128;

impl<T: Clone> Table<T> {
    pub(super) fn new(max_entries: usize, time_to_live: Duration) -> Self {
        let shards = (max_entries / MIN_SHARD).clamp(1, MAX_SHARDS);
        Self {
            shards: (0..shards)
                .map(|_| Mutex::new(Shard::new(max_entries / shards)))
                .collect(),
            time_to_live,
        }
    }

    /// Returns the value of a fresh entry.
    pub(super) fn get(&self, key: &Key, now: SystemTime) -> Option<T> {
        let mut shard = self.shard(key);
        let at = *shard.index.get(key)?;
        let slot = &mut shard.slots[at];
        if slot.entry.is_fresh(now, self.time_to_live) {
            slot.used = true;
            return Some(slot.entry.value.clone());
        }
        let removed = shard.remove(key);
        drop(shard);
        drop(removed);
        None
    }

    /// Inserts an entry if `is_current` returns `true`. It is called under the lock, so that no
    /// entry is inserted after [`remove_if`](Self::remove_if) has visited the shard.
    pub(super) fn insert(&self, key: Key, entry: Entry<T>, is_current: impl FnOnce() -> bool) {
        let mut shard = self.shard(&key);
        if is_current() {
            let removed = shard.put(key, entry, self.time_to_live);
            drop(shard);
            drop(removed);
        }
    }

    /// Removes the entries for which `is_removed` returns `true`. It is called outside of the lock.
    pub(super) fn remove_if(&self, is_removed: impl Fn(&T) -> bool) {
        for shard in &self.shards {
            let entries: Vec<(Key, T)> = lock(shard)
                .slots
                .iter()
                .map(|slot| (slot.key, slot.entry.value.clone()))
                .collect();
            for (key, _) in entries.iter().filter(|(_, value)| is_removed(value)) {
                let removed = lock(shard).remove(key);
                drop(removed);
            }
        }
    }

    /// Returns the number of entries, including expired ones.
    pub(super) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| lock(shard).slots.len())
            .sum()
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard<T>> {
        lock(&self.shards[key.shard(self.shards.len())])
    }
}

impl<T> Entry<T> {
    /// Returns whether the entry is younger than `time_to_live` and has not ended.
    ///
    /// If the clock was set back, the age is negative. Its absolute value counts, so an entry lives
    /// at most twice as long.
    fn is_fresh(&self, now: SystemTime, time_to_live: Duration) -> bool {
        let age = now
            .duration_since(self.verified_at)
            .unwrap_or_else(|ahead| ahead.duration());
        age < time_to_live && self.ends_at.is_none_or(|end| now < end)
    }
}

#[derive(Debug)]
struct Shard<T> {
    index: HashMap<Key, usize, BuildKeyHasher>,
    slots: Vec<Slot<T>>,
    capacity: usize,
    hand: usize,
}

#[derive(Debug)]
struct Slot<T> {
    key: Key,
    entry: Entry<T>,
    used: bool,
}

impl<T> Shard<T> {
    fn new(capacity: usize) -> Self {
        Self {
            index: HashMap::default(),
            slots: Vec::new(),
            capacity,
            hand: 0,
        }
    }

    /// Inserts an entry, and returns the entry that it replaces.
    fn put(&mut self, key: Key, entry: Entry<T>, time_to_live: Duration) -> Option<Slot<T>> {
        let known = self.index.get(&key).copied();
        let is_full = self.slots.len() >= self.capacity;
        let slot = |entry| Slot {
            key,
            entry,
            used: false,
        };
        match known {
            Some(at) => Some(std::mem::replace(&mut self.slots[at], slot(entry))),
            None if self.capacity == 0 => Some(slot(entry)),
            None if is_full => {
                let at = self.find_evicted(entry.verified_at, time_to_live);
                let removed = std::mem::replace(&mut self.slots[at], slot(entry));
                self.index.remove(&removed.key);
                self.index.insert(key, at);
                Some(removed)
            }
            None => {
                self.index.insert(key, self.slots.len());
                self.slots.push(slot(entry));
                None
            }
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Slot<T>> {
        let at = self.index.remove(key)?;
        let removed = self.slots.swap_remove(at);
        if let Some(moved) = self.slots.get(at) {
            self.index.insert(moved.key, at);
        }
        Some(removed)
    }

    /// Returns the index of the entry to evict. Each slot that the hand passes becomes unused, so
    /// the hand stops after at most one round and one step.
    fn find_evicted(&mut self, now: SystemTime, time_to_live: Duration) -> usize {
        loop {
            let at = self.hand % self.slots.len();
            self.hand = at + 1;
            let slot = &mut self.slots[at];
            if !slot.used || !slot.entry.is_fresh(now, time_to_live) {
                return at;
            }
            slot.used = false;
        }
    }
}

/// Locks a shard. No code of the application runs under these locks, so no panic leaves a shard
/// inconsistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use portcullis_core::Credential;

    use super::super::key::DigestKey;
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const START: SystemTime = SystemTime::UNIX_EPOCH;

    fn key(number: u32) -> Key {
        static KEYS: LazyLock<DigestKey> = LazyLock::new(DigestKey::generate);
        KEYS.key_of(&Credential::bearer(number.to_string()))
    }

    fn put(table: &Table<u32>, number: u32, verified_at: SystemTime) {
        let entry = Entry {
            value: number,
            verified_at,
            ends_at: None,
        };
        table.insert(key(number), entry, || true);
    }

    #[test]
    fn entry_is_fresh_until_its_time_to_live_or_its_end() {
        let second = Duration::from_secs(1);
        let hour = START + 60 * MINUTE;
        // The time of the look-up and the end of the entry, in seconds, and whether it is fresh.
        let rows: [(i32, _, _); 9] = [
            (0, None, true),
            (59, None, true),
            (60, None, false),
            (9, Some(10), true),
            (10, Some(10), false),
            (11, Some(10), false),
            (60, Some(90), false),
            // the clock was set back
            (-59, None, true),
            (-60, None, false),
        ];
        for (after, end, expected) in rows {
            let table = Table::new(10, MINUTE);
            let entry = Entry {
                value: (),
                verified_at: hour,
                ends_at: end.map(|end: u32| hour + end * second),
            };
            table.insert(key(1), entry, || true);
            let now = match u32::try_from(after) {
                Ok(after) => hour + after * second,
                Err(_) => hour - after.unsigned_abs() * second,
            };
            let found = table.get(&key(1), now).is_some();
            assert_eq!(found, expected, "{after} {end:?}");
            assert_eq!(table.len(), usize::from(expected), "stale ones are removed");
        }
    }

    #[test]
    fn time_to_live_can_be_the_maximum() {
        let table = Table::new(10, Duration::MAX);
        put(&table, 1, START);
        assert_eq!(table.get(&key(1), START + 1_000_000 * MINUTE), Some(1));
    }

    #[test]
    fn number_of_entries_never_exceeds_the_maximum() {
        for bound in [0, 1, 2, 127, 128, 255, 256, 1_000, 5_000] {
            let table = Table::new(bound, MINUTE);
            for number in 0..20_000 {
                put(&table, number, START);
            }
            let len = table.len();
            assert!(len <= bound, "{len} of {bound}");
            assert!(len >= bound - bound / MIN_SHARD, "{len} of {bound}");
        }
    }

    #[test]
    fn entries_in_use_survive_a_flood() {
        let table = Table::new(1_000, MINUTE);
        for hot in 0..200 {
            put(&table, hot, START);
        }
        for flood in 0..100_000 {
            put(&table, 1_000 + flood, START);
            assert_eq!(table.get(&key(flood % 200), START), Some(flood % 200));
        }
        assert!(table.len() <= 1_000);
    }

    #[test]
    fn stale_entries_are_evicted_before_unused_ones() {
        let table = Table::new(2, MINUTE);
        put(&table, 1, START);
        table.get(&key(1), START);
        put(&table, 2, START + MINUTE);
        put(&table, 3, START + MINUTE);
        assert_eq!(table.get(&key(2), START + MINUTE), Some(2));
        assert_eq!(table.get(&key(3), START + MINUTE), Some(3));
    }

    #[test]
    fn remove_if_keeps_the_other_entries() {
        let table = Table::new(1_000, MINUTE);
        for number in 0..500 {
            put(&table, number, START);
        }
        table.remove_if(|number| number % 3 == 0);
        for number in 0..500 {
            let expected = (number % 3 != 0).then_some(number);
            assert_eq!(table.get(&key(number), START), expected);
        }
        table.remove_if(|_| true);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn entry_that_is_not_current_is_not_inserted() {
        let table = Table::new(10, MINUTE);
        let entry = Entry {
            value: (),
            verified_at: START,
            ends_at: None,
        };
        table.insert(key(1), entry, || false);
        assert_eq!(table.len(), 0);
    }
}
