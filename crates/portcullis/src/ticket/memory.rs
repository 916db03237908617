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
    records: Records,
    /// In the order they came in. Lifetimes differ little, so the first is about the next to go.
    order: VecDeque<(Instant, TicketKey)>,
}

type Records = HashMap<TicketKey, (Instant, Vec<u8>)>;

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
        shelf.tidy();
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
            let waits = waits(&self.records, end, &key);
            if waits && now < end {
                return;
            }
            self.order.pop_front();
            if waits {
                self.records.remove(&key);
            }
        }
    }

    /// One that waits must not keep the places of all that were taken behind it.
    fn tidy(&mut self) {
        if self.order.len() > 2 * self.records.len() + 64 {
            let records = &self.records;
            self.order.retain(|(end, key)| waits(records, *end, key));
        }
    }
}

fn waits(records: &Records, end: Instant, key: &TicketKey) -> bool {
    records.get(key).is_some_and(|(own, _)| *own == end)
}

/// No ticket waits for longer.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn taken_tickets_leave_nothing_behind_one_that_waits() {
        let tickets = MemoryTickets::new(2);
        let lifetime = Duration::from_secs(30);
        let key = |number: u16| {
            let mut bytes = [0; 32];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            TicketKey::new(bytes)
        };
        tickets.put(key(0), vec![0], lifetime).await.unwrap();
        for number in 1..=1000 {
            tickets.put(key(number), vec![1], lifetime).await.unwrap();
            assert_eq!(tickets.take(key(number)).await, Ok(Some(vec![1])));
        }
        assert!(tickets.lock().order.len() < 100);
        assert_eq!(tickets.take(key(0)).await, Ok(Some(vec![0])));
    }
}
