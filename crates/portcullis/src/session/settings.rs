use std::sync::Arc;
use std::time::Duration;

use portcullis_core::{Clock, SystemClock};

use super::SessionEvent;

/// What sessions were told once and for all.
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
    pub(super) observer: Option<Observer>,
}

type Observer = Box<dyn Fn(&SessionEvent) + Send + Sync>;

/// What becomes of open sessions when the store of revocations has been away for too long.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LagPolicy {
    /// They stay, and new ones are let in. A revocation of another machine comes late; one of this
    /// machine works as ever.
    #[default]
    Stay,

    /// They are closed with 1013, and nobody is let in before the store is back.
    Close,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
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
            observer: None,
        }
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
