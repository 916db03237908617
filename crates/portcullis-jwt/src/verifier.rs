use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_core::{Clock, Credential, Identity, Verify, VerifyError};

use crate::builder::WantsIssuer;
use crate::claims::{Claims, NumericDate, Texts};
use crate::header::{Header, media_type};
use crate::ring::Ring;
use crate::token::{self, Token};
use crate::{JwtError, Key, KeySet};

/// The longest `sub` and `jti`, in bytes.
pub const MAX_NAME_LENGTH: usize = 1024;

/// Verifies JSON Web Tokens with keys at hand.
///
/// It waits for nothing, so admission asks [`verify_now`](Verify::verify_now) and builds no future.
/// A clone shares the keys: keep one to [replace](Self::replace_keys) them.
///
/// See the [crate](crate) for an example, and for what is checked.
pub struct Jwt<C = ()> {
    shared: Arc<Shared<C>>,
}

struct Shared<C> {
    ring: RwLock<Arc<Ring>>,
    rules: Rules<C>,
}

/// What a token is held against, beside the keys.
pub(crate) struct Rules<C> {
    /// `None` for anybody.
    pub(crate) issuer: Option<Box<str>>,
    /// `None` for anybody.
    pub(crate) audiences: Option<Vec<Box<str>>>,
    /// `None` for `JWT` or nothing.
    pub(crate) kind: Option<Box<str>>,
    pub(crate) leeway: Duration,
    pub(crate) longest_lifetime: Duration,
    pub(crate) clock: Box<dyn Clock>,
    /// Reads the application's claims from the payload.
    pub(crate) read: fn(&str) -> Option<C>,
}

impl Jwt {
    /// Starts with the keys of one issuer. Issuer and audience are asked for next.
    pub fn builder(keys: impl Into<KeySet>) -> WantsIssuer {
        WantsIssuer { keys: keys.into() }
    }
}

impl<C> Jwt<C> {
    pub(crate) fn new(keys: KeySet, rules: Rules<C>) -> Self {
        Self {
            shared: Arc::new(Shared {
                ring: RwLock::new(Arc::new(Ring::new(keys))),
                rules,
            }),
        }
    }

    /// The keys of this moment.
    pub fn keys(&self) -> KeySet {
        self.ring().keys().clone()
    }

    /// Replaces all keys, in all clones of this verifier.
    ///
    /// From the next token on, those of keys that are gone are refused. A cache around the
    /// verifier may answer for such a token until its entry ends.
    pub fn replace_keys(&self, keys: impl Into<KeySet>) {
        let ring = Arc::new(Ring::new(keys.into()));
        let place = self.shared.ring.write();
        *place.unwrap_or_else(PoisonError::into_inner) = ring;
    }

    fn ring(&self) -> Arc<Ring> {
        // A poisoned lock holds a whole ring: it is replaced by one assignment.
        let ring = self.shared.ring.read();
        Arc::clone(&ring.unwrap_or_else(PoisonError::into_inner))
    }

    /// Whose token it is, or why it is refused.
    ///
    /// It decides as [`Verify`] does, and tells the operator more. Do not send the reason to a
    /// client.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong. [`JwtError::Expired`] comes last: it says that everything
    /// else is right.
    pub fn check(&self, token: &str) -> Result<Identity<C>, JwtError> {
        self.check_as(token, None)
    }

    /// Checks a token beside which a client gave the name of a user.
    fn check_as(&self, token: &str, username: Option<&str>) -> Result<Identity<C>, JwtError> {
        let rules = &self.shared.rules;
        let token = Token::split(token)?;
        // Header and payload take turns in one buffer.
        let mut buffer = Vec::with_capacity(token.header.len().max(token.payload.len()));

        let ring = self.ring();
        let known = ring.recall(token.header);
        let key = match known {
            Some(key) => key,
            None => {
                let header = token::decode(token.header, &mut buffer)?;
                let header = serde_json::from_str(header).map_err(|_| JwtError::Header)?;
                rules.find_key(&header, ring.keys())?
            }
        };
        if !token.with_signature(|signature| key.verifies(token.signed.as_bytes(), signature))? {
            return Err(JwtError::Signature);
        }
        if known.is_none() {
            ring.remember(token.header, key);
        }

        let payload = token::decode(token.payload, &mut buffer)?;
        let claims: Claims<'_> = serde_json::from_str(payload).map_err(|_| JwtError::Claims)?;
        rules.identify(&claims, username, payload)
    }
}

impl<C> Rules<C> {
    /// Judges a header, and finds the key it asks for.
    fn find_key<'k>(&self, header: &Header<'_>, keys: &'k KeySet) -> Result<&'k Key, JwtError> {
        if header.is_extended {
            return Err(JwtError::Extension);
        }
        if !self.is_kind(header.kind.as_deref()) {
            return Err(JwtError::Kind);
        }
        let key = keys.find(&header.algorithm, header.key_id.as_deref());
        key.ok_or(JwtError::Key)
    }

    fn is_kind(&self, kind: Option<&str>) -> bool {
        match (&self.kind, kind) {
            (Some(wanted), Some(kind)) => media_type(kind).eq_ignore_ascii_case(wanted),
            (Some(_), None) => false,
            (None, Some(kind)) => media_type(kind).eq_ignore_ascii_case("jwt"),
            (None, None) => true,
        }
    }

