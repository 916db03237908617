use std::fmt;
use std::time::Duration;

use portcullis_core::{Clock, SystemClock};
use serde::de::DeserializeOwned;

use crate::header::media_type;
use crate::validation::{ApplicationClaims, Validation};
use crate::{ConfigError, Jwt, KeySet};

/// The maximum leeway: 60 seconds.
pub const MAX_LEEWAY: Duration = Duration::from_secs(60);

const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Builds a [`Jwt`]; see [`Jwt::builder`].
///
/// Issuer and audience have to be set, in any order. `ISSUER` and `AUDIENCE` record at compile time
/// whether they are; without them, [`build`](Self::build) does not compile:
///
/// ```compile_fail,E0277
/// # fn verifier(key: portcullis_jwt::Key) -> Result<(), portcullis_jwt::ConfigError> {
/// portcullis_jwt::Jwt::builder(key)
///     .audience("chat")
///     .build()?; // error: this `JwtBuilder` has no issuer
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is built before `build`"]
pub struct JwtBuilder<const ISSUER: bool = true, const AUDIENCE: bool = true> {
    keys: KeySet,
    validation: Validation,
}

impl JwtBuilder<false, false> {
    pub(crate) fn new(keys: KeySet) -> Self {
        Self {
            keys,
            validation: Validation {
                issuer: None,
                audiences: None,
                kind: None,
                leeway: DEFAULT_LEEWAY,
                max_lifetime: YEAR,
                clock: Box::new(SystemClock),
                claims: None,
            },
        }
    }
}

impl<const ISSUER: bool, const AUDIENCE: bool> JwtBuilder<ISSUER, AUDIENCE> {
    /// Accepts tokens of this issuer only: `iss` has to equal it exactly (RFC 8725 §3.8).
    ///
    /// A verifier has one issuer, since the keys belong to one issuer. To accept several issuers,
    /// build a verifier for each of them and combine them with `any_of` of portcullis.
    pub fn issuer(mut self, issuer: impl Into<Box<str>>) -> JwtBuilder<true, AUDIENCE> {
        self.validation.issuer = Some(issuer.into());
        self.into_state()
    }

    /// Accepts tokens of every issuer that has the key, and tokens without `iss`.
    ///
    /// This is insecure if several issuers use the same key, since each of them can then issue
    /// tokens in the name of the others.
    pub fn insecure_any_issuer(mut self) -> JwtBuilder<true, AUDIENCE> {
        self.validation.issuer = None;
        self.into_state()
    }

    /// Accepts tokens for this audience only: it has to equal `aud` or one of its strings exactly
    /// (RFC 8725 §3.9).
    ///
    /// Replaces the audiences that were set before. To accept several, add the others with
    /// [`or_audience`](JwtBuilder::or_audience).
    pub fn audience(mut self, audience: impl Into<Box<str>>) -> JwtBuilder<ISSUER, true> {
        self.validation.audiences = Some(vec![audience.into()]);
        self.into_state()
    }

    /// Accepts tokens for every audience, and tokens without `aud`.
    ///
    /// This is insecure if the issuer serves several applications, since a token for one of them
    /// is then valid here, too.
    pub fn insecure_any_audience(mut self) -> JwtBuilder<ISSUER, true> {
        self.validation.audiences = None;
        self.into_state()
    }

    /// Requires a `typ` (RFC 8725 §3.11), such as `at+jwt` for the access tokens of RFC 9068.
    ///
    /// Case is ignored, and tokens may write `application/` in front of it. Tokens without `typ`
    /// are refused. By default, `typ` has to be missing or `JWT`.
    pub fn kind(mut self, kind: impl Into<Box<str>>) -> Self {
        self.validation.kind = Some(media_type(&kind.into()).into());
        self
    }

