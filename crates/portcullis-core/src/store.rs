use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::Revocation;

/// Stores tickets until they are redeemed.
///
/// A store sees neither tickets nor identities: the key is a digest of the ticket, and the record is
/// encrypted under a key that only the ticket gives.
///
/// # Requirements
///
/// * Of several concurrent calls of [`take`](Self::take) for one key, on any number of machines,
///   exactly one returns the record.
/// * A record is deleted after its lifetime.
/// * Every call returns within a bounded time, with [`StoreError::Unavailable`] if necessary.
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
/// use std::time::{Duration, Instant};
/// use portcullis_core::{StoreError, TicketKey, TicketStore};
///
/// /// A store for a test. A real store also deletes expired records, and has a limit.
/// #[derive(Default)]
/// struct Records(Mutex<HashMap<TicketKey, (Instant, Vec<u8>)>>);
///
/// impl TicketStore for Records {
///     async fn put(&self, key: TicketKey, record: Vec<u8>, lifetime: Duration) -> Result<(), StoreError> {
///         let mut records = self.0.lock().map_err(|_| StoreError::Unavailable)?;
///         if records.contains_key(&key) {
///             return Err(StoreError::Occupied);
///         }
///         records.insert(key, (Instant::now() + lifetime, record));
///         Ok(())
///     }
///
///     async fn take(&self, key: TicketKey) -> Result<Option<Vec<u8>>, StoreError> {
///         let taken = self.0.lock().map_err(|_| StoreError::Unavailable)?.remove(&key);
///         Ok(taken.filter(|(end, _)| Instant::now() < *end).map(|(_, record)| record))
///     }
/// }
/// ```
pub trait TicketStore: Send + Sync + 'static {
    /// Stores `record` under `key` for `lifetime`.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::Full`] at the store's limit, [`StoreError::Occupied`] if the key is in
    /// use, and [`StoreError::Unavailable`] if the outcome is unknown.
    fn put(
        &self,
        key: TicketKey,
        record: Vec<u8>,
        lifetime: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes and returns the record of `key`; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::Unavailable`] if the outcome is unknown. The record may be removed.
    fn take(
        &self,
        key: TicketKey,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, StoreError>> + Send;
}

/// The key of a ticket in its store: a digest of the ticket.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TicketKey([u8; 32]);

impl TicketKey {
    /// Creates a key from a digest.
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Returns the bytes of the key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Stores revocations, and reports them to all machines of a deployment.
///
/// No request waits for a store: each machine [follows](Self::follow) it, and decides from the
/// revocations that it has received. So an unavailable store delays nothing.
///
/// # Requirements
///
/// * An acknowledged revocation is kept until [`Revocation::ends_at`], even if the store restarts.
/// * Every follower receives it: immediately, or with the next complete list.
/// * [`Follower::alive`] is called only if the store has just answered, so that a silent connection
///   is not mistaken for a store without news.
///
/// A database table that each machine reads every second is sufficient:
///
/// ```
/// use portcullis_core::{Follower, Revocation, RevocationStore, StoreError};
///
/// # struct Table;
/// # impl Table {
/// #     async fn insert(&self, _: &Revocation) -> std::io::Result<()> { Ok(()) }
/// #     async fn in_force(&self) -> std::io::Result<Vec<Revocation>> { Ok(Vec::new()) }
/// # }
/// # async fn a_second() {}
/// impl RevocationStore for Table {
///     async fn revoke(&self, revocation: &Revocation) -> Result<(), StoreError> {
///         self.insert(revocation).await.map_err(|_| StoreError::Unavailable)
///     }
///
///     async fn follow(&self, mut follower: impl Follower) {
///         loop {
///             match self.in_force().await {
///                 Ok(revocations) => follower.synchronized(revocations),
///                 Err(_) => follower.lost(),
///             }
///             a_second().await;
///         }
///     }
/// }
/// ```
pub trait RevocationStore: Send + Sync + 'static {
    /// Stores a revocation and reports it to every follower. [`Revocation::ends_at`] is set.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::Unavailable`] if it is unknown whether the revocation is stored. It may
    /// still be reported.
    fn revoke(
        &self,
        revocation: &Revocation,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Reports all revocations in force to `follower`, then each new one, as long as the future is
    /// polled. It reconnects automatically, and then reports all revocations again.
    fn follow(&self, follower: impl Follower) -> impl Future<Output = ()> + Send;
}

/// Receives the reports of a [`RevocationStore`].
pub trait Follower: Send + 'static {
    /// Receives all revocations in force. A store calls it after each connection, and may call it at
    /// any other time. It implies [`alive`](Self::alive).
    fn synchronized(&mut self, revocations: Vec<Revocation>);

    /// Receives a new revocation.
    fn revoked(&mut self, revocation: Revocation);

    /// Reports that the store has just answered and that no revocation was missed.
    fn alive(&mut self);

    /// Reports that the connection was lost.
    fn lost(&mut self);
}

impl<S: TicketStore> TicketStore for Arc<S> {
    fn put(
        &self,
        key: TicketKey,
        record: Vec<u8>,
        lifetime: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        (**self).put(key, record, lifetime)
    }

    fn take(
        &self,
        key: TicketKey,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, StoreError>> + Send {
        (**self).take(key)
    }
}

impl<S: RevocationStore> RevocationStore for Arc<S> {
    fn revoke(
        &self,
        revocation: &Revocation,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        (**self).revoke(revocation)
    }

    fn follow(&self, follower: impl Follower) -> impl Future<Output = ()> + Send {
        (**self).follow(follower)
    }
}

/// Why an operation of a store failed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StoreError {
    /// The store is at its limit. A later attempt may succeed.
    Full,

    /// The key is already in use.
    Occupied,

    /// The store did not answer in time.
    Unavailable,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the store is full",
            Self::Occupied => "the key is already in use",
            Self::Unavailable => "the store is unavailable",
        })
    }
}

impl Error for StoreError {}