    /// Holds claims whose signature is good against the rules.
    fn identify(
        &self,
        claims: &Claims<'_>,
        username: Option<&str>,
        payload: &str,
    ) -> Result<Identity<C>, JwtError> {
        if let Some(wanted) = &self.issuer
            && claims.issuer.as_deref() != Some(wanted)
        {
            return Err(JwtError::Issuer);
        }
        let audience = match &self.audiences {
            Some(wanted) => {
                let is_named = |ours: &str| {
                    let mut named = claims.audience.iter().flat_map(Texts::as_slice);
                    named.any(|audience| **audience == *ours)
                };
                let ours = wanted.iter().find(|ours| is_named(ours));
                let ours = ours.ok_or(JwtError::Audience)?;
                // Where there is one, all tokens have it, and it tells nothing.
                (wanted.len() > 1).then_some(ours)
            }
            None => None,
        };
        let subject = claims.subject.as_deref().filter(|name| is_usable(name));
        let subject = subject.ok_or(JwtError::Subject)?;
        if username.is_some_and(|name| name != subject) {
            return Err(JwtError::Subject);
        }
        let token_id = claims.token_id.as_deref();
        if !token_id.is_none_or(is_usable) {
            return Err(JwtError::TokenId);
        }

        let now = self.clock.now().duration_since(UNIX_EPOCH);
        let now = now.map_err(|_| JwtError::Clock)?;
        let latest = now.saturating_add(self.leeway);
        if claims
            .not_before
            .is_some_and(|NumericDate(time)| time > latest)
        {
            return Err(JwtError::NotYetValid);
        }
        if claims.issued.is_some_and(|NumericDate(time)| time > latest) {
            return Err(JwtError::IssuedInFuture);
        }
        let NumericDate(end) = claims.expires.ok_or(JwtError::NoExpiry)?;
        let read = (self.read)(payload).ok_or(JwtError::Application)?;
        if end.saturating_add(self.leeway) <= now {
            return Err(JwtError::Expired);
        }

        let end = end.min(now.saturating_add(self.longest_lifetime));
        let mut identity = Identity::builder(subject)
            .scopes(claims.scopes())
            .expires_at(wall_time(end)?)
            .issued_at(
                claims
                    .issued
                    .map(|NumericDate(time)| wall_time(time))
                    .transpose()?,
            );
        if let Some(issuer) = claims.issuer.as_deref() {
            identity = identity.issuer(issuer);
        }
        if let Some(audience) = audience {
            identity = identity.audience(audience.clone());
        }
        if let Some(id) = token_id {
            identity = identity.token_id(id);
        }
        Ok(identity.claims(read).build())
    }
}

/// A name that does no harm in a log, in a header or as a key.
fn is_usable(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME_LENGTH && !name.contains(char::is_control)
}

/// A time near the clock's; out of range only if the clock itself is.
fn wall_time(since: Duration) -> Result<SystemTime, JwtError> {
    UNIX_EPOCH.checked_add(since).ok_or(JwtError::Clock)
}

impl<C: Send + Sync + 'static> Verify for Jwt<C> {
    type Claims = C;

    async fn verify(&self, credential: &Credential) -> Result<Identity<C>, VerifyError> {
        Ok(self.check_as(credential.expose_secret(), credential.username())?)
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity<C>, VerifyError>> {
        let identity = self.check_as(credential.expose_secret(), credential.username());
        Some(identity.map_err(VerifyError::from))
    }
}

// Written out, since a derive would ask for `C: Clone`.
impl<C> Clone for Jwt<C> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<C> fmt::Debug for Jwt<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt")
            .field("keys", &self.keys())
            .field("rules", &self.shared.rules)
            .finish()
    }
}

impl<C> fmt::Debug for Rules<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("issuer", &self.issuer)
            .field("audiences", &self.audiences)
            .field("kind", &self.kind)
            .field("leeway", &self.leeway)
            .field("longest_lifetime", &self.longest_lifetime)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use jsonwebtoken::{Algorithm, EncodingKey};

    use super::*;
    use crate::Key;

    /// This build has both backends of jsonwebtoken, as one gets them from two other crates. That
    /// leaves jsonwebtoken without a default, and it panics.
    #[test]
    fn no_process_wide_provider_is_needed() {
        const SECRET: &[u8] = b"a secret that is thirty-two long";
        let theirs = catch_unwind(|| {
            let key = EncodingKey::from_secret(SECRET);
            jsonwebtoken::encode(&jsonwebtoken::Header::default(), &(), &key)
        });
        assert!(
            theirs.is_err(),
            "jsonwebtoken has a provider, so this test shows nothing"
        );

        let token = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJpIiwic3ViIjoicyIsImF1ZCI6ImEiLCJle\
                     HAiOjk5OTk5OTk5OTk5fQ.d95Iznw88_MvX8OmbYlUiAoZXBfF2GAAwO881J-yf0M";
        let key = Key::from_secret(Algorithm::HS256, SECRET).unwrap();
        let jwt = Jwt::builder(key).issuer("i").audience("a").build().unwrap();
        assert_eq!(jwt.check(token).unwrap().subject(), "s");
    }
}
