use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_core::{StoreError, TicketKey, TicketStore};
use tokio::time::Instant;

/// The tickets of one process, up to a maximum number.
#[derive(Debug)]
pub struct MemoryTickets {
    table: Mutex<Table>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Table {
    records: Records,
    /// The order of minting. Lifetimes differ little, so the first entry expires about first.
    order: VecDeque<(Instant, TicketKey)>,
}

type Records = HashMap<TicketKey, (Instant, Vec<u8>)>;

impl MemoryTickets {
    /// Creates a store for up to `capacity` tickets that are not redeemed yet.
    pub fn new(capacity: usize) -> Self {
        Self {
            table: Mutex::default(),
            capacity,
        }
    }

    /// Returns the number of tickets that are not redeemed yet.
    ///
    /// An expired ticket counts until the next one is minted.
    pub fn len(&self) -> usize {
        self.lock().records.len()
    }

    /// Returns whether the store contains no tickets.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut table = self.lock();
        table.remove_expired(now);
        if table.records.contains_key(&key) {
            return Err(StoreError::Occupied);
        }
        if table.records.len() >= self.capacity {
            return Err(StoreError::Full);
        }
        // The limit prevents an overflow of the time.
        let end = now + lifetime.min(MAX_LIFETIME);
        table.records.insert(key, (end, record));
        table.order.push_back((end, key));
        table.compact();
        Ok(())
    }

    async fn take(&self, key: TicketKey) -> Result<Option<Vec<u8>>, StoreError> {
        let taken = self.lock().records.remove(&key);
        let in_time = taken.filter(|(end, _)| Instant::now() < *end);
        Ok(in_time.map(|(_, record)| record))
    }
}

impl Table {
    /// Removes the first entries of the order, as far as they have expired or were taken.
    fn remove_expired(&mut self, now: Instant) {
        while let Some((end, key)) = self.order.front().copied() {
            let is_present = contains(&self.records, end, &key);
            if is_present && now < end {
                return;
            }
            self.order.pop_front();
            if is_present {
                self.records.remove(&key);
            }
        }
    }

    /// Removes taken entries from the order once they are the majority. One ticket that is never
    /// redeemed would otherwise keep all entries after it.
    fn compact(&mut self) {
        if self.order.len() > 2 * self.records.len() + 64 {
            let records = &self.records;
            self.order.retain(|(end, key)| contains(records, *end, key));
        }
    }
}

fn contains(records: &Records, end: Instant, key: &TicketKey) -> bool {
    records.get(key).is_some_and(|(own, _)| *own == end)
}

/// The longest lifetime of a ticket in this store.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn redeemed_tickets_use_no_memory() {
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
