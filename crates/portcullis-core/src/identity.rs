use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::{Carrier, Credential, Scheme, Scopes};

/// Who somebody is: a subject, what it may do and until when, and claims of the application.
///
/// A verifier builds it, admission puts it into the request's extensions, and a handler takes it
/// out again with the extractor of the same name. A clone costs one reference count, so a cached
/// identity is handed out without a copy.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use portcullis_core::Identity;
///
/// let hour = SystemTime::now() + Duration::from_secs(3600);
/// let alice = Identity::builder("alice").scopes(["chat:read"]).expires_at(hour).build();
///
/// assert_eq!(alice.subject(), "alice");
/// assert!(alice.scopes().contains("chat:read"));
/// assert!(!alice.is_expired(SystemTime::now()));
/// ```
pub struct Identity<C = ()> {
    who: Arc<Who<C>>,
    // Beside the shared part and not in it: the same cached `who` is proven again and again.
    proof: Option<Proof>,
    grant: Option<Grant>,
}

/// What the layer that admitted an identity opens its socket with. It is of the layer's own type.
type Grant = Arc<dyn Any + Send + Sync>;

impl Identity {
    /// A subject and nothing else: no scopes, no claims, no expiry.
    pub fn new(subject: impl Into<Box<str>>) -> Self {
        Self::builder(subject).build()
    }

    /// Starts with the one thing an identity must have.
    pub fn builder(subject: impl Into<Box<str>>) -> IdentityBuilder {
        IdentityBuilder {
            who: Who {
                subject: subject.into(),
                scopes: Scopes::default(),
                expires_at: None,
                issued_at: None,
                issuer: None,
                audience: None,
                token_id: None,
                single_use: false,
                session_ends_at: None,
                claims: (),
            },
            grant: None,
        }
    }
}

impl<C> Identity<C> {
    /// Who it is. Unique within one issuer, and not a secret.
    pub fn subject(&self) -> &str {
        &self.who.subject
    }

    /// What it may do.
    pub fn scopes(&self) -> &Scopes {
        &self.who.scopes
    }

    /// What else the verifier found out, in a type of the application's choice.
    pub fn claims(&self) -> &C {
        &self.who.claims
    }

