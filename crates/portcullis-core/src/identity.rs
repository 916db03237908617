use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::claims::SharedClaims;
use crate::{Carrier, Credential, Scheme, Scopes};

/// The authenticated user of a request: a subject, its scopes and its expiry.
///
/// A verifier builds it, admission puts it into the request's extensions, and a handler reads it
/// with the extractor of the same name. Cloning an identity increments a reference count, so a
/// cached identity is never copied.
///
/// The application can attach [claims](IdentityBuilder::claims) of any type. A handler reads them
/// with the [`Claims`](crate::Claims) extractor.
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
#[derive(Clone)]
pub struct Identity {
    fields: Arc<Fields>,
    // Outside of the shared part, because the same cached identity is proven again and again.
    proof: Option<Proof>,
    socket_grant: Option<SocketGrant>,
}

/// The data with which the layer that admitted an identity opens its socket. Its type belongs to
/// the layer.
type SocketGrant = Arc<dyn Any + Send + Sync>;

/// The properties of a user, as a verifier reports them.
#[derive(Clone)]
pub(crate) struct Fields {
    pub(crate) subject: Box<str>,
    pub(crate) scopes: Scopes,
    pub(crate) expires_at: Option<SystemTime>,
    pub(crate) issued_at: Option<SystemTime>,
    pub(crate) issuer: Option<Box<str>>,
    pub(crate) audience: Option<Box<str>>,
    pub(crate) token_id: Option<Box<str>>,
    pub(crate) single_use: bool,
    pub(crate) session_ends_at: Option<SystemTime>,
    pub(crate) claims: Option<SharedClaims>,
}

impl Identity {
    /// Creates an identity with a subject and nothing else: no scopes, no claims, no expiry.
    pub fn new(subject: impl Into<Box<str>>) -> Self {
        Self::builder(subject).build()
    }

    /// Starts an identity with its only required field, the subject.
    pub fn builder(subject: impl Into<Box<str>>) -> IdentityBuilder {
        IdentityBuilder {
            fields: Fields {
                subject: subject.into(),
                scopes: Scopes::default(),
                expires_at: None,
                issued_at: None,
                issuer: None,
                audience: None,
                token_id: None,
                single_use: false,
                session_ends_at: None,
                claims: None,
            },
            socket_grant: None,
        }
    }

    /// Returns the subject, for example a user name. It is unique within one
    /// [issuer](Self::issuer), and not a secret.
    pub fn subject(&self) -> &str {
        &self.fields.subject
    }

    /// Returns the scopes: what the subject may do.
    pub fn scopes(&self) -> &Scopes {
        &self.fields.scopes
    }

