//! The builder of [`Sessions`], and their settings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{Clock, RevocationStore, SystemClock};

use super::event::Observer;
use super::registry::Limits;
use super::tasks::follow::SharedStore;
use super::{SessionEvent, Sessions};

/// A builder of [`Sessions`].
///
/// ```
/// use std::time::Duration;
/// use portcullis::Sessions;
///
/// let sessions = Sessions::builder()
///     .max_lifetime(Duration::from_secs(8 * 3600))
///     .warn_before(Duration::from_secs(60))
///     .ping_every(Duration::from_secs(30))
///     .max_sessions_per_subject(20)
///     .build();
/// ```
#[must_use = "a builder does nothing until `build` is called"]
pub struct SessionsBuilder {
    pub(super) settings: Settings,
    pub(super) limits: Limits,
    pub(super) store: Option<Arc<dyn SharedStore>>,
    pub(super) observer: Option<Observer>,
}

/// The settings that do not change after [`SessionsBuilder::build`].
pub(super) struct Settings {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) leeway: Duration,
    pub(super) max_lifetime: Duration,
    pub(super) jitter: f64,
    pub(super) warning: Duration,
    pub(super) recheck: Option<Duration>,
    pub(super) recheck_grace: Duration,
    pub(super) ping: Option<Duration>,
    pub(super) max_credential_lifetime: Duration,
    pub(super) max_lag: Duration,
    pub(super) lag_policy: LagPolicy,
}

/// What happens to open sessions if the store of revocations is unavailable for too long.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LagPolicy {
    /// Sessions stay open, and new ones are admitted. Revocations of other machines take effect
    /// when the store is available again. Those of this machine take effect at once.
    #[default]
    Stay,

    /// Sessions are closed with 1013, and no session is admitted until the store is available
    /// again.
    Close,
}

impl SessionsBuilder {
    pub(super) fn new() -> Self {
        Self {
            settings: Settings {
                clock: Arc::new(SystemClock),
                leeway: Duration::ZERO,
                max_lifetime: DAY,
                jitter: 0.0,
                warning: Duration::ZERO,
                recheck: None,
                recheck_grace: Duration::from_secs(300),
                ping: None,
                max_credential_lifetime: 30 * DAY,
                max_lag: Duration::from_secs(30),
                lag_policy: LagPolicy::default(),
            },
            limits: Limits {
                total: 100_000,
                per_subject: None,
            },
            store: None,
            observer: None,
        }
    }

    /// Sets how long a session continues after its credential has expired, for clocks that differ;
    /// zero by default.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.settings.leeway = leeway;
        self
    }

    /// Sets the maximum lifetime of a session, renewed or not; a day by default.
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.max_lifetime = lifetime;
        self
    }

    /// Shortens each lifetime by a random fraction of up to `part`; zero by default.
    ///
    /// With 0.1, a session of an hour lasts 54 to 60 minutes. So sockets that were opened together
    /// do not reconnect together.
    ///
    /// # Panics
    ///
    /// Panics if `part` is negative, or 1 or greater.
    pub fn jitter(mut self, part: f64) -> Self {
        assert!(
            (0.0..1.0).contains(&part),
            "jitter is a fraction: at least 0 and less than 1"
        );
        self.settings.jitter = part;
        self
    }

    /// Warns this long before a session ends; never by default.
    ///
    /// The handler gets [`Change::Expiring`](super::Change::Expiring), and readers of events get
    /// [`SessionEvent::Expiring`].
    pub fn warn_before(mut self, time: Duration) -> Self {
        self.settings.warning = time;
        self
    }

    /// Verifies the credential of every session again at this interval, and closes the sessions that
    /// the verifier no longer accepts; never by default.
    ///
    /// Use it if the verifier can see that a user has logged out but does not report it. It has no
    /// effect with a verifier that decides by the token alone. Single-use credentials, such as
    /// tickets, are not verified again. The shortest interval is 100 milliseconds.
    ///
    /// # Security
    ///
    /// The credential stays in memory for as long as the session is open.
    pub fn recheck_every(mut self, time: Duration) -> Self {
        self.settings.recheck = Some(time.max(SHORTEST_INTERVAL));
        self
    }

    /// Sets how long a session stays open while its verifier is unavailable, counted from the last
    /// successful verification; five minutes by default.
    pub fn recheck_grace(mut self, time: Duration) -> Self {
        self.settings.recheck_grace = time;
        self
    }

    /// Pings every open socket at this interval, and closes sockets from which nothing arrived
    /// between two pings; never by default.
    ///
    /// Any message, ping or pong counts when it has arrived completely. A client that has lost its
    /// network is closed after at most two intervals. 30 seconds is a good value; less than a
    /// second is too short for most networks, and 100 milliseconds is the shortest interval.
    ///
    /// Pings work even if the handler does not read: the session then buffers at most one message.
    /// While that message waits for the handler, the client counts as alive.
    ///
    /// This pings the sockets of [`GuardedUpgrade`](crate::GuardedUpgrade), and those of other
    /// crates with [`Frames::pings`](super::Frames::pings). The pings of all sockets are spread over
    /// the interval.
    pub fn ping_every(mut self, time: Duration) -> Self {
        self.settings.ping = Some(time.max(SHORTEST_INTERVAL));
        self
    }

    /// Sets the maximum number of sessions; 100,000 by default. A request beyond it is refused with
    /// 503.
    pub fn max_sessions(mut self, limit: usize) -> Self {
        self.limits.total = limit;
        self
    }

    /// Sets the maximum number of sessions of one subject of one issuer; unlimited by default. A
    /// request beyond it is refused with 429.
    pub fn max_sessions_per_subject(mut self, limit: usize) -> Self {
        self.limits.per_subject = Some(limit);
        self
    }

    /// Shares revocations with other machines through `store`.
    pub fn revocations(mut self, store: impl RevocationStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Sets the maximum lifetime of a credential; 30 days by default.
    ///
    /// A revocation without an [end](super::Revocation::until) is remembered for this time.
    pub fn max_credential_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.max_credential_lifetime = lifetime;
        self
    }

    /// Sets how long the store of revocations may be unavailable before `policy` applies; 30
    /// seconds and [`LagPolicy::Stay`] by default.
    pub fn revocation_lag(mut self, lag: Duration, policy: LagPolicy) -> Self {
        self.settings.max_lag = lag;
        self.settings.lag_policy = policy;
        self
    }

    /// Calls `observer` with every event, for audit logs and metrics. A second call replaces the
    /// observer.
    ///
    /// Admission and closing wait for the observer, so it must be fast and must not block. If it
    /// panics, the session continues.
    pub fn observe(mut self, observer: impl Fn(&SessionEvent) + Send + Sync + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Sets the clock; the system clock by default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }

    /// Builds the sessions. With a store, call this inside of a tokio runtime: it starts to follow
    /// the store.
    pub fn build(self) -> Sessions {
        Sessions::new(self)
    }
}

impl fmt::Debug for SessionsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionsBuilder")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The shortest interval of pings and re-checks.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
