use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use portcullis_core::{StoreError, TicketKey, TicketStore};
use tokio::time::Instant;

/// Tickets of one process, up to a number of them.
#[derive(Debug)]
pub struct MemoryTickets {
    shelf: Mutex<Shelf>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Shelf {
    records: HashMap<TicketKey, (Instant, Vec<u8>)>,
    /// In the order they came in. Lifetimes differ little, so the first is about the next to go.
    order: VecDeque<(Instant, TicketKey)>,
}

impl MemoryTickets {
    /// A store for up to `capacity` tickets that wait.
    pub fn new(capacity: usize) -> Self {
        Self {
            shelf: Mutex::default(),
            capacity,
        }
    }

    /// How many wait. One whose time is over counts until a new one comes in.
    pub fn len(&self) -> usize {
        self.lock().records.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TicketStore for MemoryTickets {
    async fn put(
        &self,
        key: TicketKey,
        record: Vec<u8>,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        let now = Instant::now();
        let mut shelf = self.lock();
        shelf.forget(now);
        if shelf.records.contains_key(&key) {
            return Err(StoreError::Occupied);
        }
        if shelf.records.len() >= self.capacity {
            return Err(StoreError::Full);
        }
        // A lifetime that no clock can tell is a long one.
        let end = now + lifetime.min(LONGEST);
        shelf.records.insert(key, (end, record));
        shelf.order.push_back((end, key));
        Ok(())
    }

    async fn take(&self, key: TicketKey) -> Result<Option<Vec<u8>>, StoreError> {
        let taken = self.lock().records.remove(&key);
        let in_time = taken.filter(|(end, _)| Instant::now() < *end);
        Ok(in_time.map(|(_, record)| record))
    }
}

impl Shelf {
    /// Forgets what has ended, or was taken.
    fn forget(&mut self, now: Instant) {
        while let Some((end, key)) = self.order.front().copied() {
            let waits = self.records.get(&key).is_some_and(|(own, _)| *own == end);
            if waits && now < end {
                return;
            }
            self.order.pop_front();
            if waits {
                self.records.remove(&key);
            }
        }
    }
}

/// No ticket waits for longer.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
