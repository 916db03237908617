//! What every `TicketStore` has to do, whoever implements it. Test binaries include this file.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{StoreError, TicketKey, TicketStore};
use tokio::sync::Barrier;

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(50);

/// One ticket after the other. `pass` lets time pass for the store.
pub(crate) async fn promises(store: &impl TicketStore, pass: impl AsyncFn(Duration)) {
    let key = new_key();
    assert_eq!(store.take(key).await, Ok(None), "nothing was put");
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
            "the first one stays"
        );
        assert_eq!(store.take(key).await, Ok(None), "once");
    }

    let [ending, taken, staying] = [new_key(), new_key(), new_key()];
    for (key, lifetime) in [(ending, SHORT), (taken, SHORT), (staying, LONG)] {
        assert_eq!(store.put(key, b"r".to_vec(), lifetime).await, Ok(()));
    }
    pass(SHORT * 2).await;
    assert_eq!(store.take(ending).await, Ok(None), "it has ended");
    let again = store.put(taken, b"new".to_vec(), LONG).await;
    assert_eq!(again, Ok(()), "one that has ended occupies nothing");
    assert_eq!(store.take(taken).await, Ok(Some(b"new".to_vec())));
    assert_eq!(store.take(staying).await, Ok(Some(b"r".to_vec())));

    for odd in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        let key = new_key();
        assert_eq!(store.put(key, b"r".to_vec(), odd).await, Ok(()), "{odd:?}");
        pass(SHORT).await;
        let is_there = store.take(key).await.expect("it answers").is_some();
        assert_eq!(is_there, odd > LONG, "{odd:?}");
    }
}

/// One ticket, and many who want it, for some rounds. The number of those who got it, in the first
/// round in which that is not one.
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
            .expect("there is room");
        match contend(store, key, contenders).await {
            1 => {}
            winners => return Err(winners),
        }
    }
    Ok(())
}

/// How many of `contenders`, who all start at once, get the ticket.
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
                store.take(key).await.expect("it answers")
            })
        })
        .collect();
    let mut winners = 0;
    for contender in contenders {
        winners += usize::from(contender.await.expect("nobody panics").is_some());
    }
    winners
}

/// Tickets that are issued are redeemed, expired or live, whatever happens at the same time.
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
            .expect("there is room");
        // Some are wanted by several, some by nobody.
        for _ in 0..index % 4 {
            let store = Arc::clone(store);
            redeemers.push(tokio::spawn(async move {
                let record = store.take(key).await.expect("it answers");
                record.map(|_| index)
            }));
        }
    }
    let mut redeemed = Vec::new();
    for redeemer in redeemers {
        redeemed.extend(redeemer.await.expect("nobody panics"));
    }
    let once: HashSet<_> = redeemed.iter().copied().collect();
    assert_eq!(once.len(), redeemed.len(), "a ticket was redeemed twice");

    pass(SHORT * 2).await;
    let (mut live, mut expired) = (0, 0);
    for (index, key) in keys.into_iter().enumerate() {
        let is_live = store.take(key).await.expect("it answers").is_some();
        let is_redeemed = once.contains(&index);
        assert!(!(is_live && is_redeemed), "a redeemed ticket is live");
        assert!(!(is_live && is_short(index)), "an expired ticket is live");
        let is_expired = !is_live && !is_redeemed;
        assert!(!is_expired || is_short(index), "a ticket is lost");
        live += usize::from(is_live);
        expired += usize::from(is_expired);
    }
    assert_eq!(ISSUED, redeemed.len() + expired + live);
    assert!(live > 0 && expired > 0 && !redeemed.is_empty());
}

/// A key that nobody has used.
pub(crate) fn new_key() -> TicketKey {
    let mut bytes = [0; 32];
    for (index, chunk) in bytes.chunks_mut(8).enumerate() {
        // Each has random keys.
        chunk.copy_from_slice(&RandomState::new().hash_one(index).to_le_bytes());
    }
    TicketKey::new(bytes)
}
