//! Explores the orders in which concurrent operations on sessions can run.
//!
//! With `--cfg shuttle`, every operation on a lock or an atomic of `sync.rs` is a point at which
//! another thread may run. Each scenario runs 10,000 random schedules and 10,000 schedules with
//! random priorities (PCT), and its assertions must hold in all of them. There is no runtime, so
//! sockets close without waiting for their clients.
//!
//! A deliberate defect replaces one step of the library. One of the scenarios must detect it.
//!
//! Run the exploration with `just races`.

use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use portcullis_core::{Clock, Identity, Revocation};
use shuttle::future::block_on;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner, thread};

use super::{IdleSocket, IdleStream, context};
use crate::close::{CloseCause, CloseFrame};
use crate::session::registry::{Entry, Revocations, State};
use crate::session::tasks::{closing, keeper};
use crate::session::{Change, Changes, Guarded, Session, SessionContext, SessionEvent, Sessions};

/// The number of schedules of each kind.
const SCHEDULES: usize = 10_000;

/// The number of priority changes in a schedule of PCT.
const DEPTH: usize = 3;

/// A deliberate defect in place of a step of the library.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Defect {
    None,

    /// Compares a session with the revocations before it registers the session.
    ChecksBeforeRegistering,

    /// Lists the sessions of a revocation before it records the revocation.
    ListsBeforeRecording,

    /// Does not release a session if its socket never opens.
    LeaksCapacity,

    /// Expires a session that was renewed after its timer fired.
    ExpiresRenewedSessions,

    /// Watches from now on after each change, and skips changes in between.
    SkipsChanges,

    /// Reports that a session has opened after it has opened.
    ReportsLate,
}

#[test]
fn admission_and_revocation() {
    explore(admit_and_revoke);
}

#[test]
fn closing_and_revocation() {
    explore(close_and_revoke);
}

#[test]
fn renewal_expiry_and_closing() {
    explore(renew_expire_and_close);
}

#[test]
fn renewal_and_expiry() {
    explore(renew_and_expire);
}

#[test]
fn renewal_and_revocation() {
    explore(renew_and_revoke);
}

#[test]
fn watching() {
    explore(watch);
}

#[test]
fn shutdown_and_upgrade() {
    explore(shut_down_and_upgrade);
}

#[test]
fn total_limit() {
    explore(limit_total);
}

#[test]
fn subject_limit() {
    explore(limit_subject);
}

#[test]
fn order_of_events() {
    explore(open_and_close);
}

#[test]
fn defects_are_detected() {
    let detected_by: [(Defect, Scenario); 6] = [
        (Defect::ChecksBeforeRegistering, admit_and_revoke),
        (Defect::ListsBeforeRecording, admit_and_revoke),
        (Defect::LeaksCapacity, close_and_revoke),
        (Defect::ExpiresRenewedSessions, renew_and_expire),
        (Defect::SkipsChanges, watch),
        (Defect::ReportsLate, open_and_close),
    ];
    for (defect, scenario) in detected_by {
        let explore = || run(PctScheduler::new(DEPTH, SCHEDULES), defect, scenario);
        assert!(catch_unwind(explore).is_err(), "{defect:?} is not detected");
    }
}

type Scenario = fn(Defect);

fn explore(scenario: Scenario) {
    run(RandomScheduler::new(SCHEDULES), Defect::None, scenario);
    run(PctScheduler::new(DEPTH, SCHEDULES), Defect::None, scenario);
}

fn run(scheduler: impl Scheduler + 'static, defect: Defect, scenario: Scenario) {
    let mut config = Config::new();
    config.stack_size = 128 * 1024;
    Runner::new(scheduler, config).run(move || scenario(defect));
}

/// A session does not stay open after its subject was revoked.
fn admit_and_revoke(defect: Defect) {
    let server = Server::new(defect, 10, 10);
    let revocation = spawn(&server, Server::revoke);
    let mut client = server.admit(100);
    if let Some(client) = &mut client {
        client.open();
    }
    revocation.join().unwrap();
    if let Some(client) = &client {
        assert!(!client.is_open(), "open although revoked");
        assert_eq!(client.session.ended(), Some(CloseCause::Revoked));
    }
    assert_eq!(server.counts(), (0, 0));
    assert!(server.admit(100).is_none());
}

/// Handlers that drop their socket, or never open one, release their session.
fn close_and_revoke(defect: Defect) {
    let server = Server::new(defect, 10, 10);
    let revocation = spawn(&server, Server::revoke);
    let other = spawn(&server, |server| {
        if let Some(mut client) = server.admit(100) {
            client.open();
            drop(client.socket);
        }
    });
    if let Some(client) = server.admit(100) {
        client.never_open();
    }
    revocation.join().unwrap();
    other.join().unwrap();
    assert_eq!(server.counts(), (0, 0));
}

