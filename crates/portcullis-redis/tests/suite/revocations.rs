//! Tests for implementations of `RevocationStore`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_core::{Follower, Revocation, RevocationStore};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Checks the promises of the trait for early and late followers.
pub(crate) async fn promises(store: &Arc<impl RevocationStore>) {
    let mut early = Listener::start(store);
    let mut second = Listener::start(store);
    assert_eq!(early.full_set().await, []);
    assert_eq!(second.full_set().await, []);
    let revocations = one_of_each();
    for revocation in &revocations {
        store
            .revoke(revocation)
            .await
            .expect("the store is available");
    }
    for revocation in &revocations {
        early.knows(revocation).await;
        second.knows(revocation).await;
    }
    early.receives(&Notice::Alive).await;

    // A repeated and an ended revocation do not change the set.
    store
        .revoke(&revocations[0])
        .await
        .expect("the store is available");
    let ended = Revocation::token("ended").until(SystemTime::now() - Duration::from_secs(60));
    store.revoke(&ended).await.expect("the store is available");
    let mut late = Listener::start(store);
    let set = late.full_set().await;
    assert_eq!(set.len(), revocations.len(), "{set:?}");
    assert!(
        revocations
            .iter()
            .all(|revocation| set.contains(revocation)),
        "{set:?}"
    );

    // A dropped follower does not affect the others.
    drop(second);
    let last = revocation("last");
    store.revoke(&last).await.expect("the store is available");
    early.knows(&last).await;
    late.knows(&last).await;
}

/// Checks that followers that start during revocations receive all acknowledged ones.
pub(crate) async fn races(store: &Arc<impl RevocationStore>) {
    let revokers: Vec<_> = (0..4)
        .map(|revoker| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let revocations: Vec<_> = (0..50)
                    .map(|index| revocation(&format!("{revoker}-{index}")))
                    .collect();
                for revocation in &revocations {
                    store
                        .revoke(revocation)
                        .await
                        .expect("the store is available");
                }
                revocations
            })
        })
        .collect();
    let mut listeners: Vec<_> = (0..4).map(|_| Listener::start(store)).collect();
    for revoker in revokers {
        for revocation in revoker.await.expect("no panic") {
            for listener in &mut listeners {
                listener.knows(&revocation).await;
            }
        }
    }
}

/// Returns one revocation of each kind, in force for an hour.
pub(crate) fn one_of_each() -> Vec<Revocation> {
    let now = SystemTime::now();
    let until = now + Duration::from_secs(3_600);
    let revocations = [
        Revocation::token("t\"1"),
        Revocation::token("t2").issuer("https://idp.example.com"),
        Revocation::subject(None, "älice").issued_before(now),
        Revocation::subject("https://idp.example.com", "älice").issued_before(now),
        Revocation::subject_at_any_issuer("bob").issued_before(now),
        Revocation::session("s\n1"),
        Revocation::everything().issued_before(now),
    ];
    revocations.map(|revocation| revocation.until(until)).into()
}

/// Returns the revocation of a token, in force for an hour.
pub(crate) fn revocation(name: &str) -> Revocation {
    Revocation::token(name).until(SystemTime::now() + Duration::from_secs(3_600))
}

/// Follows a store and records its notices.
pub(crate) struct Listener {
    notices: UnboundedReceiver<Notice>,
    known: Vec<Revocation>,
    task: JoinHandle<()>,
}

/// A call of a method of `Follower`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Notice {
    Synchronized(Vec<Revocation>),
    Revoked(Revocation),
    Alive,
    Lost,
}

impl Listener {
    pub(crate) fn start(store: &Arc<impl RevocationStore>) -> Self {
        let (sender, notices) = unbounded_channel();
        let store = Arc::clone(store);
        Self {
            notices,
            known: Vec::new(),
            task: tokio::spawn(async move { store.follow(Recorder(sender)).await }),
        }
    }

    /// Waits for the next notice.
    pub(crate) async fn next(&mut self) -> Notice {
        let notice = timeout(LIMIT, self.notices.recv()).await;
        let notice = notice.expect("a notice before the time limit");
        let notice = notice.expect("the follower still runs");
        match &notice {
            Notice::Synchronized(set) => self.known.clone_from(set),
            Notice::Revoked(revocation) => self.known.push(revocation.clone()),
            Notice::Alive | Notice::Lost => {}
        }
        notice
    }

    /// Returns the notices that were not read yet, without waiting.
    pub(crate) fn unread(&mut self) -> Vec<Notice> {
        std::iter::from_fn(|| self.notices.try_recv().ok()).collect()
    }

    /// Waits for this notice, and skips all others.
    pub(crate) async fn receives(&mut self, expected: &Notice) {
        self.wait_until(|_, notice| notice == expected).await;
    }

    /// Waits for the next complete set of revocations.
    pub(crate) async fn full_set(&mut self) -> Vec<Revocation> {
        self.wait_until(|_, notice| matches!(notice, Notice::Synchronized(_)))
            .await;
        self.known.clone()
    }

    /// Waits until the follower has received this revocation, alone or in a complete set.
    pub(crate) async fn knows(&mut self, revocation: &Revocation) {
        if !self.known.contains(revocation) {
            self.wait_until(|known, _| known.contains(revocation)).await;
        }
    }

    async fn wait_until(&mut self, is_done: impl Fn(&[Revocation], &Notice) -> bool) {
        let waiting = async {
            loop {
                let notice = self.next().await;
                if is_done(&self.known, &notice) {
                    return;
                }
            }
        };
        timeout(LIMIT, waiting)
            .await
            .expect("the notice before the time limit");
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Recorder(UnboundedSender<Notice>);

impl Recorder {
    fn record(&self, notice: Notice) {
        // The listener may have been dropped.
        let _ = self.0.send(notice);
    }
}

impl Follower for Recorder {
    fn synchronized(&mut self, revocations: Vec<Revocation>) {
        self.record(Notice::Synchronized(revocations));
    }

    fn revoked(&mut self, revocation: Revocation) {
        self.record(Notice::Revoked(revocation));
    }

    fn alive(&mut self) {
        self.record(Notice::Alive);
    }

    fn lost(&mut self) {
        self.record(Notice::Lost);
    }
}

const LIMIT: Duration = Duration::from_secs(30);
