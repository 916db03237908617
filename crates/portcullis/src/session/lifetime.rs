//! How long a session lasts, in the milliseconds since 1970 that the registry reckons with.

use std::time::{Duration, SystemTime};

use portcullis_core::Identity;

use super::settings::Settings;

impl Settings {
    /// When a session ends that has lasted since `since`, in milliseconds since 1970.
    pub(super) fn deadline(&self, identity: &Identity, since: SystemTime, now: SystemTime) -> u64 {
        let expiry = identity
            .expires_at()
            .map(|end| milliseconds(end).saturating_add(in_milliseconds(self.leeway)));
        let told = identity.session_ends_at().map(milliseconds);
        let longest = milliseconds(since).saturating_add(in_milliseconds(self.max_lifetime));
        let end = expiry
            .unwrap_or(u64::MAX)
            .min(told.unwrap_or(u64::MAX))
            .min(longest);
        let now = milliseconds(now);
        match self.jitter > 0.0 && end > now {
            true => end - ((end - now) as f64 * self.jitter * random_part()) as u64,
            false => end,
        }
    }

    pub(super) fn warning_in_milliseconds(&self) -> u64 {
        in_milliseconds(self.warning)
    }
}

/// Since 1970; before it is 1970.
pub(super) fn milliseconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, in_milliseconds)
}

pub(super) fn in_milliseconds(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

/// Between 0 and 1.
pub(super) fn random_part() -> f64 {
    // Spreads load and keeps no secret: without randomness it spreads nothing.
    let random = getrandom::u32().unwrap_or(0);
    f64::from(random) / f64::from(u32::MAX)
}