/// Expiry and the application end a session once, and no renewal opens it again.
fn renew_expire_and_close(defect: Defect) {
    let server = Server::new(defect, 10, 10);
    let mut client = server.admit(100).unwrap();
    client.open();
    server.clock.set(100);
    let expiry = spawn(&server, Server::expire);
    let session = client.session.clone();
    let close = thread::spawn(move || session.close(CloseFrame::new(4000, "")));
    let renewed = server.renew(&client, 200);
    expiry.join().unwrap();
    close.join().unwrap();
    let cause = client.session.ended().expect("it was closed");
    if renewed {
        assert_eq!(cause.as_str(), "application", "renewed, and expired");
    }
    assert!(!server.renew(&client, 300), "it has ended");
    assert_eq!(server.counts(), (0, 0));
}

/// A session is either renewed and open, or expired and not renewed.
fn renew_and_expire(defect: Defect) {
    let server = Server::new(defect, 10, 10);
    let mut client = server.admit(100).unwrap();
    client.open();
    server.clock.set(100);
    let expiry = spawn(&server, Server::expire);
    let renewed = server.renew(&client, 200);
    expiry.join().unwrap();
    assert_eq!(client.is_open(), renewed);
    let live = usize::from(renewed);
    assert_eq!(server.counts(), (live, live));
}

/// A renewal does not escape a revocation.
fn renew_and_revoke(defect: Defect) {
    let server = Server::new(defect, 10, 10);
    let mut client = server.admit(100).unwrap();
    client.open();
    let revocation = spawn(&server, Server::revoke);
    server.renew(&client, 200);
    revocation.join().unwrap();
    assert_eq!(client.session.ended(), Some(CloseCause::Revoked));
    assert_eq!(server.counts(), (0, 0));
}

/// A watcher gets the last renewal, and the end after it.
fn watch(defect: Defect) {
    let server = Server::new(defect, 10, 10);
    let mut client = server.admit(100).unwrap();
    client.open();
    let watcher = {
        let session = client.session.clone();
        let changes = session.changes();
        thread::spawn(move || all_changes(&session, changes, defect))
    };
    assert!(server.renew(&client, 200) && server.renew(&client, 300));
    client.session.close(CloseFrame::new(4000, ""));
    let seen = watcher.join().unwrap().join(", ");
    let expected = ["300, application", "200, 300, application"];
    assert!(expected.contains(&&*seen), "{seen}");
}

/// No session stays open after a shutdown.
fn shut_down_and_upgrade(defect: Defect) {
    let server = Server::new(defect, 10, 10);
    let shutdown = spawn(&server, |server| server.sessions.begin_shutdown());
    let upgrade = spawn(&server, |server| {
        let mut client = server.admit(100);
        if let Some(client) = &mut client {
            client.open();
        }
        client
    });
    if let Some(client) = server.admit(100) {
        client.never_open();
    }
    shutdown.join().unwrap();
    if let Some(client) = upgrade.join().unwrap() {
        assert!(!client.is_open());
    }
    assert_eq!(server.counts(), (0, 0));
    assert!(server.admit(100).is_none());
}

/// Three requests compete for two sessions. Afterwards two sessions can be opened again.
fn limit_total(defect: Defect) {
    let server = Server::new(defect, 2, 10);
    let requests: Vec<_> = (0..3)
        .map(|index| {
            spawn(&server, move |server| {
                let client = server.admit(100);
                let (_, live) = server.counts();
                assert!(live <= 2, "{live} sessions");
                match client {
                    Some(client) if index == 0 => client.never_open(),
                    Some(mut client) => client.open(),
                    None => {}
                }
            })
        })
        .collect();
    requests
        .into_iter()
        .for_each(|request| request.join().unwrap());
    assert_eq!(server.counts(), (0, 0));
    let both = [server.admit(100), server.admit(100)];
    assert!(both.iter().all(Option::is_some) && server.admit(100).is_none());
}

/// Two requests compete for one session of their subject.
fn limit_subject(defect: Defect) {
    let server = Server::new(defect, 10, 1);
    let requests: Vec<_> = (0..2)
        .map(|_| {
            spawn(&server, |server| {
                if let Some(mut client) = server.admit(100) {
                    client.open();
                    client.session.close(CloseFrame::new(4000, ""));
                }
            })
        })
        .collect();
    requests
        .into_iter()
        .for_each(|request| request.join().unwrap());
    assert_eq!(server.counts(), (0, 0));
    let first = server.admit(100);
    assert!(first.is_some() && server.admit(100).is_none());
}

/// A session reports that it has opened before it reports that it has closed, or neither.
fn open_and_close(defect: Defect) {
    let server = Server::new(defect, 10, 10);
    let mut client = server.admit(100).unwrap();
    let session = client.session.clone();
    let close = thread::spawn(move || session.close(CloseFrame::new(4000, "")));
    client.open();
    close.join().unwrap();
    drop(client);
    let events = server.events.lock().unwrap();
    assert_eq!(*events, ["opened", "closed"]);
}

/// A set of sessions, with the defect that is explored.
struct Server {
    sessions: Sessions,
    context: Arc<SessionContext>,
    clock: Arc<TestClock>,
    events: Arc<std::sync::Mutex<Vec<&'static str>>>,
    defect: Defect,
    /// Used in place of the registry's revocations with `Defect::ChecksBeforeRegistering`.
    revocations: Revocations,
}

