use std::time::SystemTime;

use crate::Identity;

/// Withdraws credentials, or closes one session.
///
/// A revocation takes effect with `Sessions::revoke` of portcullis: open sessions close, and
/// admission refuses the credentials that it covers.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use portcullis_core::{Identity, Revocation};
///
/// let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(43_200);
/// let hour = Duration::from_secs(3_600);
/// let revocation = Revocation::subject(None, "alice").issued_before(noon);
///
/// let issued = |time| Identity::builder("alice").issued_at(time).build();
/// assert!(revocation.covers(&issued(noon - hour)));
/// assert!(!revocation.covers(&issued(noon + hour)));
/// assert!(!revocation.covers(&Identity::new("bob")));
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct Revocation {
    revoked: Revoked,
    issuer: Option<Box<str>>,
    issued_before: Option<SystemTime>,
    until: Option<SystemTime>,
}

/// What a [`Revocation`] withdraws.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub enum Revoked {
    /// The credential with this identifier; see [`Identity::token_id`].
    Token(Box<str>),

    /// The credentials of one subject of one issuer.
    Subject {
        /// The issuer; `None` stands for identities without an issuer.
        issuer: Option<Box<str>>,
        /// The name of the subject.
        subject: Box<str>,
    },

    /// The credentials of this subject, at every issuer and without one.
    SubjectAtAnyIssuer(Box<str>),

    /// One session, by its id. Its credential stays valid and can open another session.
    Session(Box<str>),

    /// All credentials of all subjects.
    Everything,
}

impl Revocation {
    /// Revokes the credential with this identifier (`jti`).
    ///
    /// An identifier is unique within its issuer. With several issuers, add
    /// [`issuer`](Self::issuer).
    pub fn token(id: impl Into<Box<str>>) -> Self {
        Self::new(Revoked::Token(id.into()))
    }

