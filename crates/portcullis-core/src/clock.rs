use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// Where the time comes from.
///
/// Everything of portcullis that compares a time with *now* asks a clock, so that a test can turn
/// it. Production uses [`SystemClock`], and never notices.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use portcullis_core::Clock;
///
/// /// It is always noon on the first of January 1970.
/// #[derive(Debug)]
/// struct Noon;
///
/// impl Clock for Noon {
///     fn now(&self) -> SystemTime {
///         SystemTime::UNIX_EPOCH + Duration::from_secs(12 * 3600)
///     }
/// }
/// ```
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The wall clock's time. It may jump, in both directions.
    fn now(&self) -> SystemTime;
}

impl<T: Clock + ?Sized> Clock for Arc<T> {
    fn now(&self) -> SystemTime {
        (**self).now()
    }
}

/// The machine's clock.
#[expect(
    clippy::exhaustive_structs,
    reason = "a clock of the machine has nothing to be set"
)]
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
