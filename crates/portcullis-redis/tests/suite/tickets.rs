//! Tests for implementations of `TicketStore`.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{StoreError, TicketKey, TicketStore};
use tokio::sync::Barrier;

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(50);

/// Checks the promises of the trait with one ticket after the other. `pass` lets time pass for the
/// store.
pub(crate) async fn promises(store: &impl TicketStore, pass: impl AsyncFn(Duration)) {
    let key = new_key();
    assert_eq!(store.take(key).await, Ok(None), "no record was put");
    let records = [
        vec![],
        vec![0],
        b"\r\n\0\xff".to_vec(),
        vec![b'x'; 16 * 1024],
    ];
    for record in records {
        assert_eq!(store.put(key, record.clone(), LONG).await, Ok(()));
        let second = store.put(key, b"other".to_vec(), LONG).await;
        assert_eq!(second, Err(StoreError::Occupied));
        assert_eq!(
            store.take(key).await,
            Ok(Some(record)),
            "the first record stays"
        );
        assert_eq!(store.take(key).await, Ok(None), "taken once");
    }

    let [ending, taken, staying] = [new_key(), new_key(), new_key()];
    for (key, lifetime) in [(ending, SHORT), (taken, SHORT), (staying, LONG)] {
        assert_eq!(store.put(key, b"r".to_vec(), lifetime).await, Ok(()));
    }
    pass(SHORT * 2).await;
    assert_eq!(store.take(ending).await, Ok(None), "the record has expired");
    let again = store.put(taken, b"new".to_vec(), LONG).await;
    assert_eq!(again, Ok(()), "an expired record does not occupy its key");
    assert_eq!(store.take(taken).await, Ok(Some(b"new".to_vec())));
    assert_eq!(store.take(staying).await, Ok(Some(b"r".to_vec())));

    for odd in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        let key = new_key();
        assert_eq!(store.put(key, b"r".to_vec(), odd).await, Ok(()), "{odd:?}");
        pass(SHORT).await;
        let is_there = store
            .take(key)
            .await
            .expect("the store is available")
            .is_some();
        assert_eq!(is_there, odd > LONG, "{odd:?}");
    }
}

/// Lets many tasks redeem the same ticket, for some rounds.
///
/// Returns the number of successful redemptions in the first round in which it is not one.
pub(crate) async fn race(
    store: &Arc<impl TicketStore>,
    rounds: usize,
    contenders: usize,
) -> Result<(), usize> {
    for _ in 0..rounds {
        let key = new_key();
        store
            .put(key, b"r".to_vec(), LONG)
            .await
            .expect("the store has capacity");
        match contend(store, key, contenders).await {
            1 => {}
            redeemed => return Err(redeemed),
        }
    }
    Ok(())
}

/// Starts `contenders` redemptions of a ticket at the same time, and returns how many succeed.
pub(crate) async fn contend(
    store: &Arc<impl TicketStore>,
    key: TicketKey,
    contenders: usize,
) -> usize {
    let start = Arc::new(Barrier::new(contenders));
    let contenders: Vec<_> = (0..contenders)
        .map(|_| {
            let (store, start) = (Arc::clone(store), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                store.take(key).await.expect("the store is available")
            })
        })
        .collect();
    let mut redeemed = 0;
    for contender in contenders {
        redeemed += usize::from(contender.await.expect("no panic").is_some());
    }
    redeemed
}

/// Checks after many concurrent redemptions that each ticket is either redeemed, expired or still
/// valid.
pub(crate) async fn ledger(store: &Arc<impl TicketStore>, pass: impl AsyncFn(Duration)) {
    const ISSUED: usize = 600;
    let keys: Vec<_> = (0..ISSUED).map(|_| new_key()).collect();
    let is_short = |index: usize| index.is_multiple_of(3);
    let mut redeemers = Vec::new();
    for (index, key) in keys.iter().copied().enumerate() {
        let lifetime = if is_short(index) { SHORT } else { LONG };
        store
            .put(key, b"r".to_vec(), lifetime)
            .await
            .expect("the store has capacity");
        // Between none and three redemptions for each ticket.
        for _ in 0..index % 4 {
            let store = Arc::clone(store);
            redeemers.push(tokio::spawn(async move {
                let record = store.take(key).await.expect("the store is available");
                record.map(|_| index)
            }));
        }
    }
    let mut redeemed = Vec::new();
    for redeemer in redeemers {
        redeemed.extend(redeemer.await.expect("no panic"));
    }
    let unique: HashSet<_> = redeemed.iter().copied().collect();
    assert_eq!(unique.len(), redeemed.len(), "a ticket was redeemed twice");

    pass(SHORT * 2).await;
    let (mut valid, mut expired) = (0, 0);
    for (index, key) in keys.into_iter().enumerate() {
        let is_valid = store
            .take(key)
            .await
            .expect("the store is available")
            .is_some();
        let is_redeemed = unique.contains(&index);
        assert!(
            !(is_valid && is_redeemed),
            "a redeemed ticket is still valid"
        );
        assert!(
            !(is_valid && is_short(index)),
            "an expired ticket is still valid"
        );
        let is_expired = !is_valid && !is_redeemed;
        assert!(!is_expired || is_short(index), "a ticket is lost");
        valid += usize::from(is_valid);
        expired += usize::from(is_expired);
    }
    assert_eq!(ISSUED, redeemed.len() + expired + valid);
    assert!(valid > 0 && expired > 0 && !redeemed.is_empty());
}

/// Returns a new random key.
pub(crate) fn new_key() -> TicketKey {
    let mut bytes = [0; 32];
    for (index, chunk) in bytes.chunks_mut(8).enumerate() {
        // Every `RandomState` has random keys.
        chunk.copy_from_slice(&RandomState::new().hash_one(index).to_le_bytes());
    }
    TicketKey::new(bytes)
}