    /// Revokes the present credentials of one subject of one issuer.
    ///
    /// Pass `None` for identities without an issuer, such as those of static tokens. A credential
    /// with a later issue time stays valid. A credential without an issue time stays revoked until
    /// the revocation [ends](Self::until).
    ///
    /// ```
    /// use portcullis_core::{Identity, Revocation};
    ///
    /// let alice = Identity::builder("alice").issuer("https://login.example").build();
    /// assert!(Revocation::subject("https://login.example", "alice").covers(&alice));
    /// assert!(!Revocation::subject("https://other.example", "alice").covers(&alice));
    /// assert!(!Revocation::subject(None, "alice").covers(&alice));
    /// assert!(Revocation::subject_of(&alice).covers(&alice));
    /// ```
    pub fn subject<'a>(issuer: impl Into<Option<&'a str>>, subject: impl Into<Box<str>>) -> Self {
        Self::new(Revoked::Subject {
            issuer: issuer.into().map(Into::into),
            subject: subject.into(),
        })
    }

    /// Revokes the present credentials of the subject of `identity`, at its issuer.
    pub fn subject_of(identity: &Identity) -> Self {
        Self::subject(identity.issuer(), identity.subject())
    }

    /// Revokes the present credentials of every subject with this name, at any issuer.
    ///
    /// Equal subjects of different issuers are usually different users. Use this only if one
    /// directory of users is behind all issuers.
    pub fn subject_at_any_issuer(subject: impl Into<Box<str>>) -> Self {
        Self::new(Revoked::SubjectAtAnyIssuer(subject.into()))
    }

    /// Closes one session, by its id.
    pub fn session(id: impl Into<Box<str>>) -> Self {
        Self::new(Revoked::Session(id.into()))
    }

    /// Revokes all present credentials, and closes every session.
    ///
    /// A credential without an issue time, such as a static token, is admitted again afterwards.
    /// Otherwise it would lock out every user, including the administrator.
    pub fn everything() -> Self {
        Self::new(Revoked::Everything)
    }

    /// Limits the revocation to credentials issued up to `time`. By default this is the moment of
    /// the revocation.
    ///
    /// Tokens contain whole seconds, so a token issued in the same second is revoked, too. If an
    /// issuer's clock is ahead, its token counts as issued when this process first saw it; to
    /// revoke such tokens on every machine, add the difference.
    #[must_use]
    pub fn issued_before(mut self, time: SystemTime) -> Self {
        self.issued_before = Some(time);
        self
    }

    /// Limits the revocation to credentials of one issuer; see [`Identity::issuer`].
    ///
    /// [`subject`](Self::subject) takes the issuer as an argument and does not need this.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<Box<str>>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Sets the time at which the revocation can be forgotten, because every credential that it
    /// covers has expired. By default this is the maximum lifetime of a credential from now.
    #[must_use]
    pub fn until(mut self, time: SystemTime) -> Self {
        self.until = Some(time);
        self
    }

    /// Returns what is revoked.
    pub fn revoked(&self) -> &Revoked {
        &self.revoked
    }

    /// Returns the latest issue time of a credential that is covered, if it is limited.
    pub fn covers_issued_before(&self) -> Option<SystemTime> {
        self.issued_before
    }

    /// Returns the time at which the revocation can be forgotten. It is always set when a store
    /// receives the revocation.
    pub fn ends_at(&self) -> Option<SystemTime> {
        self.until
    }

    /// Returns whether the credential of `identity` is revoked.
    pub fn covers(&self, identity: &Identity) -> bool {
        let issuer_fits = match &self.issuer {
            Some(issuer) => identity.issuer() == Some(issuer),
            None => true,
        };
        let in_time = |time: SystemTime| self.issued_before.is_none_or(|limit| time <= limit);
        // A credential seen at some time was issued before it, even if its issuer's clock is ahead.
        let seen = identity.proof().map(|proof| proof.at);
        let issued = identity
            .issued_at()
            .map(|issued| seen.map_or(issued, |seen| issued.min(seen)));
        issuer_fits
            && match &self.revoked {
                Revoked::Token(id) => identity.token_id() == Some(id),
                Revoked::Subject { issuer, subject } => {
                    identity.subject() == &**subject
                        && identity.issuer() == issuer.as_deref()
                        && issued.is_none_or(in_time)
                }
                Revoked::SubjectAtAnyIssuer(subject) => {
                    identity.subject() == &**subject && issued.is_none_or(in_time)
                }
                Revoked::Session(_) => false,
                Revoked::Everything => issued.or(seen).is_some_and(in_time),
            }
    }

    /// Returns whether this revocation covers everything that `other` covers, for at least as
    /// long. A store can then forget `other`.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use portcullis_core::Revocation;
    ///
    /// let now = SystemTime::now();
    /// let revoked = |time| Revocation::subject(None, "alice").issued_before(time);
    /// assert!(revoked(now).includes(&revoked(now - Duration::from_secs(1))));
    /// assert!(!revoked(now).includes(&Revocation::subject(None, "alice")));
    /// ```
    pub fn includes(&self, other: &Self) -> bool {
        let reaches = |own: Option<SystemTime>, other: Option<SystemTime>| {
            own.is_none_or(|own| other.is_some_and(|other| other <= own))
        };
        let same_target = match (&self.revoked, &other.revoked) {
            (Revoked::SubjectAtAnyIssuer(own), Revoked::Subject { subject, .. }) => own == subject,
            (own, other) => own == other,
        };
        same_target
            && (self.issuer.is_none() || self.issuer == other.issuer)
            && reaches(self.issued_before, other.issued_before)
            && reaches(self.until, other.until)
    }

    fn new(revoked: Revoked) -> Self {
        Self {
            revoked,
            issuer: None,
            issued_before: None,
            until: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Credential;

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    #[test]
    fn each_revocation_covers_its_credentials() {
        let plain = Identity::new("alice");
        let issued = |second| Identity::builder("alice").issued_at(at(second)).build();
        let proven = |second| {
            let credential = Credential::bearer("t");
            Identity::new("alice").proven_by(&credential, at(second))
        };
        // Issued by an issuer whose clock is ahead.
        let early = |second| issued(second + 20).proven_by(&Credential::bearer("t"), at(second));
        let named = Identity::builder("alice")
            .token_id("t1")
            .issuer("i")
            .build();
        let rows = [
            (Revocation::token("t1"), &named, true),
            (Revocation::token("t2"), &named, false),
            (Revocation::token("t1"), &plain, false),
            (Revocation::token("t1").issuer("i"), &named, true),
            (Revocation::token("t1").issuer("j"), &named, false),
            (
                Revocation::subject(None, "alice").issued_before(at(9)),
                &plain,
                true,
            ),
            (
                Revocation::subject(None, "alice").issued_before(at(9)),
                &issued(9),
                true,
            ),
            (
                Revocation::subject(None, "alice").issued_before(at(9)),
                &issued(10),
                false,
            ),
            (Revocation::subject(None, "alic"), &plain, false),
            (Revocation::subject("i", "alice"), &plain, false),
            (Revocation::subject("i", "alice"), &named, true),
            (Revocation::subject("j", "alice"), &named, false),
            (Revocation::subject(None, "alice"), &named, false),
            (Revocation::subject_of(&named), &named, true),
            (Revocation::subject_of(&named), &plain, false),
            (Revocation::subject_at_any_issuer("alice"), &named, true),
            (Revocation::subject_at_any_issuer("alice"), &plain, true),
            (Revocation::subject_at_any_issuer("bob"), &plain, false),
            (Revocation::session("s"), &plain, false),
            (
                Revocation::subject(None, "alice").issued_before(at(9)),
                &early(9),
                true,
            ),
            (
                Revocation::subject(None, "alice").issued_before(at(9)),
                &early(10),
                false,
            ),
            (
                Revocation::everything().issued_before(at(9)),
                &early(9),
                true,
            ),
            (
                Revocation::everything().issued_before(at(9)),
                &issued(9),
                true,
            ),
            (
                Revocation::everything().issued_before(at(9)),
                &issued(10),
                false,
            ),
            (
                Revocation::everything().issued_before(at(9)),
                &proven(9),
                true,
            ),
            (
                Revocation::everything().issued_before(at(9)),
                &proven(10),
                false,
            ),
            (Revocation::everything().issued_before(at(9)), &plain, false),
        ];
        for (revocation, identity, covered) in rows {
            assert_eq!(
                revocation.covers(identity),
                covered,
                "{revocation:?} {identity:?}"
            );
        }
    }

    #[test]
    fn broader_revocations_include_narrower_ones() {
        let alice = || Revocation::subject(None, "alice");
        let rows = [
            (alice(), alice(), true),
            (alice(), Revocation::subject(None, "bob"), false),
            (alice(), Revocation::token("alice"), false),
            (
                Revocation::token("t"),
                Revocation::token("t").issuer("i"),
                true,
            ),
            (
                Revocation::token("t").issuer("i"),
                Revocation::token("t"),
                false,
            ),
            (alice(), Revocation::subject("i", "alice"), false),
            (
                Revocation::subject_at_any_issuer("alice"),
                Revocation::subject("i", "alice"),
                true,
            ),
            (Revocation::subject_at_any_issuer("alice"), alice(), true),
            (Revocation::subject_at_any_issuer("bob"), alice(), false),
            (alice(), Revocation::subject_at_any_issuer("alice"), false),
            (alice(), alice().issued_before(at(9)), true),
            (alice().issued_before(at(9)), alice(), false),
            (
                alice().issued_before(at(9)),
                alice().issued_before(at(9)),
                true,
            ),
            (
                alice().issued_before(at(9)),
                alice().issued_before(at(10)),
                false,
            ),
            (alice(), alice().until(at(9)), true),
            (alice().until(at(9)), alice(), false),
            (alice().until(at(9)), alice().until(at(8)), true),
            (
                alice().until(at(9)),
                alice().until(at(9)).issued_before(at(1)),
                true,
            ),
        ];
        for (one, other, included) in rows {
            assert_eq!(one.includes(&other), included, "{one:?} {other:?}");
        }
    }
}