/// The session of one client, and its socket if that is open.
struct Client {
    session: Session,
    entry: Arc<Entry>,
    socket: Option<Guarded<IdleSocket, ()>>,
    defect: Defect,
}

impl Server {
    fn new(defect: Defect, total: usize, per_subject: usize) -> Arc<Self> {
        let clock = Arc::new(TestClock::default());
        let events = Arc::new(std::sync::Mutex::new(Vec::new()));
        let observed = Arc::clone(&events);
        let sessions = Sessions::builder()
            .max_sessions(total)
            .max_sessions_per_subject(per_subject)
            .clock(Arc::clone(&clock))
            .observe(move |event| observed.lock().unwrap().push(event.as_str()))
            .build();
        Arc::new(Self {
            context: context(&sessions),
            sessions,
            clock,
            events,
            defect,
            revocations: Revocations::default(),
        })
    }

    /// Admits alice with a credential that ends at `end`.
    fn admit(&self, end: u64) -> Option<Client> {
        let identity = alice(end);
        if self.defect == Defect::ChecksBeforeRegistering && self.revocations.cover(&identity) {
            return None;
        }
        let session = Session::admit(&self.context, identity, None, None).ok()?;
        // A session stays registered until its handle is dropped, even if it has ended.
        let entry = self.sessions.inner.registry.find(session.id());
        Some(Client {
            entry: entry.expect("the session is registered"),
            session,
            socket: None,
            defect: self.defect,
        })
    }

    fn revoke(&self) {
        let revocation = Revocation::subject(None, "alice").until(at(1_000));
        let registry = &self.sessions.inner.registry;
        match self.defect {
            Defect::ChecksBeforeRegistering => {
                self.revocations.add(&revocation, at(0));
                let mut covered = registry.all();
                covered.retain(|it| it.with_identity(|alice| self.revocations.cover(alice)));
                closing::end(covered, &CloseCause::Revoked);
            }
            Defect::ListsBeforeRecording => {
                let all = registry.all();
                registry.revocations.add(&revocation, at(0));
                closing::end(all, &CloseCause::Revoked);
            }
            _ => {
                block_on(self.sessions.revoke(revocation)).unwrap();
            }
        }
    }

    /// Renews a session with a credential that ends at `end`; returns whether that succeeds.
    fn renew(&self, client: &Client, end: u64) -> bool {
        let renewed = self.sessions.renew_with(client.session.id(), alice(end));
        renewed.is_ok()
    }

    /// Does the work of the keeper.
    fn expire(&self) {
        if self.defect != Defect::ExpiresRenewedSessions {
            keeper::handle_due(&self.sessions);
            return;
        }
        let now = self.sessions.now_millis();
        let inner = &self.sessions.inner;
        for id in inner.schedule.due(now) {
            let entry = inner.registry.find(id);
            let due = entry.filter(|entry| entry.deadline() <= now);
            closing::end(due, &CloseCause::Expired);
        }
    }

    /// Returns the number of registered sessions, and the number that counts for the limit.
    fn counts(&self) -> (usize, usize) {
        let registry = &self.sessions.inner.registry;
        (registry.all().len(), registry.len())
    }
}

impl Client {
    fn open(&mut self) {
        if self.defect == Defect::ReportsLate {
            let _ = self.entry.open(Arc::new(IdleStream), || {});
            let events = &self.entry.sessions().inner.events;
            events.report(|| SessionEvent::Opened(self.entry.info()));
            return;
        }
        self.socket = Some(self.session.clone().guard(IdleSocket, |_| ()));
    }

    fn never_open(self) {
        if self.defect == Defect::LeaksCapacity {
            self.entry.close_unopened();
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.entry.state(), State::Open(_))
    }
}

/// Returns every change until the end: the expiry of a renewal, and the cause of the end.
fn all_changes(session: &Session, mut changes: Changes, defect: Defect) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(change) = block_on(changes.next()) {
        let has_ended = matches!(change, Change::Ended(_));
        all.push(match change {
            Change::Renewed(identity) => {
                let end = identity.expires_at().expect("alice's credentials expire");
                let end = end.duration_since(SystemTime::UNIX_EPOCH).unwrap();
                end.as_secs().to_string()
            }
            Change::Expiring(_) => "expiring".to_owned(),
            Change::Ended(cause) => cause.to_string(),
        });
        if defect == Defect::SkipsChanges && !has_ended {
            changes = session.changes();
        }
    }
    all
}

fn spawn<T: Send + 'static>(
    server: &Arc<Server>,
    work: impl FnOnce(&Server) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let server = Arc::clone(server);
    thread::spawn(move || work(&server))
}

/// A clock that stands until it is set, in seconds since 1970.
#[derive(Debug, Default)]
struct TestClock(AtomicU64);

impl TestClock {
    fn set(&self, second: u64) {
        self.0.store(second, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        at(self.0.load(Ordering::SeqCst))
    }
}

fn alice(end: u64) -> Identity {
    let builder = Identity::builder("alice").issued_at(at(0));
    builder.expires_at(at(end)).build()
}

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}
