use std::fmt;
use std::time::Duration;

use portcullis_core::{Clock, SystemClock};
use serde::de::DeserializeOwned;

use crate::header::media_type;
use crate::verifier::{Jwt, Rules};
use crate::{ConfigError, KeySet};

/// The longest leeway, and twice the default.
pub const MAX_LEEWAY: Duration = Duration::from_secs(60);

const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const LONGEST_LIFETIME: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The first step of [`Jwt::builder`]: who issues the tokens?
#[derive(Debug)]
#[must_use = "nothing is built before `build`"]
pub struct WantsIssuer {
    pub(crate) keys: KeySet,
}

impl WantsIssuer {
    /// Tokens must come from this issuer: `iss` is exactly this string (RFC 8725 §3.8).
    ///
    /// One issuer, since the keys are one issuer's. For two, make two verifiers.
    pub fn issuer(self, issuer: impl Into<Box<str>>) -> WantsAudience {
        WantsAudience {
            keys: self.keys,
            issuer: Some(issuer.into()),
        }
    }

    /// Tokens may come from anybody who has the key, and need no `iss`.
    ///
    /// Insecure wherever a key serves more than one issuer: each can then speak for the others.
    pub fn insecure_any_issuer(self) -> WantsAudience {
        WantsAudience {
            keys: self.keys,
            issuer: None,
        }
    }
}

/// The second step of [`Jwt::builder`]: for whom are the tokens?
#[derive(Debug)]
#[must_use = "nothing is built before `build`"]
pub struct WantsAudience {
    keys: KeySet,
    issuer: Option<Box<str>>,
}

impl WantsAudience {
    /// Tokens must be meant for this audience: it is `aud`, or one of its strings (RFC 8725 §3.9).
    pub fn audience(self, audience: impl Into<Box<str>>) -> JwtBuilder {
        self.with(Some(vec![audience.into()]))
    }

    /// Tokens may be meant for anybody, and need no `aud`.
    ///
    /// Insecure wherever the issuer serves more than one application: a token that a user gave to
    /// one of them opens this one too.
    pub fn insecure_any_audience(self) -> JwtBuilder {
        self.with(None)
    }

    fn with(self, audiences: Option<Vec<Box<str>>>) -> JwtBuilder {
        JwtBuilder {
            keys: self.keys,
            rules: Rules {
                issuer: self.issuer,
                audiences,
                kind: None,
                leeway: DEFAULT_LEEWAY,
                longest_lifetime: YEAR,
                clock: Box::new(SystemClock),
                read: |_| Some(()),
            },
        }
    }
}

/// The last step of [`Jwt::builder`]: everything that has a default.
#[must_use = "nothing is built before `build`"]
pub struct JwtBuilder<C = ()> {
    keys: KeySet,
    rules: Rules<C>,
}

impl<C> JwtBuilder<C> {
    /// One more audience that tokens may be meant for. It has no effect after
    /// [`insecure_any_audience`](WantsAudience::insecure_any_audience).
    pub fn or_audience(mut self, audience: impl Into<Box<str>>) -> Self {
        if let Some(audiences) = &mut self.rules.audiences {
            audiences.push(audience.into());
        }
        self
    }

    /// Asks for a `typ` (RFC 8725 §3.11), such as `at+jwt` for the access tokens of RFC 9068.
    ///
    /// Case does not matter, and the token may write `application/` before it. A token without
    /// `typ` is refused then. By default, `typ` is absent or `JWT`.
    pub fn kind(mut self, kind: impl Into<Box<str>>) -> Self {
        self.rules.kind = Some(media_type(&kind.into()).into());
        self
    }

    /// How far the issuer's clock and ours may differ when `exp`, `nbf` and `iat` are compared
    /// with it. 30 seconds by default, [`MAX_LEEWAY`] at most.
    ///
    /// The identity's expiry is `exp` itself, without leeway.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.rules.leeway = leeway;
        self
    }

    /// The longest that an identity lasts from its verification on. A year by default.
    ///
    /// A token with a later `exp` is good, but its identity ends then: nobody stays for ever
    /// because somebody wrote a number with twenty digits.
    pub fn longest_lifetime(mut self, lifetime: Duration) -> Self {
        self.rules.longest_lifetime = lifetime;
        self
    }

    /// Takes the time from this clock. The machine's by default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.rules.clock = Box::new(clock);
        self
    }

    /// Reads the payload as `D` too, for [`Identity::claims`](portcullis_core::Identity::claims).
    ///
    /// `D` gets the whole payload, after everything else was found good. A token whose payload is
    /// no `D` is refused.
    pub fn claims<D>(self) -> JwtBuilder<D>
    where
        D: DeserializeOwned + Send + Sync + 'static,
    {
        let Rules {
            issuer,
            audiences,
            kind,
            leeway,
            longest_lifetime,
            clock,
            read: _,
        } = self.rules;
        JwtBuilder {
            keys: self.keys,
            rules: Rules {
                issuer,
                audiences,
                kind,
                leeway,
                longest_lifetime,
                clock,
                read: |payload| serde_json::from_str(payload).ok(),
            },
        }
    }

    /// The verifier.
    ///
    /// # Errors
    ///
    /// A value makes no sense; the error says which and what to do.
    pub fn build(self) -> Result<Jwt<C>, ConfigError> {
        let rules = self.rules;
        let is_empty = |text: &str| text.trim().is_empty();
        if rules.issuer.as_deref().is_some_and(is_empty) {
            return Err(ConfigError::new(
                "the issuer is empty: write what `iss` says",
            ));
        }
        if rules
            .audiences
            .iter()
            .flatten()
            .any(|audience| is_empty(audience))
        {
            return Err(ConfigError::new(
                "an audience is empty: write what `aud` says",
            ));
        }
        if rules.kind.as_deref().is_some_and(is_empty) {
            return Err(ConfigError::new(
                "the kind is empty: leave it out for `JWT` or nothing",
            ));
        }
        if rules.leeway > MAX_LEEWAY {
            return Err(ConfigError::new(
                "the leeway is over 60 seconds: set the clocks instead",
            ));
        }
        if rules.longest_lifetime.is_zero() || rules.longest_lifetime > LONGEST_LIFETIME {
            return Err(ConfigError::new(
                "the longest lifetime is zero or over 100 years: a year is the default",
            ));
        }
        Ok(Jwt::new(self.keys, rules))
    }
}

impl<C> fmt::Debug for JwtBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtBuilder")
            .field("keys", &self.keys)
            .field("rules", &self.rules)
            .finish()
    }
}
