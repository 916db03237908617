use std::time::SystemTime;

use crate::Identity;

/// Taking back credentials, or one session: what is revoked, and for how long that is remembered.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use portcullis_core::{Identity, Revocation};
///
/// let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(43_200);
/// let hour = Duration::from_secs(3_600);
/// let revocation = Revocation::subject("alice").issued_before(noon);
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

/// What a [`Revocation`] takes back.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub enum Revoked {
    /// The credential of this name; see [`Identity::token_id`].
    Token(Box<str>),

    /// The credentials of this subject.
    Subject(Box<str>),

    /// One session, by its id. It takes back no credential: another session may open with it.
    Session(Box<str>),

    /// All credentials, of everybody.
    Everything,
}

impl Revocation {
    /// Takes back the credential of this name (`jti`).
    pub fn token(id: impl Into<Box<str>>) -> Self {
        Self::new(Revoked::Token(id.into()))
    }

    /// Takes back the credentials that this subject has now.
    ///
    /// One that says when it was issued, and was issued later, is good. One that does not say it is
    /// taken back whenever it comes.
    pub fn subject(subject: impl Into<Box<str>>) -> Self {
        Self::new(Revoked::Subject(subject.into()))
    }

    /// Closes one session.
    pub fn session(id: impl Into<Box<str>>) -> Self {
        Self::new(Revoked::Session(id.into()))
    }

    /// Takes back all credentials that there are now, and closes every session.
    ///
    /// A credential that does not say when it was issued, as a static token, closes with the rest
    /// and may come in again: else nobody could, who revoked it included.
    pub fn everything() -> Self {
        Self::new(Revoked::Everything)
    }

    /// Only what was issued up to `time`; what is revoked at the moment it is told, unless set.
    ///
    /// A token names whole seconds, so one of the same second is taken back, too. What an issuer
    /// whose clock is ahead has dated later is taken back where it was seen up to `time`; to take
    /// it back everywhere, add the difference.
    #[must_use]
    pub fn issued_before(mut self, time: SystemTime) -> Self {
        self.issued_before = Some(time);
        self
    }

    /// Only what this issuer vouches for; see [`Identity::issuer`].
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<Box<str>>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// When it may be forgotten: no credential that it covers is good for longer. The longest
    /// lifetime of a credential from now, unless set.
    #[must_use]
    pub fn until(mut self, time: SystemTime) -> Self {
        self.until = Some(time);
        self
    }

    /// What is revoked.
    pub fn revoked(&self) -> &Revoked {
        &self.revoked
    }

    /// Up to when a credential must have been issued to be covered, if that matters.
    pub fn covers_issued_before(&self) -> Option<SystemTime> {
        self.issued_before
    }

    /// When it may be forgotten. A store gets no revocation without.
    pub fn ends_at(&self) -> Option<SystemTime> {
        self.until
    }

    /// Whether it takes back the credential of `identity`.
    pub fn covers<C>(&self, identity: &Identity<C>) -> bool {
        let vouched = match &self.issuer {
            Some(issuer) => identity.issuer() == Some(issuer),
            None => true,
        };
        let in_time = |time: SystemTime| self.issued_before.is_none_or(|limit| time <= limit);
        // What was there was issued before, whatever the clock of its issuer says.
        let there = identity.proof().map(|proof| proof.at);
        let issued = identity
            .issued_at()
            .map(|issued| there.map_or(issued, |there| issued.min(there)));
        vouched
            && match &self.revoked {
                Revoked::Token(id) => identity.token_id() == Some(id),
                Revoked::Subject(subject) => {
                    identity.subject() == &**subject && issued.is_none_or(in_time)
                }
                Revoked::Session(_) => false,
                Revoked::Everything => issued.or(there).is_some_and(in_time),
            }
    }

    /// Whether it takes back all that `other` takes back, and for as long. Then nobody has to
    /// remember `other` beside it.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use portcullis_core::Revocation;
    ///
    /// let now = SystemTime::now();
    /// let revoked = |time| Revocation::subject("alice").issued_before(time);
    /// assert!(revoked(now).includes(&revoked(now - Duration::from_secs(1))));
    /// assert!(!revoked(now).includes(&Revocation::subject("alice")));
    /// ```
    pub fn includes(&self, other: &Self) -> bool {
        let reaches = |own: Option<SystemTime>, other: Option<SystemTime>| {
            own.is_none_or(|own| other.is_some_and(|other| other <= own))
        };
        self.revoked == other.revoked
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
    fn what_each_covers() {
        let plain = Identity::new("alice");
        let issued = |second| Identity::builder("alice").issued_at(at(second)).build();
        let proven = |second| {
            let credential = Credential::bearer("t");
            Identity::new("alice").proven_by(&credential, at(second))
        };
        // By an issuer whose clock is ahead.
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
                Revocation::subject("alice").issued_before(at(9)),
                &plain,
                true,
            ),
            (
                Revocation::subject("alice").issued_before(at(9)),
                &issued(9),
                true,
            ),
            (
                Revocation::subject("alice").issued_before(at(9)),
                &issued(10),
                false,
            ),
            (Revocation::subject("alic"), &plain, false),
            (Revocation::subject("alice").issuer("i"), &plain, false),
            (Revocation::session("s"), &plain, false),
            (
                Revocation::subject("alice").issued_before(at(9)),
                &early(9),
                true,
            ),
            (
                Revocation::subject("alice").issued_before(at(9)),
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
    fn what_each_includes() {
        let alice = || Revocation::subject("alice");
        let rows = [
            (alice(), alice(), true),
            (alice(), Revocation::subject("bob"), false),
            (alice(), Revocation::token("alice"), false),
            (alice(), alice().issuer("i"), true),
            (alice().issuer("i"), alice(), false),
            (alice().issuer("i"), alice().issuer("j"), false),
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
