use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::key::{BuildKeyHasher, Key};

/// Answers by key: bounded, and in shards with a lock each.
///
/// A full shard gives up the answer that nobody asked for lately: the hand of a clock goes round
/// and takes the first that was not used since it last came by. So a flood of new answers pushes
/// out itself, and not what is in use. Whatever is dropped is dropped outside of the lock.
#[derive(Debug)]
pub(super) struct Table<T> {
    shards: Box<[Mutex<Shard<T>>]>,
    time_to_live: Duration,
}

/// An answer, and what bounds its life.
#[derive(Clone, Debug)]
pub(super) struct Entry<T> {
    pub(super) answer: T,
    pub(super) asked_at: SystemTime,
    pub(super) ends_at: Option<SystemTime>,
}

const MAX_SHARDS: usize = 64;
/// The keys spread by chance: the smaller the shards, the sooner one is full while others are not.
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

    /// The answer, if there is one that still counts.
    pub(super) fn get(&self, key: &Key, now: SystemTime) -> Option<T> {
        let mut shard = self.shard(key);
        let at = *shard.index.get(key)?;
        let slot = &mut shard.slots[at];
        if slot.entry.is_fresh(now, self.time_to_live) {
            slot.used = true;
            return Some(slot.entry.answer.clone());
        }
        let removed = shard.remove(key);
        drop(shard);
        drop(removed);
        None
    }

    /// Keeps an answer, unless `is_current` finds that it no longer counts. That is asked under the
    /// lock, so that nothing is put in behind the back of [`remove_if`](Self::remove_if).
    pub(super) fn insert(&self, key: Key, entry: Entry<T>, is_current: impl FnOnce() -> bool) {
        let mut shard = self.shard(&key);
        if is_current() {
            let removed = shard.put(key, entry, self.time_to_live);
            drop(shard);
            drop(removed);
        }
    }

    /// Removes the answers for which `is_bad` says so. It is called outside of the lock.
    pub(super) fn remove_if(&self, is_bad: impl Fn(&T) -> bool) {
        for shard in &self.shards {
            let known: Vec<(Key, T)> = lock(shard)
                .slots
                .iter()
                .map(|slot| (slot.key, slot.entry.answer.clone()))
                .collect();
            for (key, _) in known.iter().filter(|(_, answer)| is_bad(answer)) {
                let removed = lock(shard).remove(key);
                drop(removed);
            }
        }
    }

    /// How many answers are kept, fresh or not.
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
    /// Whether it is younger than `time_to_live` and has not ended.
    ///
    /// A clock that was set back makes the age negative. It counts as if it were not, so the entry
    /// lives at most twice as long.
    fn is_fresh(&self, now: SystemTime, time_to_live: Duration) -> bool {
        let age = now
            .duration_since(self.asked_at)
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

    /// Puts it in, and hands out what had to go for it.
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
                let at = self.victim(entry.asked_at, time_to_live);
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

    /// Where something can go. Every slot the hand passes loses its mark, so it stops within one
    /// round and a step.
    fn victim(&mut self, now: SystemTime, time_to_live: Duration) -> usize {
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

/// No code of a user runs under these locks, so nothing panics there and leaves half a change.
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

    fn put(table: &Table<u32>, number: u32, asked_at: SystemTime) {
        let entry = Entry {
            answer: number,
            asked_at,
            ends_at: None,
        };
        table.insert(key(number), entry, || true);
    }

    #[test]
    fn an_answer_counts_until_its_time_is_over() {
        let second = Duration::from_secs(1);
        let hour = START + 60 * MINUTE;
        // What is asked after so many seconds, with an end after so many, is there.
        let table: [(i32, _, _); 9] = [
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
        for (after, end, expected) in table {
            let answers = Table::new(10, MINUTE);
            let entry = Entry {
                answer: (),
                asked_at: hour,
                ends_at: end.map(|end: u32| hour + end * second),
            };
            answers.insert(key(1), entry, || true);
            let now = match u32::try_from(after) {
                Ok(after) => hour + after * second,
                Err(_) => hour - after.unsigned_abs() * second,
            };
            let found = answers.get(&key(1), now).is_some();
            assert_eq!(found, expected, "{after} {end:?}");
            assert_eq!(answers.len(), usize::from(expected), "stale ones go");
        }
    }

    #[test]
    fn no_time_to_live_is_too_long() {
        let table = Table::new(10, Duration::MAX);
        put(&table, 1, START);
        assert_eq!(table.get(&key(1), START + 1_000_000 * MINUTE), Some(1));
    }

    #[test]
    fn it_never_holds_more_than_its_bound() {
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
    fn what_is_in_use_outlives_a_flood() {
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
    fn what_is_stale_goes_before_what_is_unused() {
        let table = Table::new(2, MINUTE);
        put(&table, 1, START);
        table.get(&key(1), START);
        put(&table, 2, START + MINUTE);
        put(&table, 3, START + MINUTE);
        assert_eq!(table.get(&key(2), START + MINUTE), Some(2));
        assert_eq!(table.get(&key(3), START + MINUTE), Some(3));
    }

    #[test]
    fn removal_leaves_the_others_where_they_are() {
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
    fn what_no_longer_counts_is_not_put_in() {
        let table = Table::new(10, MINUTE);
        let entry = Entry {
            answer: (),
            asked_at: START,
            ends_at: None,
        };
        table.insert(key(1), entry, || false);
        assert_eq!(table.len(), 0);
    }
}
