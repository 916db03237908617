//! The state table: the result of every event in every state.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime};

use portcullis_core::{Clock, Credential, Identity};

use super::{IdleStream, context};
use crate::close::CloseCause;
use crate::session::registry::{Ended, Entry, OpenError, Recheck, State};
use crate::session::{Change, Changes, RenewError, Sessions};

/// The states. A session can be closed with or without having been open.
const STATES: [&str; 6] = [
    "opening",
    "open",
    "closing",
    "ending early",
    "closed",
    "never opened",
];

fn entry_in(state: &str) -> Entry {
    let sessions = Sessions::builder().clock(Arc::new(Epoch)).build();
    let recheck = Recheck {
        credential: Credential::bearer("own"),
        due: 50_000,
        good_until: 90_000,
    };
    let recheck = Some(Box::new(recheck));
    let entry = Entry::new(
        context(&sessions),
        alice(100),
        recheck,
        at(0),
        100_000,
        None,
    );
    let opens = || entry.open(Arc::new(IdleStream), || {}).is_ok();
    match state {
        "opening" => {}
        "open" => assert!(opens()),
        "closing" => {
            assert!(opens());
            assert_eq!(ended(&entry.end(CloseCause::Revoked)), "yes, stream");
        }
        "ending early" => assert_eq!(ended(&entry.end(CloseCause::Revoked)), "yes"),
        "closed" => {
            assert!(opens());
            assert!(entry.close(CloseCause::Client));
        }
        "never opened" => assert!(entry.close_unopened()),
        other => panic!("{other}"),
    }
    entry
}

/// Applies an event, and returns its result in a word.
type Event = fn(&Entry) -> String;

