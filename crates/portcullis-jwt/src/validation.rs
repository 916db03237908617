use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_core::{Clock, Identity, IdentityBuilder};
use serde::de::DeserializeOwned;

use crate::claims::{Claims, NumericDate, Texts};
use crate::header::{Header, media_type};
use crate::rejection::{KeyNames, Quoted, QuotedList, QuotedOrMissing, Rejection};
use crate::{JwtError, Key, KeySet};

/// The maximum length of `sub` and of `jti` in bytes: 1 KiB.
pub const MAX_NAME_LENGTH: usize = 1024;

/// The settings that a token is validated against, except for the keys.
pub(crate) struct Validation {
    /// `None` accepts every issuer.
    pub(crate) issuer: Option<Box<str>>,
    /// `None` accepts every audience.
    pub(crate) audiences: Option<Vec<Box<str>>>,
    /// `None` accepts a `typ` that is missing or `JWT`.
    pub(crate) kind: Option<Box<str>>,
    pub(crate) leeway: Duration,
    pub(crate) max_lifetime: Duration,
    pub(crate) clock: Box<dyn Clock>,
    pub(crate) claims: Option<ApplicationClaims>,
}

/// The type that the payload is deserialized as, for the claims of the identity.
pub(crate) struct ApplicationClaims {
    type_name: &'static str,
    attach: fn(IdentityBuilder, &str) -> serde_json::Result<IdentityBuilder>,
}

impl ApplicationClaims {
    pub(crate) fn of<T: DeserializeOwned + Send + Sync + 'static>() -> Self {
        Self {
            type_name: std::any::type_name::<T>(),
            attach: |identity, payload| Ok(identity.claims(serde_json::from_str::<T>(payload)?)),
        }
    }
}

