use std::collections::HashMap;
use std::time::SystemTime;

use portcullis_core::{Identity, Revocation, Revoked};

use super::sync::{AtomicBool, Ordering, RwLock, read, write};

/// What is revoked, as far as this process knows.
///
/// Admission asks it about every identity, whatever cache the identity came from. While nothing is
/// revoked that is one load of an atomic.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    any: AtomicBool,
    stale: AtomicBool,
    in_force: RwLock<InForce>,
}

#[derive(Debug, Default)]
struct InForce {
    tokens: HashMap<Box<str>, Vec<Revocation>>,
    subjects: HashMap<Box<str>, Vec<Revocation>>,
    everything: Vec<Revocation>,
    /// When there is something to forget.
    first_end: Option<SystemTime>,
}

impl Revocations {
    /// Whether the credential of `identity` was taken back.
    pub(crate) fn cover(&self, identity: &Identity) -> bool {
        if !self.any.load(Ordering::SeqCst) {
            return false;
        }
        let in_force = read(&self.in_force);
        let covered = |list: &Vec<Revocation>| list.iter().any(|one| one.covers(identity));
        let of_token = identity.token_id().and_then(|id| in_force.tokens.get(id));
        of_token.is_some_and(covered)
            || in_force
                .subjects
                .get(identity.subject())
                .is_some_and(covered)
            || covered(&in_force.everything)
    }

    /// Whether the store has been silent for so long that nobody is to be let in.
    pub(crate) fn are_stale(&self) -> bool {
        self.stale.load(Ordering::SeqCst)
    }

    pub(crate) fn set_stale(&self, stale: bool) {
        self.stale.store(stale, Ordering::SeqCst);
    }

    /// Takes note of a revocation, and forgets those that have ended by `now`.
    pub(crate) fn add(&self, revocation: &Revocation, now: SystemTime) {
        if matches!(revocation.revoked(), Revoked::Session(_)) || has_ended(revocation, now) {
            return;
        }
        let in_force = &mut *write(&self.in_force);
        let list = match revocation.revoked() {
            Revoked::Token(id) => in_force.tokens.entry(id.clone()).or_default(),
            Revoked::Subject { subject, .. } | Revoked::SubjectAtAnyIssuer(subject) => {
                in_force.subjects.entry(subject.clone()).or_default()
            }
            _ => &mut in_force.everything,
        };
        list.retain(|one| !has_ended(one, now));
        if !list.iter().any(|one| one.includes(revocation)) {
            // Who is revoked with every log-out is revoked once.
            list.retain(|one| !revocation.includes(one));
            list.push(revocation.clone());
        }
        in_force.first_end = earlier(in_force.first_end, revocation.ends_at());
        self.any.store(true, Ordering::SeqCst);
    }

    /// Forgets what has ended. Admission waits meanwhile, so it looks first whether anything has.
    pub(crate) fn purge(&self, now: SystemTime) {
        if read(&self.in_force).first_end.is_none_or(|end| now < end) {
            return;
        }
        let in_force = &mut *write(&self.in_force);
        let mut first_end = None;
        let mut lasts = |one: &Revocation| {
            let lasts = !has_ended(one, now);
            if lasts {
                first_end = earlier(first_end, one.ends_at());
            }
            lasts
        };
        for lists in [&mut in_force.tokens, &mut in_force.subjects] {
            lists.retain(|_, list| {
                list.retain(&mut lasts);
                !list.is_empty()
            });
        }
        in_force.everything.retain(&mut lasts);
        in_force.first_end = first_end;
        let lists = [in_force.tokens.len(), in_force.subjects.len()];
        let any = lists != [0, 0] || !in_force.everything.is_empty();
        self.any.store(any, Ordering::SeqCst);
    }
}

/// The earlier of two ends, of which none may be known.
fn earlier(one: Option<SystemTime>, other: Option<SystemTime>) -> Option<SystemTime> {
    one.into_iter().chain(other).min()
}

fn has_ended(revocation: &Revocation, now: SystemTime) -> bool {
    revocation.ends_at().is_some_and(|end| end <= now)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_has_ended_is_forgotten() {
        let start = SystemTime::UNIX_EPOCH;
        let at = |second| start + Duration::from_secs(second);
        let revocations = Revocations::default();
        let alice = Identity::builder("alice").token_id("t").build();
        assert!(!revocations.cover(&alice));

        revocations.add(&Revocation::token("t").until(at(10)), start);
        revocations.add(&Revocation::subject(None, "bob").until(at(20)), start);
        assert!(revocations.cover(&alice));
        assert!(revocations.cover(&Identity::new("bob")));
        revocations.purge(at(10));
        assert!(!revocations.cover(&alice));
        assert!(revocations.cover(&Identity::new("bob")));
        revocations.purge(at(20));
        assert!(!revocations.any.load(Ordering::SeqCst));

        revocations.add(&Revocation::token("t").until(at(10)), at(30));
        assert!(!revocations.cover(&alice), "it came too late");
    }

    #[test]
    fn who_is_revoked_again_and_again_is_kept_once() {
        let start = SystemTime::UNIX_EPOCH;
        let at = |second| start + Duration::from_secs(second);
        let revocations = Revocations::default();
        let log_out = |second| {
            Revocation::subject(None, "alice")
                .issued_before(at(second))
                .until(at(second + 9))
        };
        for second in [1, 2, 3, 3, 2] {
            revocations.add(&log_out(second), start);
        }
        revocations.add(&log_out(1).until(at(99)), start);
        let kept = read(&revocations.in_force).subjects["alice"].clone();
        assert_eq!(kept, [log_out(3), log_out(1).until(at(99))]);
    }
}
