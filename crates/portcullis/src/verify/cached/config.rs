use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{Clock, SystemClock};

/// How much a [`Cached`](super::Cached) verifier remembers, and for how long.
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
    /// How many identities are remembered; 10,000 by default. Zero remembers none.
    ///
    /// An entry takes some 250 bytes beside the identity itself, which is as large as its verifier
    /// makes it. Nothing is taken in advance.
    pub fn max_entries(mut self, max: usize) -> Self {
        self.max_entries = max;
        self
    }

    /// How long an identity is remembered, from when the verifier was asked; ten seconds by
    /// default. It is never remembered for longer than it lives.
    ///
    /// This is also how long a credential that was revoked somewhere else is still accepted.
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = time;
        self
    }

    /// Remembers for this long, too, that a credential is [`Invalid`] or [`Expired`]. Failures are
    /// not remembered by default.
    ///
    /// One or two seconds keep a client that retries in a loop away from a backend. Longer locks
    /// out a user whose token has not reached the backend yet. [`Unavailable`] is never remembered,
    /// and neither is [`Forbidden`], which somebody may change at any moment.
    ///
    /// [`Invalid`]: portcullis_core::VerifyError::Invalid
    /// [`Expired`]: portcullis_core::VerifyError::Expired
    /// [`Unavailable`]: portcullis_core::VerifyError::Unavailable
    /// [`Forbidden`]: portcullis_core::VerifyError::Forbidden
    pub fn remember_failures(mut self, time: Duration) -> Self {
        self.failures_live = Some(time);
        self
    }

    /// How many failures are remembered, if any are; 1,000 by default. They take no room from the
    /// identities.
    pub fn max_failures(mut self, max: usize) -> Self {
        self.max_failures = max;
        self
    }

    /// How many lookups may be under way at once; 1,000 by default, and at least one. What would be
    /// one more is [`Unavailable`](portcullis_core::VerifyError::Unavailable).
    pub fn max_lookups(mut self, max: usize) -> Self {
        self.max_lookups = max.max(1);
        self
    }

    /// How long one lookup may take, whether or not somebody still waits for it; 30 seconds by
    /// default. Then it is [`Unavailable`](portcullis_core::VerifyError::Unavailable).
    pub fn lookup_timeout(mut self, limit: Duration) -> Self {
        self.lookup_timeout = limit;
        self
    }

    /// Takes the time from `clock` instead of the machine.
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