impl Validation {
    /// Checks a header and selects the key for it.
    pub(crate) fn select_key<'k>(
        &self,
        header: &Header<'_>,
        keys: &'k KeySet,
    ) -> Result<&'k Key, Rejection> {
        if header.is_extended {
            return Err(JwtError::Extension.into());
        }
        let kind = header.kind.as_deref();
        if !self.accepts_kind(kind) {
            let expected = self.kind.as_deref().unwrap_or("JWT");
            return Err(Rejection::from(JwtError::Kind)
                .expected(Quoted(expected))
                .found(QuotedOrMissing(kind)));
        }
        let key_id = header.key_id.as_deref();
        keys.find(&header.algorithm, key_id).ok_or_else(|| {
            let (alg, kid) = (Quoted(&header.algorithm), QuotedOrMissing(key_id));
            Rejection::from(JwtError::Key)
                .expected(KeyNames(keys))
                .found(format_args!("alg {alg}, kid {kid}"))
        })
    }

    fn accepts_kind(&self, kind: Option<&str>) -> bool {
        match (&self.kind, kind) {
            (Some(expected), Some(kind)) => media_type(kind).eq_ignore_ascii_case(expected),
            (Some(_), None) => false,
            (None, Some(kind)) => media_type(kind).eq_ignore_ascii_case("jwt"),
            (None, None) => true,
        }
    }

    /// Checks the claims of a token with a valid signature, and builds the identity.
    ///
    /// Expiry is checked last, so that [`JwtError::Expired`] means that everything else is valid.
    pub(crate) fn identify(
        &self,
        claims: &Claims<'_>,
        username: Option<&str>,
        payload: &str,
    ) -> Result<Identity, Rejection> {
        self.check_issuer(claims)?;
        let audience = self.check_audience(claims)?;
        let subject = check_subject(claims, username)?;
        let token_id = claims.token_id.as_deref();
        if !token_id.is_none_or(is_usable) {
            return Err(Rejection::from(JwtError::TokenId)
                .expected(USABLE)
                .found(QuotedOrMissing(token_id)));
        }

        let now = self.clock.now().duration_since(UNIX_EPOCH);
        let now = now.map_err(|_| JwtError::Clock)?;
        let latest = now.saturating_add(self.leeway);
        for (time, error) in [
            (claims.not_before, JwtError::NotYetValid),
            (claims.issued, JwtError::IssuedInFuture),
        ] {
            if let Some(NumericDate(time)) = time
                && time > latest
            {
                return Err(Rejection::from(error)
                    .expected(format_args!("at most {}", Now(now, self.leeway)))
                    .found(time.as_secs()));
            }
        }
        let NumericDate(end) = claims.expires.ok_or(JwtError::NoExpiry)?;

        let issued = claims.issued.map(|NumericDate(time)| wall_time(time));
        let lifetime_ends = end.min(now.saturating_add(self.max_lifetime));
        let mut identity = Identity::builder(subject)
            .scopes(claims.scopes())
            .expires_at(wall_time(lifetime_ends)?)
            .issued_at(issued.transpose()?);
        if let Some(issuer) = claims.issuer.as_deref() {
            identity = identity.issuer(issuer);
        }
        if let Some(audience) = audience {
            identity = identity.audience(audience);
        }
        if let Some(id) = token_id {
            identity = identity.token_id(id);
        }
        if let Some(claims) = &self.claims {
            identity = (claims.attach)(identity, payload).map_err(|error| {
                Rejection::of_json(JwtError::Application, &error).expected(claims.type_name)
            })?;
        }
        if end.saturating_add(self.leeway) <= now {
            return Err(Rejection::from(JwtError::Expired)
                .expected(format_args!("after {}", Now(now, self.leeway)))
                .found(end.as_secs()));
        }
        Ok(identity.build())
    }

    fn check_issuer(&self, claims: &Claims<'_>) -> Result<(), Rejection> {
        let issuer = claims.issuer.as_deref();
        match &self.issuer {
            Some(expected) if issuer != Some(expected) => Err(Rejection::from(JwtError::Issuer)
                .expected(Quoted(expected))
                .found(QuotedOrMissing(issuer))),
            _ => Ok(()),
        }
    }

    /// Returns the audience to put into the identity. If the verifier has a single audience, there
    /// is nothing to distinguish, and the identity names none.
    fn check_audience(&self, claims: &Claims<'_>) -> Result<Option<&str>, Rejection> {
        let Some(expected) = &self.audiences else {
            return Ok(None);
        };
        let found = || claims.audience.iter().flat_map(Texts::as_slice);
        let is_found = |expected: &str| found().any(|found| **found == *expected);
        match expected.iter().find(|expected| is_found(expected)) {
            Some(audience) => Ok((expected.len() > 1).then_some(audience)),
            None => Err(Rejection::from(JwtError::Audience)
                .expected(QuotedList(expected.iter().map(|expected| &**expected)))
                .found(QuotedList(found().map(|found| &**found)))),
        }
    }
}

fn check_subject<'c>(claims: &'c Claims<'_>, username: Option<&str>) -> Result<&'c str, Rejection> {
    let subject = claims.subject.as_deref();
    match subject.filter(|subject| is_usable(subject)) {
        Some(subject) => match username.filter(|username| *username != subject) {
            None => Ok(subject),
            Some(_) => Err(Rejection::from(JwtError::Subject)
                .expected("the user name that was sent with the token")
                .found(Quoted(subject))),
        },
        None => Err(Rejection::from(JwtError::Subject)
            .expected(USABLE)
            .found(QuotedOrMissing(subject))),
    }
}

/// Returns whether a name is harmless in logs and headers and as a key.
fn is_usable(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME_LENGTH && !name.contains(char::is_control)
}

const USABLE: &str = "1 to 1024 bytes without control characters";

/// Fails only for a clock that is out of range itself, since the times are close to the clock's.
fn wall_time(since: Duration) -> Result<SystemTime, JwtError> {
    UNIX_EPOCH.checked_add(since).ok_or(JwtError::Clock)
}

/// The current time in seconds since 1970, as claims contain it, and the leeway.
struct Now(Duration, Duration);

impl fmt::Display for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(now, leeway) = self;
        write!(f, "{} (now), leeway {leeway:?}", now.as_secs())
    }
}

impl fmt::Debug for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validation")
            .field("issuer", &self.issuer)
            .field("audiences", &self.audiences)
            .field("kind", &self.kind)
            .field("leeway", &self.leeway)
            .field("max_lifetime", &self.max_lifetime)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