    /// Sets the tolerated difference between the issuer's clock and ours: 30 seconds by default, at
    /// most [`MAX_LEEWAY`].
    ///
    /// It applies to `exp`, `nbf` and `iat`. The expiry of the identity is `exp` without the leeway.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.validation.leeway = leeway;
        self
    }

    /// Limits the lifetime of an identity, counted from the verification: 365 days by default.
    ///
    /// A token with a later `exp` is accepted, but its identity expires after this time.
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.validation.max_lifetime = lifetime;
        self
    }

    /// Sets the clock that expiry is checked with. The default is [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.validation.clock = Box::new(clock);
        self
    }

    /// Deserializes the payload as `T` and attaches it to the identity, for
    /// [`Identity::claims`](portcullis_core::Identity::claims). By default, identities have no
    /// claims.
    ///
    /// `T` sees the whole payload, registered claims included, after all other checks but expiry
    /// have passed. The token is refused if its payload does not deserialize.
    pub fn claims<T>(mut self) -> Self
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        self.validation.claims = Some(ApplicationClaims::of::<T>());
        self
    }

    /// Builds the verifier.
    ///
    /// # Errors
    ///
    /// Returns an error if issuer, audience or kind is empty, if the leeway exceeds
    /// [`MAX_LEEWAY`], or if the maximum lifetime is zero or exceeds 100 years.
    pub fn build(self) -> Result<Jwt, ConfigError>
    where
        Self: HasIssuer + HasAudience,
    {
        let validation = self.validation;
        let is_empty = |text: &str| text.trim().is_empty();
        let mut audiences = validation.audiences.iter().flatten();
        if validation.issuer.as_deref().is_some_and(is_empty) {
            return Err(ConfigError::new(
                "the issuer is empty: set it to the `iss` of the tokens",
            ));
        }
        if audiences.any(|audience| is_empty(audience)) {
            return Err(ConfigError::new(
                "an audience is empty: set it to the `aud` of the tokens",
            ));
        }
        if validation.kind.as_deref().is_some_and(is_empty) {
            return Err(ConfigError::new(
                "the kind is empty: omit `kind` to accept tokens with the `typ` `JWT` or without `typ`",
            ));
        }
        if validation.leeway > MAX_LEEWAY {
            return Err(ConfigError::new(
                "the leeway exceeds 60 seconds: synchronize the clocks instead",
            ));
        }
        if validation.max_lifetime.is_zero() || validation.max_lifetime > CENTURY {
            return Err(ConfigError::new(
                "the maximum lifetime is zero or exceeds 100 years",
            ));
        }
        Ok(Jwt::new(self.keys, validation))
    }

    fn into_state<const I: bool, const A: bool>(self) -> JwtBuilder<I, A> {
        JwtBuilder {
            keys: self.keys,
            validation: self.validation,
        }
    }
}

impl<const ISSUER: bool> JwtBuilder<ISSUER, true> {
    /// Accepts another audience, next to the one that was set before.
    ///
    /// [`Identity::audience`](portcullis_core::Identity::audience) then returns the one that a
    /// token is for. This method has no effect after
    /// [`insecure_any_audience`](Self::insecure_any_audience).
    pub fn or_audience(mut self, audience: impl Into<Box<str>>) -> Self {
        if let Some(audiences) = &mut self.validation.audiences {
            audiences.push(audience.into());
        }
        self
    }
}

impl<const ISSUER: bool, const AUDIENCE: bool> fmt::Debug for JwtBuilder<ISSUER, AUDIENCE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtBuilder")
            .field("keys", &self.keys)
            .field("validation", &self.validation)
            .finish()
    }
}

/// A [`JwtBuilder`] with an issuer.
#[diagnostic::on_unimplemented(
    message = "this `JwtBuilder` has no issuer",
    label = "the issuer of the tokens is not set",
    note = "call `.issuer(\"https://idp.example.com\")` before `.build()`, with the `iss` of the tokens",
    note = "to accept every issuer that has the key, call `.insecure_any_issuer()`"
)]
pub trait HasIssuer: sealed::Sealed {}

/// A [`JwtBuilder`] with an audience.
#[diagnostic::on_unimplemented(
    message = "this `JwtBuilder` has no audience",
    label = "the audience of the tokens is not set",
    note = "call `.audience(\"my-service\")` before `.build()`, with the `aud` of the tokens",
    note = "to accept tokens for every audience, call `.insecure_any_audience()`"
)]
pub trait HasAudience: sealed::Sealed {}

impl<const AUDIENCE: bool> HasIssuer for JwtBuilder<true, AUDIENCE> {}

impl<const ISSUER: bool> HasAudience for JwtBuilder<ISSUER, true> {}

mod sealed {
    pub trait Sealed {}

    impl<const I: bool, const A: bool> Sealed for super::JwtBuilder<I, A> {}
}
