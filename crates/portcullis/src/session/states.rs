//! Every state of a session, and what every event makes of it.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime};

use portcullis_core::{Credential, Identity};

use super::entry::{Changed, Ended, Entry, NotGuarded, Recheck, RenewError, State};
use super::evict::Idle;
use super::{Changes, Sessions, context};
use crate::close::CloseCause;

/// A state, by the way that leads there.
const STATES: [&str; 6] = [
    "opening",
    "open",
    "closing",
    "doomed",
    "closed",
    "abandoned",
];

fn entry_in(state: &str) -> Entry {
    let context = context::of(&Sessions::default());
    let recheck = Recheck {
        credential: Credential::bearer("own"),
        due: 50_000,
        good_until: 90_000,
    };
    let recheck = Some(Box::new(recheck));
    let entry = Entry::new(context, alice(100), recheck, at(0), 100_000, None);
    let is_taken = || entry.open(Arc::new(Idle)).is_ok();
    match state {
        "opening" => {}
        "open" => assert!(is_taken()),
        // The socket was taken out by who ended it.
        "closing" => {
            assert!(is_taken());
            assert_eq!(ended(&entry.end(CloseCause::Revoked)), "yes, socket");
        }
        // It has to end before its socket has come.
        "doomed" => assert_eq!(ended(&entry.end(CloseCause::Revoked)), "yes"),
        "closed" => {
            assert!(is_taken());
            assert!(entry.leave(CloseCause::Client));
        }
        "abandoned" => assert!(entry.abandon()),
        other => panic!("{other}"),
    }
    entry
}

/// An event; what it answers, in a word.
type Event = fn(&Entry) -> String;

/// What each event answers in each state, and the state after it.
#[rustfmt::skip]
const ROWS: &[(&str, Event, [&str; 6])] = &[
    ("its socket comes", |it| said(&it.open(Arc::new(Idle))),
        ["ok → open", "taken → open", "taken → closing revoked", "doomed revoked → closing revoked", "taken → closed client", "taken → closed handler"]),
    ("it is ended", |it| ended(&it.end(CloseCause::Shutdown)).to_owned(),
        ["yes → doomed shutdown", "yes, socket → closing shutdown", "no → closing revoked", "no → doomed revoked", "no → closed client", "no → closed handler"]),
    ("it expires in time", |it| ended(&it.expire(100_000)).to_owned(),
        ["yes → doomed expired", "yes, socket → closing expired", "no → closing revoked", "no → doomed revoked", "no → closed client", "no → closed handler"]),
    ("it expires too early", |it| ended(&it.expire(99_999)).to_owned(),
        ["no → opening", "no → open", "no → closing revoked", "no → doomed revoked", "no → closed client", "no → closed handler"]),
    ("its client is silent", |it| ended(&it.end(CloseCause::Unresponsive)).to_owned(),
        ["yes → doomed unresponsive", "yes, socket → closing unresponsive", "no → closing revoked", "no → doomed revoked", "no → closed client", "no → closed handler"]),
    ("its pulse is taken", |it| it.socket().is_some().to_string(),
        ["false → opening", "true → open", "false → closing revoked", "false → doomed revoked", "false → closed client", "false → closed handler"]),
    ("somebody asks what is new", |it| changed(&it.poll_change(&mut it.seen(), Waker::noop())),
        ["nothing yet → opening", "nothing yet → open", "revoked → closing revoked", "revoked → doomed revoked", "client → closed client", "handler → closed handler"]),
    ("its credential is refused", |it| ended(&it.disprove(&Credential::bearer("own"), CloseCause::Refused)).to_owned(),
        ["yes → doomed refused", "yes, socket → closing refused", "no → closing revoked", "no → doomed revoked", "no → closed client", "no → closed handler"]),
    ("another credential is refused", |it| ended(&it.disprove(&Credential::bearer("old"), CloseCause::Refused)).to_owned(),
        ["no → opening", "no → open", "no → closing revoked", "no → doomed revoked", "no → closed client", "no → closed handler"]),
    ("its handler is done", |it| it.leave(CloseCause::Handler).to_string(),
        ["false → opening", "true → closed handler", "false → closing revoked", "false → doomed revoked", "false → closed client", "false → closed handler"]),
    ("its close is done", |it| finished(it.finish()),
        ["no → opening", "no → open", "revoked → closed revoked", "no → doomed revoked", "no → closed client", "no → closed handler"]),
    ("nobody holds it", |it| it.abandon().to_string(),
        ["true → closed handler", "false → open", "false → closing revoked", "true → closed revoked", "false → closed client", "false → closed handler"]),
    ("a later credential", |it| renewed(it, alice(200)),
        ["200000 → opening", "200000 → open", "ended → closing revoked", "ended → doomed revoked", "ended → closed client", "ended → closed handler"]),
    ("one without an end", |it| renewed(it, Identity::new("alice")),
        ["200000 → opening", "200000 → open", "ended → closing revoked", "ended → doomed revoked", "ended → closed client", "ended → closed handler"]),
    ("an earlier one", |it| renewed(it, alice(99)),
        ["not later → opening", "not later → open", "ended → closing revoked", "ended → doomed revoked", "ended → closed client", "ended → closed handler"]),
    ("one that ends with it", |it| renewed(it, alice(100)),
        ["not later → opening", "not later → open", "ended → closing revoked", "ended → doomed revoked", "ended → closed client", "ended → closed handler"]),
    ("one of another subject", |it| renewed(it, Identity::builder("bob").expires_at(at(200)).build()),
        ["other subject → opening", "other subject → open", "ended → closing revoked", "ended → doomed revoked", "ended → closed client", "ended → closed handler"]),
    ("one of another issuer", |it| renewed(it, Identity::builder("alice").issuer("x").expires_at(at(200)).build()),
        ["other subject → opening", "other subject → open", "ended → closing revoked", "ended → doomed revoked", "ended → closed client", "ended → closed handler"]),
    ("one for another audience", |it| renewed(it, Identity::builder("alice").audience("x").expires_at(at(200)).build()),
        ["other audience → opening", "other audience → open", "ended → closing revoked", "ended → doomed revoked", "ended → closed client", "ended → closed handler"]),
    ("the warning", |it| it.warn().to_string(),
        ["false → opening", "true → open", "false → closing revoked", "false → doomed revoked", "false → closed client", "false → closed handler"]),
    ("a second warning", |it| { it.warn(); it.warn().to_string() },
        ["false → opening", "false → open", "false → closing revoked", "false → doomed revoked", "false → closed client", "false → closed handler"]),
    ("its recheck is due", |it| it.recheck_due(50_000, 60_000).is_some().to_string(),
        ["true → opening", "true → open", "false → closing revoked", "false → doomed revoked", "false → closed client", "false → closed handler"]),
    ("its recheck is early", |it| it.recheck_due(49_999, 60_000).is_some().to_string(),
        ["false → opening", "false → open", "false → closing revoked", "false → doomed revoked", "false → closed client", "false → closed handler"]),
    ("what it waits for with an early warning", |it| format!("{:?}", it.next_wake(60_000)),
        ["Some(50000) → opening", "Some(40000) → open", "None → closing revoked", "None → doomed revoked", "None → closed client", "None → closed handler"]),
    ("what it waits for", |it| format!("{:?}", it.next_wake(10_000)),
        ["Some(50000) → opening", "Some(50000) → open", "None → closing revoked", "None → doomed revoked", "None → closed client", "None → closed handler"]),
];