    /// Returns the claims, if the verifier attached claims of type `T`.
    ///
    /// In a handler, prefer the [`Claims`](crate::Claims) extractor, which reports a wrong type.
    ///
    /// ```
    /// use portcullis_core::Identity;
    ///
    /// #[derive(Debug, PartialEq)]
    /// struct Member { team: &'static str }
    ///
    /// let alice = Identity::builder("alice").claims(Member { team: "red" }).build();
    /// assert_eq!(alice.claims(), Some(&Member { team: "red" }));
    /// assert_eq!(alice.claims::<String>(), None);
    /// ```
    pub fn claims<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.fields.claims.as_ref()?.get()
    }

    /// Returns the time at which the credential expires; `None` if it does not expire.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.fields.expires_at
    }

    /// Returns the time at which the credential was issued, if it is known.
    pub fn issued_at(&self) -> Option<SystemTime> {
        self.fields.issued_at
    }

    /// Returns the issuer that vouches for the subject, if the verifier names one.
    ///
    /// Equal subjects of different issuers are different users.
    pub fn issuer(&self) -> Option<&str> {
        self.fields.issuer.as_deref()
    }

    /// Returns the audience that the credential was issued for, if the verifier checks it.
    pub fn audience(&self) -> Option<&str> {
        self.fields.audience.as_deref()
    }

    /// Returns the identifier of the credential (the `jti` of a JWT), which can be revoked. It is
    /// not the credential itself.
    pub fn token_id(&self) -> Option<&str> {
        self.fields.token_id.as_deref()
    }

    /// Returns the time at which a socket opened with this identity has to close, regardless of
    /// the credential's expiry; `None` if the verifier sets no such time.
    pub fn session_ends_at(&self) -> Option<SystemTime> {
        self.fields.session_ends_at
    }

    /// Returns whether the credential admits one request only, as a ticket does. Such a credential
    /// cannot be verified again.
    pub fn is_single_use(&self) -> bool {
        self.fields.single_use
    }

    /// Returns whether the credential has expired at `now`. It has expired at the exact second of
    /// its expiry (RFC 7519 §4.1.4).
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.expires_at().is_some_and(|end| end <= now)
    }

    /// Returns how and when the identity was proven; `None` outside of an admitted request.
    pub fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    /// Returns a builder with everything of this identity except its proof.
    ///
    /// Use it in a middleware that changes the identity of a request. The result can still open
    /// the socket of that request; a new identity cannot.
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
    pub fn to_builder(&self) -> IdentityBuilder {
        IdentityBuilder {
            fields: Fields::clone(&self.fields),
            socket_grant: self.socket_grant.clone(),
        }
    }

    pub(crate) fn shared_claims(&self) -> Option<&SharedClaims> {
        self.fields.claims.as_ref()
    }

    #[cfg(feature = "serde")]
    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    #[cfg(feature = "serde")]
    pub(crate) fn from_fields(fields: Fields) -> Self {
        Self {
            fields: Arc::new(fields),
            proof: None,
            socket_grant: None,
        }
    }
}

/// For `AuthLayer`, which is in another crate.
#[doc(hidden)]
impl Identity {
    /// Records that `credential` proved the identity at `now`.
    #[must_use]
    pub fn proven_by(mut self, credential: &Credential, now: SystemTime) -> Self {
        self.proof = Some(Proof {
            carrier: credential.carrier(),
            scheme: credential.scheme(),
            at: now,
        });
        self
    }

    /// Attaches the data that opens the socket of the request.
    ///
    /// It is a part of the identity, so that an identity from elsewhere in the request's
    /// extensions opens no socket.
    #[must_use]
    pub fn with_socket_grant<T: Send + Sync + 'static>(mut self, grant: Arc<T>) -> Self {
        self.socket_grant = Some(grant);
        self
    }

    /// Returns the data that opens the socket, if it is a `T`.
    pub fn socket_grant<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let grant = self.socket_grant.as_ref()?;
        grant.is::<T>().then(|| Arc::clone(grant).downcast().ok())?
    }

    /// Removes and returns the data that opens the socket, if it is a `T`.
    pub fn take_socket_grant<T: Send + Sync + 'static>(&mut self) -> Option<Arc<T>> {
        self.socket_grant.take()?.downcast().ok()
    }
}

/// Prints everything except the claims, which may contain personal data.
impl fmt::Debug for Identity {
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
    /// The carrier that the credential came in.
    pub carrier: Carrier,

    /// The authentication scheme of the credential.
    pub scheme: Scheme,

    /// The wall-clock time of admission.
    pub at: SystemTime,
}

/// Builds an [`Identity`]; see [`Identity::builder`].
#[must_use = "call `build` to get the identity"]
pub struct IdentityBuilder {
    fields: Fields,
    socket_grant: Option<SocketGrant>,
}

