use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{Clock, RevocationStore};

use super::follow::Store;
use super::registry::Limits;
use super::settings::Settings;
use super::{LagPolicy, SessionEvent, Sessions};

/// Builds [`Sessions`]; see [`Sessions::builder`].
///
/// ```
/// use std::time::Duration;
/// use portcullis::Sessions;
///
/// let sessions: Sessions = Sessions::builder()
///     .max_lifetime(Duration::from_secs(8 * 3600)) // a day unless set
///     .warn_before(Duration::from_secs(60))        // nobody is warned unless set
///     .ping_every(Duration::from_secs(30))         // nobody is pinged unless set
///     .max_sessions_per_subject(20)                // any number unless set
///     .build();
/// ```
///
/// For claims other than `()`, name the type: `let sessions: Sessions<Member> = …`.
#[must_use = "nothing is built before `build`"]
pub struct SessionsBuilder {
    pub(super) settings: Settings,
    pub(super) limits: Limits,
    pub(super) store: Option<Arc<dyn Store>>,
}

impl SessionsBuilder {
    pub(super) fn new() -> Self {
        Self {
            settings: Settings::default(),
            limits: Limits {
                total: 100_000,
                per_subject: None,
            },
            store: None,
        }
    }

    /// How long a session outlives its credential, for clocks that differ; not at all by default.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.settings.leeway = leeway;
        self
    }

    /// How long a session lasts at most, renewed or not, and whatever its credential says; a day by
    /// default.
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.max_lifetime = lifetime;
        self
    }

    /// Shortens each lifetime by a random part of it, up to this one: with 0.1, a session of an
    /// hour lasts 54 to 60 minutes. So sockets that were opened together do not all come again
    /// together. None by default.
    ///
    /// # Panics
    ///
    /// If it is below 0, or 1 or above.
    pub fn jitter(mut self, part: f64) -> Self {
        assert!((0.0..1.0).contains(&part), "jitter is a part of a lifetime");
        self.settings.jitter = part;
        self
    }

    /// Tells the handler and the reader of events this long before a session ends; see
    /// [`Session::changes`](super::Session::changes). Not by default.
    pub fn warn_before(mut self, time: Duration) -> Self {
        self.settings.warning = time;
        self
    }

    /// Asks the verifier again about every session, this often, and closes those that it no longer
    /// knows. Not by default, and never about a ticket, which is good for one time.
    ///
    /// It is for verifiers that learn of a log-out and cannot tell; a verifier that decides by the
    /// token alone says the same again. Not more often than every 100 milliseconds.
    ///
    /// # Security
    ///
    /// The credential is kept in memory for as long as the session is open.
    pub fn recheck_every(mut self, time: Duration) -> Self {
        self.settings.recheck = Some(time.max(Duration::from_millis(100)));
        self
    }

    /// How long a session goes on while the verifier cannot tell; five minutes by default, counted
    /// from the last answer.
    pub fn recheck_grace(mut self, time: Duration) -> Self {
        self.settings.recheck_grace = time;
        self
    }

    /// Pings every open socket this often, and closes one from which nothing was heard between its
    /// ping and the next: no message, no ping, no pong. So a client whose network is gone without a
    /// word is gone from here after twice this time at most, counted from its last sign of life. Not
    /// by default; 30 seconds is a good time, and anything below one is too short for most networks.
    ///
    /// It works under a handler that does not read, for which the guard reads ahead, up to the first
    /// message. While that waits, the client counts as alive. A message that takes longer to arrive
    /// than this time is no sign of life before its end.
    ///
    /// The sockets of [`GuardedUpgrade`](crate::GuardedUpgrade) are pinged, and those of other crates
    /// if [`Frames::pings`](super::Frames::pings) says how. They are not all pinged at once but
    /// spread over the time. Not more often than every 100 milliseconds.
    pub fn ping_every(mut self, time: Duration) -> Self {
        self.settings.ping = Some(time.max(Duration::from_millis(100)));
        self
    }

    /// How many sessions there may be; 100,000 by default. One more is refused with 503.
    pub fn max_sessions(mut self, limit: usize) -> Self {
        self.limits.total = limit;
        self
    }

    /// How many sessions one subject may have; any number by default. One more is refused with 429.
    pub fn max_sessions_per_subject(mut self, limit: usize) -> Self {
        self.limits.per_subject = Some(limit);
        self
    }

    /// Shares revocations with other machines through `store`.
    pub fn revocations(mut self, store: impl RevocationStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// How long a revocation is kept that does not say: no credential may be good for longer than
    /// this. 30 days by default.
    pub fn max_credential_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.max_credential_lifetime = lifetime;
        self
    }

    /// For how long the store of revocations may be silent before `policy` decides; 30 seconds and
    /// [`LagPolicy::Stay`] by default.
    pub fn revocation_lag(mut self, lag: Duration, policy: LagPolicy) -> Self {
        self.settings.max_lag = lag;
        self.settings.lag_policy = policy;
        self
    }

    /// Calls `observer` with every event, as it happens and without a loss: for audit records and
    /// metrics. There is one; another call sets another.
    ///
    /// It is called on the path of admission and of closing, so it should be quick and must not
    /// block. If it panics, that event is lost to it, and the session goes its way.
    pub fn observe(mut self, observer: impl Fn(&SessionEvent) + Send + Sync + 'static) -> Self {
        self.settings.observer = Some(Box::new(observer));
        self
    }

    /// Takes the time from `clock` instead of the machine.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }

    /// Done. With a store, call it inside a tokio runtime: it begins to follow the store at once.
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