#[tokio::test]
async fn every_event_in_every_state() {
    let mut wrong = Vec::new();
    for (name, event, expected) in ROWS {
        for (state, expected) in STATES.iter().zip(expected) {
            let entry = entry_in(state);
            let answer = event(&entry);
            let after = match entry.state() {
                State::Opening => "opening".to_owned(),
                State::Open(_) => "open".to_owned(),
                State::Doomed(cause) => format!("doomed {cause}"),
                State::Closing(cause) => format!("closing {cause}"),
                State::Closed(cause) => format!("closed {cause}"),
            };
            let actual = format!("{answer} → {after}");
            if actual != *expected {
                wrong.push(format!("{state}, {name}: {actual}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A verifier that cannot tell is given time from its last answer, and an answer about a credential
/// of the past says nothing.
#[tokio::test]
async fn rechecks() {
    let own = Credential::bearer("own");
    let entry = entry_in("open");
    assert!(entry.recheck_answered(&own, 89_999, None));
    assert!(!entry.recheck_answered(&own, 90_000, None));
    assert!(entry.recheck_answered(&own, 90_000, Some(120_000)));
    assert!(entry.recheck_answered(&own, 119_999, None));
    assert!(entry.recheck_answered(&Credential::bearer("old"), 200_000, None));
    entry.renew(alice(300), None, |_| 300_000).unwrap();
    assert!(entry.recheck_answered(&own, 200_000, None));
    assert_eq!(ended(&entry.disprove(&own, CloseCause::Refused)), "no");
}

/// A renewal warns anew.
#[tokio::test]
async fn a_renewal_begins_anew() {
    let entry = entry_in("open");
    assert!(entry.warn());
    entry.renew(alice(200), None, |_| 200_000).unwrap();
    assert_eq!(entry.deadline(), 200_000);
    assert_eq!(
        ended(&entry.expire(100_000)),
        "no",
        "that was the deadline before"
    );
    assert!(entry.warn());
    assert_eq!(
        entry.next_wake(10_000),
        Some(200_000),
        "and is not warned again"
    );
}

/// Whoever looks late finds all that still matters, each once.
#[tokio::test]
async fn what_was_not_seen() {
    let entry = entry_in("open");
    let mut seen = entry.seen();
    let mut next = || changed(&entry.poll_change(&mut seen, Waker::noop()));
    assert_eq!(next(), "nothing yet");

    entry.renew(alice(200), None, |_| 200_000).unwrap();
    entry.renew(alice(300), None, |_| 300_000).unwrap();
    entry.warn();
    assert_eq!(next(), "renewed until 300");
    assert_eq!(next(), "expiring at 300000");
    assert_eq!(next(), "nothing yet");

    // A warning that holds no more is none.
    entry.renew(alice(400), None, |_| 400_000).unwrap();
    entry.warn();
    entry.renew(alice(500), None, |_| 500_000).unwrap();
    assert_eq!(next(), "renewed until 500");
    assert_eq!(next(), "nothing yet");
    entry.warn();
    assert_eq!(next(), "expiring at 500000");

    entry.renew(alice(600), None, |_| 600_000).unwrap();
    entry.warn();
    entry.end(CloseCause::Revoked);
    assert_eq!(next(), "renewed until 600");
    assert_eq!(next(), "revoked");
    assert_eq!(next(), "over");
    entry.finish();
    assert_eq!(next(), "over");

    let entry = entry_in("open");
    entry.warn();
    let mut late = entry.seen();
    let first = entry.poll_change(&mut late, Waker::noop());
    assert_eq!(changed(&first), "expiring at 100000", "it still does");
}

/// Who waits is woken by every change, and who has gone leaves nothing behind.
#[tokio::test]
async fn who_waits() {
    type Change = fn(&Entry) -> bool;
    let changes: [(&str, Change); 6] = [
        ("open", |it| it.renew(alice(200), None, |_| 200_000).is_ok()),
        ("open", |it| it.warn()),
        ("open", |it| ended(&it.end(CloseCause::Revoked)) != "no"),
        ("open", |it| it.leave(CloseCause::Client)),
        ("opening", |it| ended(&it.end(CloseCause::Revoked)) != "no"),
        ("opening", |it| it.abandon()),
    ];
    for (state, change) in changes {
        let entry = Arc::new(entry_in(state));
        let (wakes, other) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
        let waker = Waker::from(Arc::clone(&wakes));
        let mut context = Context::from_waker(&waker);
        let mut first = Changes::of(Arc::clone(&entry));
        let mut second = Changes::of(Arc::clone(&entry));
        for _ in 0..3 {
            assert!(first.poll_change(&mut context).is_pending());
            assert!(second.poll_change(&mut context).is_pending());
        }
        assert_eq!(
            Arc::strong_count(&wakes),
            4,
            "ours, its waker's and two more"
        );
        // It waits in another task from now on.
        let elsewhere = Waker::from(Arc::clone(&other));
        let poll = second.poll_change(&mut Context::from_waker(&elsewhere));
        assert!(poll.is_pending());
        assert_eq!(Arc::strong_count(&wakes), 3);
        drop(first);
        assert_eq!(Arc::strong_count(&wakes), 2, "it is not there any more");
        assert!(change(&entry));
        let woken = |wakes: &Wakes| wakes.0.load(std::sync::atomic::Ordering::SeqCst);
        assert_eq!((woken(&wakes), woken(&other)), (0, 1));
        assert!(second.poll_change(&mut context).is_ready());
        drop(second);
        drop(elsewhere);
        assert_eq!(
            (Arc::strong_count(&wakes), Arc::strong_count(&other)),
            (2, 1)
        );
    }
}

#[derive(Default)]
struct Wakes(std::sync::atomic::AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

fn changed(poll: &Poll<Option<Changed>>) -> String {
    match poll {
        Poll::Pending => "nothing yet".to_owned(),
        Poll::Ready(None) => "over".to_owned(),
        Poll::Ready(Some(Changed::Ended(cause))) => cause.to_string(),
        Poll::Ready(Some(Changed::Expiring(deadline))) => format!("expiring at {deadline}"),
        Poll::Ready(Some(Changed::Renewed(identity))) => {
            let end = identity.expires_at().unwrap();
            let end = end.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            format!("renewed until {}", end.as_secs())
        }
    }
}

fn said(opened: &Result<(), NotGuarded>) -> String {
    match opened {
        Ok(()) => "ok".to_owned(),
        Err(NotGuarded::Taken) => "taken".to_owned(),
        Err(NotGuarded::Doomed(cause)) => format!("doomed {cause}"),
    }
}

fn ended(ended: &Ended) -> &'static str {
    match ended {
        Ended::Not => "no",
        Ended::Early => "yes",
        Ended::With(_) => "yes, socket",
    }
}

fn finished(cause: Option<CloseCause>) -> String {
    cause.map_or_else(|| "no".to_owned(), |cause| cause.to_string())
}

fn renewed(entry: &Entry, identity: Identity) -> String {
    match entry.renew(identity, None, |_| 200_000) {
        Ok(deadline) => deadline.to_string(),
        Err(RenewError::Ended) => "ended".to_owned(),
        Err(RenewError::NotLater) => "not later".to_owned(),
        Err(RenewError::OtherAudience) => "other audience".to_owned(),
        Err(RenewError::OtherSubject) => "other subject".to_owned(),
        Err(other) => other.to_string(),
    }
}

fn alice(end: u64) -> Identity {
    Identity::builder("alice").expires_at(at(end)).build()
}

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}
