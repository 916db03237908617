use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use portcullis_core::Clock;

/// A clock that advances only when the test advances it. All clones show the same time.
///
/// ```
/// use std::time::Duration;
/// use portcullis::testing::{Accepting, FakeClock, TestClient};
/// use portcullis::{clock::Clock, AuthLayer, Identity};
/// # use axum::{Router, routing::get};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let clock = FakeClock::new();
/// let hour = Duration::from_secs(3600);
/// let alice = Identity::builder("alice").expires_at(clock.now() + hour).build();
/// let auth = AuthLayer::new(Accepting::token("t0k", alice)).clock(clock.clone());
/// # let app: Router = Router::new().route("/", get(|| async {})).route_layer(auth);
/// let client = TestClient::new(app);
///
/// assert_eq!(client.get("/").bearer("t0k").send().await.status(), 200);
/// clock.advance(2 * hour);
/// assert_eq!(client.get("/").bearer("t0k").send().await.status(), 401);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FakeClock(Arc<Mutex<SystemTime>>);

impl FakeClock {
    /// Creates a clock that shows 14 November 2023, 22:13:20 UTC, which is 1,700,000,000 seconds
    /// after the start of 1970.
    pub fn new() -> Self {
        Self::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000))
    }

    /// Creates a clock that shows `time`.
    pub fn at(time: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(time)))
    }

    /// Advances the clock by `duration`.
    ///
    /// # Panics
    ///
    /// Panics if the new time is too far in the future for a [`SystemTime`].
    pub fn advance(&self, duration: Duration) {
        *self.time() += duration;
    }

    /// Sets the clock to `time`, which may be in its past.
    pub fn set(&self, time: SystemTime) {
        *self.time() = time;
    }

    fn time(&self) -> MutexGuard<'_, SystemTime> {
        // If `advance` panics, the time is unchanged.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> SystemTime {
        *self.time()
    }
}
