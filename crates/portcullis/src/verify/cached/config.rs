use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{Clock, SystemClock};

/// The limits of a [`Cached`](super::Cached) verifier.
///
/// ```
/// use std::time::Duration;
/// use portcullis::verify::CacheConfig;
///
/// let config = CacheConfig::default()
///     .time_to_live(Duration::from_secs(60))
///     .max_entries(100_000);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct CacheConfig {
    pub(super) max_entries: usize,
    pub(super) time_to_live: Duration,
    pub(super) failures_live: Option<Duration>,
    pub(super) max_failures: usize,
    pub(super) max_lookups: usize,
    pub(super) lookup_timeout: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

impl CacheConfig {
    /// Sets the maximum number of cached identities; 10,000 by default. Zero disables the cache.
    ///
    /// An entry needs about 250 bytes in addition to its identity. Memory is allocated as entries
    /// are added.
    pub fn max_entries(mut self, max: usize) -> Self {
        self.max_entries = max;
        self
    }

    /// Sets how long an identity is cached, from the start of its verification; ten seconds by
    /// default.
    ///
    /// An identity is not cached after its expiry. A credential that was revoked elsewhere is
    /// accepted for up to this time.
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = time;
        self
    }

    /// Caches the results [`Invalid`] and [`Expired`] for this time. By default they are not
    /// cached.
    ///
    /// One or two seconds protect a backend from a client that retries in a loop. A longer time
    /// locks out a user with a new token that the backend does not know yet. [`Unavailable`] and
    /// [`Forbidden`] are never cached, because they may change at any time.
    ///
    /// [`Invalid`]: portcullis_core::VerifyError::Invalid
    /// [`Expired`]: portcullis_core::VerifyError::Expired
    /// [`Unavailable`]: portcullis_core::VerifyError::Unavailable
    /// [`Forbidden`]: portcullis_core::VerifyError::Forbidden
    pub fn remember_failures(mut self, time: Duration) -> Self {
        self.failures_live = Some(time);
        self
    }

    /// Sets the maximum number of cached failures; 1,000 by default. They do not count for
    /// [`max_entries`](Self::max_entries).
    pub fn max_failures(mut self, max: usize) -> Self {
        self.max_failures = max;
        self
    }

    /// Sets the maximum number of concurrent lookups; 1,000 by default, and at least one.
    ///
    /// Beyond the limit, a verification returns
    /// [`Unavailable`](portcullis_core::VerifyError::Unavailable).
    pub fn max_lookups(mut self, max: usize) -> Self {
        self.max_lookups = max.max(1);
        self
    }

    /// Sets the time limit of one lookup; 30 seconds by default.
    ///
    /// The lookup then returns [`Unavailable`](portcullis_core::VerifyError::Unavailable). The
    /// limit applies even if no request waits for the lookup any more.
    pub fn lookup_timeout(mut self, limit: Duration) -> Self {
        self.lookup_timeout = limit;
        self
    }

    /// Sets the clock; the system clock by default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            max_entries: 10_000,
            time_to_live: Duration::from_secs(10),
            failures_live: None,
            max_failures: 1_000,
            max_lookups: 1_000,
            lookup_timeout: Duration::from_secs(30),
            clock: Arc::new(SystemClock),
        }
    }
}
