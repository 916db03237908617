use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::Revocation;

/// Where tickets wait to be redeemed.
///
/// A store sees neither the ticket nor what it means: its key is a digest, its record is sealed to
/// it. One suite of tests runs against every store.
///
/// # What an implementation promises
///
/// * Of any number of concurrent calls of [`take`](Self::take), on any number of machines, one gets
///   the record. Taking it *is* the redemption.
/// * A record that is not taken is gone after its lifetime.
/// * A call ends by itself, with [`StoreError::Unavailable`] if it has to.
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
/// use std::time::{Duration, Instant};
/// use portcullis_core::{StoreError, TicketKey, TicketStore};
///
/// /// Forgets what is redeemed. One for use would forget what is not, too, and be bounded.
/// #[derive(Default)]
/// struct Drawer(Mutex<HashMap<TicketKey, (Instant, Vec<u8>)>>);
///
/// impl TicketStore for Drawer {
///     async fn put(&self, key: TicketKey, record: Vec<u8>, lifetime: Duration) -> Result<(), StoreError> {
///         let mut drawer = self.0.lock().map_err(|_| StoreError::Unavailable)?;
///         if drawer.contains_key(&key) {
///             return Err(StoreError::Occupied);
///         }
///         drawer.insert(key, (Instant::now() + lifetime, record));
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
    /// Keeps `record` for `lifetime`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] when there is no room, [`StoreError::Occupied`] when there is a record
    /// under this key, [`StoreError::Unavailable`] when nobody knows.
    fn put(
        &self,
        key: TicketKey,
        record: Vec<u8>,
        lifetime: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes the record out, for good; `None` if there is none, or no more.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when nobody knows. The record may be gone then.
    fn take(
        &self,
        key: TicketKey,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, StoreError>> + Send;
}

/// The name of a ticket in its store: a digest of it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TicketKey([u8; 32]);

impl TicketKey {
    /// A key of these bytes.
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Where revocations are kept, and told to all machines of a deployment.
///
/// Nobody asks a store about a credential: each machine [follows](Self::follow) it and decides from
/// what it was told, so that a store that is away delays nothing.
///
/// # What an implementation promises
///
/// * A revocation that was acknowledged is kept until [`Revocation::ends_at`], also over a restart
///   of the store.
/// * Every follower gets it: at once, or with the next complete picture.
/// * A connection that says nothing is not taken for one with nothing to say: a follower hears
///   [`alive`](Follower::alive) only when the store has just answered.
///
/// A table of a database will do, which each machine reads every second:
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
    /// Keeps a revocation and tells it to every follower. It has an end.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when it is not known to be kept. It may be told all the same.
    fn revoke(
        &self,
        revocation: &Revocation,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Tells `follower` everything that is in force, and then what comes, for as long as it is
    /// polled. After a lost connection it begins anew, by itself.
    fn follow(&self, follower: impl Follower) -> impl Future<Output = ()> + Send;
}

/// Listens to a [`RevocationStore`].
pub trait Follower: Send + 'static {
    /// All that is in force, as of now: after the first connection, after every lost one, and now
    /// and then besides. It is as good as [`alive`](Self::alive).
    fn synchronized(&mut self, revocations: Vec<Revocation>);

    /// One more.
    fn revoked(&mut self, revocation: Revocation);

    /// The store has just answered, and nothing was missed.
    fn alive(&mut self);

    /// The connection is lost.
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

/// Why a store does not do what it was asked for.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StoreError {
    /// There is no room. Later there may be.
    Full,

    /// There is a record under this key.
    Occupied,

    /// The store does not answer, or not in time.
    Unavailable,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the store is full",
            Self::Occupied => "there is a record under this key",
            Self::Unavailable => "the store does not answer",
        })
    }
}

impl Error for StoreError {}