/// The result of each event in each state, and the state after it.
#[rustfmt::skip]
const ROWS: &[(&str, Event, [&str; 6])] = &[
    ("its stream opens", |it| opened(&it.open(Arc::new(IdleStream), || {})),
        ["ok → open", "already opened → open", "already opened → closing revoked", "ended revoked → closing revoked", "already opened → closed client", "already opened → closed handler"]),
    ("it reports its stream", reports_of_open,
        ["1 → open", "0 → open", "0 → closing revoked", "1 → closing revoked", "0 → closed client", "0 → closed handler"]),
    ("it is ended while it opens", ended_while_opening,
        ["yes, ended revoked → closing revoked", "no, already opened → open", "no, already opened → closing revoked", "no, ended revoked → closing revoked", "no, already opened → closed client", "no, already opened → closed handler"]),
    ("another stream opens while it opens", opened_while_opening,
        ["already opened, ok → open", "not asked, already opened → open", "not asked, already opened → closing revoked", "already opened, ended revoked → closing revoked", "not asked, already opened → closed client", "not asked, already opened → closed handler"]),
    ("it is ended", |it| ended(&it.end(CloseCause::Shutdown)).to_owned(),
        ["yes → ending early shutdown", "yes, stream → closing shutdown", "no → closing revoked", "no → ending early revoked", "no → closed client", "no → closed handler"]),
    ("it expires in time", |it| ended(&it.expire(100_000)).to_owned(),
        ["yes → ending early expired", "yes, stream → closing expired", "no → closing revoked", "no → ending early revoked", "no → closed client", "no → closed handler"]),
    ("it expires too early", |it| ended(&it.expire(99_999)).to_owned(),
        ["no → opening", "no → open", "no → closing revoked", "no → ending early revoked", "no → closed client", "no → closed handler"]),
    ("its client is silent", |it| ended(&it.end(CloseCause::Unresponsive)).to_owned(),
        ["yes → ending early unresponsive", "yes, stream → closing unresponsive", "no → closing revoked", "no → ending early revoked", "no → closed client", "no → closed handler"]),
    ("its client is checked", |it| it.stream().is_some().to_string(),
        ["false → opening", "true → open", "false → closing revoked", "false → ending early revoked", "false → closed client", "false → closed handler"]),
    ("a watcher polls for changes", |it| changed(&it.poll_change(&mut it.watch(), Waker::noop())),
        ["nothing yet → opening", "nothing yet → open", "revoked → closing revoked", "revoked → ending early revoked", "client → closed client", "handler → closed handler"]),
    ("its credential is refused", |it| ended(&it.end_for_credential(&Credential::bearer("own"), CloseCause::Refused)).to_owned(),
        ["yes → ending early refused", "yes, stream → closing refused", "no → closing revoked", "no → ending early revoked", "no → closed client", "no → closed handler"]),
    ("another credential is refused", |it| ended(&it.end_for_credential(&Credential::bearer("old"), CloseCause::Refused)).to_owned(),
        ["no → opening", "no → open", "no → closing revoked", "no → ending early revoked", "no → closed client", "no → closed handler"]),
    ("its handler drops the socket", |it| it.close(CloseCause::Handler).to_string(),
        ["false → opening", "true → closed handler", "false → closing revoked", "false → ending early revoked", "false → closed client", "false → closed handler"]),
    ("its stream is released", |it| finished(it.finish_closing()),
        ["no → opening", "no → open", "revoked → closed revoked", "no → ending early revoked", "no → closed client", "no → closed handler"]),
    ("all handles are dropped", |it| it.close_unopened().to_string(),
        ["true → closed handler", "false → open", "false → closing revoked", "true → closed revoked", "false → closed client", "false → closed handler"]),
    ("a later credential", |it| renewed(it, alice(200)),
        ["200000 → opening", "200000 → open", "ended → closing revoked", "ended → ending early revoked", "ended → closed client", "ended → closed handler"]),
    ("a credential without an end", |it| renewed(it, Identity::new("alice")),
        ["200000 → opening", "200000 → open", "ended → closing revoked", "ended → ending early revoked", "ended → closed client", "ended → closed handler"]),
    ("an earlier credential", |it| renewed(it, alice(99)),
        ["not later → opening", "not later → open", "ended → closing revoked", "ended → ending early revoked", "ended → closed client", "ended → closed handler"]),
    ("a credential with the same end", |it| renewed(it, alice(100)),
        ["not later → opening", "not later → open", "ended → closing revoked", "ended → ending early revoked", "ended → closed client", "ended → closed handler"]),
    ("a credential of another subject", |it| renewed(it, Identity::builder("bob").expires_at(at(200)).build()),
        ["other subject → opening", "other subject → open", "ended → closing revoked", "ended → ending early revoked", "ended → closed client", "ended → closed handler"]),
    ("a credential of another issuer", |it| renewed(it, Identity::builder("alice").issuer("x").expires_at(at(200)).build()),
        ["other subject → opening", "other subject → open", "ended → closing revoked", "ended → ending early revoked", "ended → closed client", "ended → closed handler"]),
    ("a credential for another audience", |it| renewed(it, Identity::builder("alice").audience("x").expires_at(at(200)).build()),
        ["other audience → opening", "other audience → open", "ended → closing revoked", "ended → ending early revoked", "ended → closed client", "ended → closed handler"]),
    ("the warning", |it| it.warn().to_string(),
        ["false → opening", "true → open", "false → closing revoked", "false → ending early revoked", "false → closed client", "false → closed handler"]),
    ("a second warning", |it| { it.warn(); it.warn().to_string() },
        ["false → opening", "false → open", "false → closing revoked", "false → ending early revoked", "false → closed client", "false → closed handler"]),
    ("its re-check is due", |it| it.recheck_due(50_000, 60_000).is_some().to_string(),
        ["true → opening", "true → open", "false → closing revoked", "false → ending early revoked", "false → closed client", "false → closed handler"]),
    ("its re-check is not due", |it| it.recheck_due(49_999, 60_000).is_some().to_string(),
        ["false → opening", "false → open", "false → closing revoked", "false → ending early revoked", "false → closed client", "false → closed handler"]),
    ("its next wake with an early warning", |it| format!("{:?}", it.next_wake(60_000)),
        ["Some(50000) → opening", "Some(40000) → open", "None → closing revoked", "None → ending early revoked", "None → closed client", "None → closed handler"]),
    ("its next wake", |it| format!("{:?}", it.next_wake(10_000)),
        ["Some(50000) → opening", "Some(50000) → open", "None → closing revoked", "None → ending early revoked", "None → closed client", "None → closed handler"]),
];

