//! Operations that run concurrently, and the conditions that hold after them.

use std::sync::Arc;

use shuttle::thread;

use crate::session::Model;

/// A deliberate defect of the registry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Defect {
    None,
    /// Compares a session with the revocations before it registers the session.
    ChecksBeforeRegistering,
    /// Lists the sessions of a revocation before it records the revocation.
    ListsBeforeRecording,
    /// Does not release the capacity of a session that never receives a socket.
    LeaksCapacity,
    /// Expires a session that was renewed after its timer fired.
    ExpiresRenewedSessions,
    /// A watcher skips the changes that happen while it processes one.
    SkipsChanges,
}

#[derive(Clone, Copy)]
pub(crate) struct Scenario(fn(Defect));

impl Scenario {
    pub(crate) fn with(self, defect: Defect) -> impl Fn() + Send + Sync + 'static {
        move || (self.0)(defect)
    }
}

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("admit ‖ revoke", Scenario(admit_and_revoke)),
    ("admit and leave ‖ revoke", Scenario(open_and_revoke)),
    ("renew ‖ expire ‖ close", Scenario(renew_expire_close)),
    ("renew ‖ expire", Scenario(renew_and_expire)),
    ("renew ‖ revoke", Scenario(renew_and_revoke)),
    ("renew and close ‖ watch", Scenario(watch)),
    ("shutdown ‖ upgrade", Scenario(shutdown_and_upgrade)),
    ("total limit", Scenario(total_limit)),
    ("limit of a subject", Scenario(subject_limit)),
];

/// No revoked session stays open.
fn admit_and_revoke(defect: Defect) {
    let model = Arc::new(Model::new(defect, 10, 10));
    let revoker = spawn(&model, Model::revoke);
    let session = model.admit(100);
    if let Some(session) = &session {
        model.open(session);
    }
    revoker.join().unwrap();
    if let Some(session) = &session {
        assert!(!session.is_open(), "open, and revoked");
        assert_eq!(session.cause(), Some("revoked"));
    }
    assert_eq!(model.counts(), (0, 0));
    assert!(model.admit(100).is_none(), "admitted after the revocation");
}

/// One handler returns early, and one session never receives its socket.
fn open_and_revoke(defect: Defect) {
    let model = Arc::new(Model::new(defect, 10, 10));
    let revoker = spawn(&model, Model::revoke);
    let leaving = spawn(&model, |model| {
        if let Some(session) = model.admit(100) {
            model.open(&session);
            model.leave(&session);
        }
    });
    if let Some(session) = model.admit(100) {
        model.abandon(&session);
    }
    revoker.join().unwrap();
    leaving.join().unwrap();
    assert_eq!(model.counts(), (0, 0));
}

/// The session ends once, whichever operation is first. An accepted renewal does not reopen it.
fn renew_expire_close(defect: Defect) {
    let model = Arc::new(Model::new(defect, 10, 10));
    let session = Arc::new(model.admit(100).unwrap());
    model.open(&session);
    let id = session.id();
    let keeper = spawn(&model, move |model| model.on_timer(id, 100));
    let closer = {
        let session = Arc::clone(&session);
        spawn(&model, move |model| model.close(&session))
    };
    let renewed = model.renew(&session, 200);
    keeper.join().unwrap();
    closer.join().unwrap();
    let cause = session.cause().expect("it was closed");
    if renewed {
        assert_eq!(cause, "application", "expired after a renewal");
    }
    assert!(!model.renew(&session, 300), "renewed after the end");
    assert_eq!(model.counts(), (0, 0));
}

/// The session is either renewed and open, or expired and not renewed.
fn renew_and_expire(defect: Defect) {
    let model = Arc::new(Model::new(defect, 10, 10));
    let session = model.admit(100).unwrap();
    model.open(&session);
    let id = session.id();
    let keeper = spawn(&model, move |model| model.on_timer(id, 100));
    let renewed = model.renew(&session, 200);
    keeper.join().unwrap();
    assert_eq!(session.is_open(), renewed);
    let live = usize::from(renewed);
    assert_eq!(model.counts(), (live, live));
}

/// A renewal does not undo a revocation.
fn renew_and_revoke(defect: Defect) {
    let model = Arc::new(Model::new(defect, 10, 10));
    let session = model.admit(100).unwrap();
    model.open(&session);
    let revoker = spawn(&model, Model::revoke);
    model.renew(&session, 200);
    revoker.join().unwrap();
    assert_eq!(session.cause(), Some("revoked"));
    assert_eq!(model.counts(), (0, 0));
}

/// A watcher receives the last renewal and then the end.
fn watch(defect: Defect) {
    let model = Arc::new(Model::new(defect, 10, 10));
    let session = Arc::new(model.admit(100).unwrap());
    model.open(&session);
    let watcher = {
        let mut changes = model.watch(&session);
        thread::spawn(move || changes.all())
    };
    assert!(model.renew(&session, 200) && model.renew(&session, 300));
    model.close(&session);
    let received = watcher.join().unwrap().join(", ");
    let complete = ["300, application", "200, 300, application"];
    assert!(complete.contains(&&*received), "{received}");
}

/// No session is open after a shutdown, whenever the upgrade was.
fn shutdown_and_upgrade(defect: Defect) {
    let model = Arc::new(Model::new(defect, 10, 10));
    let server = spawn(&model, Model::shutdown);
    let upgrade = spawn(&model, |model| {
        let session = model.admit(100);
        if let Some(session) = &session {
            model.open(session);
        }
        session
    });
    let late = model.admit(100);
    if let Some(late) = &late {
        model.abandon(late);
    }
    server.join().unwrap();
    if let Some(session) = upgrade.join().unwrap() {
        assert!(!session.is_open());
    }
    assert_eq!(model.counts(), (0, 0));
    assert!(model.admit(100).is_none());
}

/// Three requests at a limit of two. The capacity after them is the same as before.
fn total_limit(defect: Defect) {
    let model = Arc::new(Model::new(defect, 2, 10));
    let sessions: Vec<_> = (0..3)
        .map(|index| {
            spawn(&model, move |model| {
                let session = model.admit(100);
                let (_, used) = model.counts();
                assert!(used <= 2, "{used} sessions at a limit of two");
                match session {
                    Some(session) if index == 0 => model.abandon(&session),
                    Some(session) => {
                        model.open(&session);
                        model.leave(&session);
                    }
                    None => {}
                }
            })
        })
        .collect();
    sessions
        .into_iter()
        .for_each(|session| session.join().unwrap());
    assert_eq!(model.counts(), (0, 0));
    let both = [model.admit(100), model.admit(100)];
    assert!(both.iter().all(Option::is_some) && model.admit(100).is_none());
}

/// Two requests of one subject at a limit of one.
fn subject_limit(defect: Defect) {
    let model = Arc::new(Model::new(defect, 10, 1));
    let sessions: Vec<_> = (0..2)
        .map(|_| {
            spawn(&model, |model| {
                let session = model.admit(100);
                if let Some(session) = &session {
                    model.open(session);
                    model.close(session);
                }
            })
        })
        .collect();
    sessions
        .into_iter()
        .for_each(|session| session.join().unwrap());
    assert_eq!(model.counts(), (0, 0));
    let first = model.admit(100);
    assert!(first.is_some() && model.admit(100).is_none());
}

fn spawn<T: Send + 'static>(
    model: &Arc<Model>,
    act: impl FnOnce(&Model) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let model = Arc::clone(model);
    thread::spawn(move || act(&model))
}