    /// When the credential ends; `None` if it says nothing about that.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.who.expires_at
    }

    /// When the credential was issued, if it says so.
    pub fn issued_at(&self) -> Option<SystemTime> {
        self.who.issued_at
    }

    /// Who vouches for the subject, if there is more than one who might.
    pub fn issuer(&self) -> Option<&str> {
        self.who.issuer.as_deref()
    }

    /// Whom the credential is meant for, if the verifier asks for that.
    pub fn audience(&self) -> Option<&str> {
        self.who.audience.as_deref()
    }

    /// The credential's own name, by which it can be revoked. It is not the credential.
    pub fn token_id(&self) -> Option<&str> {
        self.who.token_id.as_deref()
    }

    /// When a socket that is opened with it has to be closed, whatever the credential's own end;
    /// `None` if the verifier says nothing about that.
    pub fn session_ends_at(&self) -> Option<SystemTime> {
        self.who.session_ends_at
    }

    /// Whether the credential was good for one time, as a ticket is. A verifier cannot be asked
    /// about it again.
    pub fn is_single_use(&self) -> bool {
        self.who.single_use
    }

    /// Whether the credential has ended by `now`. The second of expiry itself is too late
    /// (RFC 7519 §4.1.4).
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.expires_at().is_some_and(|end| end <= now)
    }

    /// How and when it was proven. Admission fills this in: `None` outside of a request.
    pub fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    /// The same identity, proven by `credential` at `now`.
    ///
    /// Admission calls this. A verifier has no need to.
    #[must_use]
    pub fn proven_by(mut self, credential: &Credential, now: SystemTime) -> Self {
        self.proof = Some(Proof {
            carrier: credential.carrier(),
            scheme: credential.scheme(),
            at: now,
        });
        self
    }

    /// The same identity, with what opens its socket. In the request's extensions the two are one
    /// value: whoever puts another identity there, of whom nobody was admitted, opens none.
    ///
    /// Admission calls this for an upgrade. A verifier has no need to.
    #[must_use]
    pub fn with_grant<T: Send + Sync + 'static>(mut self, grant: Arc<T>) -> Self {
        self.grant = Some(grant);
        self
    }

    /// Takes out what opens its socket, if it is a `T`.
    pub fn take_grant<T: Send + Sync + 'static>(&mut self) -> Option<Arc<T>> {
        self.grant.take()?.downcast().ok()
    }

    /// The same subject with other claims: what `translate` makes of the present ones.
    #[must_use]
    pub fn map_claims<D>(self, translate: impl FnOnce(&C) -> D) -> Identity<D> {
        let who = &*self.who;
        Identity {
            proof: self.proof,
            who: Arc::new(Who {
                claims: translate(&who.claims),
                subject: who.subject.clone(),
                scopes: who.scopes.clone(),
                expires_at: who.expires_at,
                issued_at: who.issued_at,
                issuer: who.issuer.clone(),
                audience: who.audience.clone(),
                token_id: who.token_id.clone(),
                single_use: who.single_use,
                session_ends_at: who.session_ends_at,
            }),
            grant: self.grant,
        }
    }

    /// A builder that has everything of this identity but its proof, to change a part of it.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use portcullis_core::Identity;
    ///
    /// let alice = Identity::builder("alice").scopes(["chat"]).build();
    /// let hour = SystemTime::now() + Duration::from_secs(3600);
    /// let short = alice.to_builder().expires_at(hour).build();
    /// assert_eq!(short.expires_at(), Some(hour));
    /// assert!(short.scopes().contains("chat"));
    /// ```
    pub fn to_builder(&self) -> IdentityBuilder<C>
    where
        C: Clone,
    {
        IdentityBuilder {
            who: (*self.who).clone(),
            grant: self.grant.clone(),
        }
    }
}

// Written out, since a derive would ask for `C: Clone`.
impl<C> Clone for Identity<C> {
    fn clone(&self) -> Self {
        Self {
            who: Arc::clone(&self.who),
            proof: self.proof,
            grant: self.grant.clone(),
        }
    }
}

/// Everything but the proof: whoever reads it back has not seen the credential.
#[cfg(feature = "serde")]
impl<C: serde::Serialize> serde::Serialize for Identity<C> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.who.serialize(serializer)
    }
}

#[cfg(feature = "serde")]
impl<'de, C: serde::Deserialize<'de>> serde::Deserialize<'de> for Identity<C> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self {
            who: Arc::new(Who::deserialize(deserializer)?),
            proof: None,
            grant: None,
        })
    }
}

/// Prints everything but the claims, which may hold what does not belong in a log.
impl<C> fmt::Debug for Identity<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("subject", &self.subject())
            .field("scopes", self.scopes())
            .field("expires_at", &self.expires_at())
            .field("issuer", &self.issuer())
            .field("proof", &self.proof)
            .finish_non_exhaustive()
    }
}

/// How and when an [`Identity`] was proven.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Proof {
    /// The carrier the credential rode in.
    pub carrier: Carrier,

    /// How the credential was spoken.
    pub scheme: Scheme,

    /// The wall clock's time of admission.
    pub at: SystemTime,
}

/// Builds an [`Identity`]; see [`Identity::builder`].
#[must_use = "nothing is built before `build`"]
pub struct IdentityBuilder<C = ()> {
    who: Who<C>,
    grant: Option<Grant>,
}