#[tokio::test]
async fn every_event_has_its_result_in_every_state() {
    let mut wrong = Vec::new();
    for (name, event, expected) in ROWS {
        for (state, expected) in STATES.iter().zip(expected) {
            let entry = entry_in(state);
            let result = event(&entry);
            let after = match entry.state() {
                State::Opening => "opening".to_owned(),
                State::Open(_) => "open".to_owned(),
                State::EndingEarly(cause) => format!("ending early {cause}"),
                State::Closing(cause) => format!("closing {cause}"),
                State::Closed(cause) => format!("closed {cause}"),
            };
            let actual = format!("{result} → {after}");
            if actual != *expected {
                wrong.push(format!("{state}, {name}: {actual}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A session tolerates an unavailable verifier for a time from the last re-check. The result for a
/// credential that was replaced has no effect.
#[tokio::test]
async fn outages_of_the_verifier_are_tolerated_for_a_time() {
    let (own, old) = (Credential::bearer("own"), Credential::bearer("old"));
    let entry = entry_in("open");
    assert!(entry.tolerates_outage(&own, 89_999));
    assert!(!entry.tolerates_outage(&own, 90_000));
    entry.recheck_passed(&old, 110_000);
    assert!(!entry.tolerates_outage(&own, 90_000));
    entry.recheck_passed(&own, 120_000);
    assert!(entry.tolerates_outage(&own, 119_999));
    assert!(entry.tolerates_outage(&old, 200_000));
    entry.renew(alice(300), None, |_| 300_000).unwrap();
    assert!(entry.tolerates_outage(&own, 200_000));
    let refused = entry.end_for_credential(&own, CloseCause::Refused);
    assert_eq!(ended(&refused), "no");
}

/// After a renewal, the session is warned again.
#[tokio::test]
async fn renewals_reset_the_warning() {
    let entry = entry_in("open");
    assert!(entry.warn());
    entry.renew(alice(200), None, |_| 200_000).unwrap();
    assert_eq!(entry.deadline(), 200_000);
    assert_eq!(
        ended(&entry.expire(100_000)),
        "no",
        "the deadline has moved"
    );
    assert!(entry.warn());
    assert_eq!(
        entry.next_wake(10_000),
        Some(200_000),
        "the session was warned"
    );
}

/// A watcher that polls late gets each change that is still in effect, once.
#[tokio::test]
async fn watchers_get_changes_that_are_in_effect() {
    let entry = entry_in("open");
    let mut seen = entry.watch();
    let mut next = || changed(&entry.poll_change(&mut seen, Waker::noop()));
    assert_eq!(next(), "nothing yet");

    entry.renew(alice(200), None, |_| 200_000).unwrap();
    entry.renew(alice(300), None, |_| 300_000).unwrap();
    entry.warn();
    assert_eq!(next(), "renewed until 300");
    assert_eq!(next(), "expiring in 300 s");
    assert_eq!(next(), "nothing yet");

    // A renewal cancels the warning.
    entry.renew(alice(400), None, |_| 400_000).unwrap();
    entry.warn();
    entry.renew(alice(500), None, |_| 500_000).unwrap();
    assert_eq!(next(), "renewed until 500");
    assert_eq!(next(), "nothing yet");
    entry.warn();
    assert_eq!(next(), "expiring in 500 s");

    entry.renew(alice(600), None, |_| 600_000).unwrap();
    entry.warn();
    entry.end(CloseCause::Revoked);
    assert_eq!(next(), "renewed until 600");
    assert_eq!(next(), "revoked");
    assert_eq!(next(), "over");
    entry.finish_closing();
    assert_eq!(next(), "over");

    let entry = entry_in("open");
    entry.warn();
    let mut late = entry.watch();
    let first = entry.poll_change(&mut late, Waker::noop());
    assert_eq!(
        changed(&first),
        "expiring in 100 s",
        "the warning is still in effect"
    );
}

/// Every change wakes the watchers that wait, and a dropped watcher leaves no waker behind.
#[tokio::test]
async fn changes_wake_watchers() {
    type Event = fn(&Entry) -> bool;
    let events: [(&str, Event); 6] = [
        ("open", |it| it.renew(alice(200), None, |_| 200_000).is_ok()),
        ("open", |it| it.warn()),
        ("open", |it| ended(&it.end(CloseCause::Revoked)) != "no"),
        ("open", |it| it.close(CloseCause::Client)),
        ("opening", |it| ended(&it.end(CloseCause::Revoked)) != "no"),
        ("opening", |it| it.close_unopened()),
    ];
    for (state, event) in events {
        let entry = Arc::new(entry_in(state));
        let (wakes, other) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
        let waker = Waker::from(Arc::clone(&wakes));
        let mut context = Context::from_waker(&waker);
        let mut first = Changes::new(Arc::clone(&entry));
        let mut second = Changes::new(Arc::clone(&entry));
        for _ in 0..3 {
            assert!(first.poll_change(&mut context).is_pending());
            assert!(second.poll_change(&mut context).is_pending());
        }
        assert_eq!(
            Arc::strong_count(&wakes),
            4,
            "this one, that of the waker, and one for each watcher"
        );
        // The second watcher moves to another task.
        let elsewhere = Waker::from(Arc::clone(&other));
        let poll = second.poll_change(&mut Context::from_waker(&elsewhere));
        assert!(poll.is_pending());
        assert_eq!(Arc::strong_count(&wakes), 3);
        drop(first);
        assert_eq!(Arc::strong_count(&wakes), 2, "its waker is dropped");
        assert!(event(&entry));
        let woken = |wakes: &Wakes| wakes.0.load(Ordering::SeqCst);
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
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn reports_of_open(entry: &Entry) -> String {
    let mut reports = 0;
    let _ = entry.open(Arc::new(IdleStream), || reports += 1);
    reports.to_string()
}

fn ended_while_opening(entry: &Entry) -> String {
    let mut end = None;
    let result = entry.open(Arc::new(IdleStream), || {
        end = entry.end(CloseCause::Revoked);
    });
    format!("{}, {}", ended(&end), opened(&result))
}

fn opened_while_opening(entry: &Entry) -> String {
    let mut second = "not asked".to_owned();
    let first = entry.open(Arc::new(IdleStream), || {
        second = opened(&entry.open(Arc::new(IdleStream), || panic!("reported twice")));
    });
    format!("{second}, {}", opened(&first))
}

fn changed(poll: &Poll<Option<Change>>) -> String {
    match poll {
        Poll::Pending => "nothing yet".to_owned(),
        Poll::Ready(None) => "over".to_owned(),
        Poll::Ready(Some(Change::Ended(cause))) => cause.to_string(),
        Poll::Ready(Some(Change::Expiring(left))) => format!("expiring in {} s", left.as_secs()),
        Poll::Ready(Some(Change::Renewed(identity))) => {
            let end = identity.expires_at().unwrap();
            let end = end.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            format!("renewed until {}", end.as_secs())
        }
    }
}

fn opened(opened: &Result<(), OpenError>) -> String {
    match opened {
        Ok(()) => "ok".to_owned(),
        Err(OpenError::AlreadyOpened) => "already opened".to_owned(),
        Err(OpenError::Ended(cause)) => format!("ended {cause}"),
    }
}

fn ended(ended: &Option<Ended>) -> &'static str {
    match ended {
        None => "no",
        Some(Ended::Early) => "yes",
        Some(Ended::Open(_)) => "yes, stream",
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

/// A clock that stands at 1970.
#[derive(Debug)]
struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}