impl IdentityBuilder {
    /// Sets the scopes: what the subject may do. None by default.
    pub fn scopes<S: Into<Box<str>>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.fields.scopes = scopes.into_iter().collect();
        self
    }

    /// Sets the time at which the credential expires. By default it does not expire.
    pub fn expires_at(mut self, end: impl Into<Option<SystemTime>>) -> Self {
        self.fields.expires_at = end.into();
        self
    }

    /// Sets the time at which the credential was issued.
    ///
    /// A revocation of the subject then covers the credentials issued before it, and the subject
    /// can log in again. Without it, the subject stays locked out until the revocation ends.
    pub fn issued_at(mut self, time: impl Into<Option<SystemTime>>) -> Self {
        self.fields.issued_at = time.into();
        self
    }

    /// Sets the issuer that vouches for the subject.
    pub fn issuer(mut self, issuer: impl Into<Box<str>>) -> Self {
        self.fields.issuer = Some(issuer.into());
        self
    }

    /// Sets the audience that the credential was issued for.
    pub fn audience(mut self, audience: impl Into<Box<str>>) -> Self {
        self.fields.audience = Some(audience.into());
        self
    }

    /// Sets the identifier of the credential (the `jti` of a JWT), so that it can be revoked.
    pub fn token_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.fields.token_id = Some(id.into());
        self
    }

    /// Sets the time at which a socket opened with this identity has to close. It can only shorten
    /// the session.
    pub fn session_ends_at(mut self, end: impl Into<Option<SystemTime>>) -> Self {
        self.fields.session_ends_at = end.into();
        self
    }

    /// Marks the credential as used up; see [`Identity::is_single_use`].
    pub fn single_use(mut self) -> Self {
        self.fields.single_use = true;
        self
    }

    /// Attaches claims: a value of any type of the application. It replaces earlier claims.
    ///
    /// All clones of the identity share the value. To change claims that are read elsewhere,
    /// build a new identity with [`Identity::to_builder`].
    pub fn claims<T: Send + Sync + 'static>(mut self, claims: T) -> Self {
        self.fields.claims = Some(SharedClaims::new(claims));
        self
    }

    /// Builds the identity.
    pub fn build(self) -> Identity {
        Identity {
            fields: Arc::new(self.fields),
            proof: None,
            socket_grant: self.socket_grant,
        }
    }
}

impl fmt::Debug for IdentityBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityBuilder")
            .field("subject", &self.fields.subject)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn identity_has_expired_at_the_second_of_expiry() {
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let identity = Identity::builder("alice").expires_at(end).build();
        assert!(!identity.is_expired(end - Duration::from_nanos(1)));
        assert!(identity.is_expired(end));
    }

    #[test]
    fn to_builder_keeps_the_socket_grant() {
        let alice = Identity::new("alice").with_socket_grant(Arc::new("a socket"));
        let mut copies = [
            alice.clone(),
            alice.to_builder().scopes(["chat"]).build(),
            alice.to_builder().claims(7_u8).build(),
        ];
        for copy in &mut copies {
            assert_eq!(copy.take_socket_grant().as_deref(), Some(&"a socket"));
            assert_eq!(copy.take_socket_grant::<&str>(), None);
        }
        let other_type = alice.clone().take_socket_grant::<u8>();
        assert_eq!(other_type, None);
        assert_eq!(Identity::new("alice").take_socket_grant::<&str>(), None);
    }

    #[test]
    fn to_builder_keeps_everything_but_the_proof() {
        /// Claims that cannot be cloned.
        #[derive(Debug, PartialEq)]
        struct Member(u8);

        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let identity = Identity::builder("alice")
            .scopes(["b", "a", "b"])
            .expires_at(end)
            .issuer("i")
            .token_id("t")
            .claims(Member(7))
            .build()
            .proven_by(&Credential::bearer("x"), end);
        assert_eq!(identity.proof().map(|proof| proof.at), Some(end));

        let copy = identity.to_builder().build();
        assert_eq!(copy.subject(), "alice");
        assert_eq!(copy.scopes().to_string(), "a b");
        assert_eq!(copy.expires_at(), Some(end));
        assert_eq!(copy.issuer(), Some("i"));
        assert_eq!(copy.token_id(), Some("t"));
        assert_eq!(copy.proof(), None);
        let (before, after) = (identity.claims::<Member>(), copy.claims::<Member>());
        assert_eq!(after, Some(&Member(7)));
        assert!(before.zip(after).is_some_and(|(a, b)| std::ptr::eq(a, b)));
    }
}