impl<C> IdentityBuilder<C> {
    /// What the subject may do. None by default.
    pub fn scopes<S: Into<Box<str>>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.who.scopes = scopes.into_iter().collect();
        self
    }

    /// When the credential ends. Without it, it does not.
    pub fn expires_at(mut self, end: impl Into<Option<SystemTime>>) -> Self {
        self.who.expires_at = end.into();
        self
    }

    /// When the credential was issued.
    pub fn issued_at(mut self, time: impl Into<Option<SystemTime>>) -> Self {
        self.who.issued_at = time.into();
        self
    }

    /// Who vouches for the subject.
    pub fn issuer(mut self, issuer: impl Into<Box<str>>) -> Self {
        self.who.issuer = Some(issuer.into());
        self
    }

    /// Whom the credential is meant for.
    pub fn audience(mut self, audience: impl Into<Box<str>>) -> Self {
        self.who.audience = Some(audience.into());
        self
    }

    /// The credential's own name (`jti`), by which it can be revoked.
    pub fn token_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.who.token_id = Some(id.into());
        self
    }

    /// When a socket that is opened with it has to be closed. It can only shorten the session.
    pub fn session_ends_at(mut self, end: impl Into<Option<SystemTime>>) -> Self {
        self.who.session_ends_at = end.into();
        self
    }

    /// The credential was good for this one time; see [`Identity::is_single_use`].
    pub fn single_use(mut self) -> Self {
        self.who.single_use = true;
        self
    }

    /// Claims of the application. `()` by default.
    pub fn claims<D>(self, claims: D) -> IdentityBuilder<D> {
        let Who {
            subject,
            scopes,
            expires_at,
            issued_at,
            issuer,
            audience,
            token_id,
            single_use,
            session_ends_at,
            claims: _,
        } = self.who;
        IdentityBuilder {
            who: Who {
                subject,
                scopes,
                expires_at,
                issued_at,
                issuer,
                audience,
                token_id,
                single_use,
                session_ends_at,
                claims,
            },
            grant: self.grant,
        }
    }

    /// Done.
    pub fn build(self) -> Identity<C> {
        Identity {
            who: Arc::new(self.who),
            proof: None,
            grant: self.grant,
        }
    }
}

impl<C> fmt::Debug for IdentityBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityBuilder")
            .field("subject", &self.who.subject)
            .finish_non_exhaustive()
    }
}

#[derive(Clone)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
struct Who<C> {
    subject: Box<str>,
    scopes: Scopes,
    expires_at: Option<SystemTime>,
    issued_at: Option<SystemTime>,
    issuer: Option<Box<str>>,
    audience: Option<Box<str>>,
    token_id: Option<Box<str>>,
    single_use: bool,
    session_ends_at: Option<SystemTime>,
    claims: C,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_second_of_expiry_is_too_late() {
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let identity = Identity::builder("alice").expires_at(end).build();
        assert!(!identity.is_expired(end - Duration::from_nanos(1)));
        assert!(identity.is_expired(end));
    }

    #[test]
    fn a_grant_goes_with_what_is_made_of_its_identity() {
        let alice = Identity::new("alice").with_grant(Arc::new("a socket"));
        let mut copies = [
            alice.clone(),
            alice.clone().map_claims(|()| ()),
            alice.to_builder().scopes(["chat"]).build(),
        ];
        for copy in &mut copies {
            assert_eq!(copy.take_grant().as_deref(), Some(&"a socket"));
            assert_eq!(copy.take_grant::<&str>(), None);
        }
        assert_eq!(alice.clone().take_grant::<u8>(), None, "another layer's");
        assert_eq!(Identity::new("alice").take_grant::<&str>(), None);
    }

    #[test]
    fn other_claims_leave_the_rest_alone() {
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let identity = Identity::builder("alice")
            .scopes(["b", "a", "b"])
            .expires_at(end)
            .issuer("i")
            .token_id("t")
            .claims(7_u8)
            .build()
            .proven_by(&Credential::bearer("x"), end)
            .map_claims(u8::to_string);
        assert_eq!(identity.claims(), "7");
        assert_eq!(identity.subject(), "alice");
        assert_eq!(identity.scopes().to_string(), "a b");
        assert_eq!(identity.expires_at(), Some(end));
        assert_eq!(identity.issuer(), Some("i"));
        assert_eq!(identity.token_id(), Some("t"));
        assert_eq!(identity.proof().map(|proof| proof.at), Some(end));
    }
}
