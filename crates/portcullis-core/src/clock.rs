use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// The source of the wall-clock time.
///
/// Every part of portcullis reads the time from a clock, so that a test can set it. The default is
/// [`SystemClock`].
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use portcullis_core::Clock;
///
/// /// Always returns noon on the first of January 1970.
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
    /// Returns the present wall-clock time. It may jump in both directions.
    fn now(&self) -> SystemTime;
}

impl<T: Clock + ?Sized> Clock for Arc<T> {
    fn now(&self) -> SystemTime {
        (**self).now()
    }
}

/// The clock of the machine.
#[expect(
    clippy::exhaustive_structs,
    reason = "the system clock has no settings"
)]
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
