//! What every `RevocationStore` has to do, whoever implements it. Test binaries include this file.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_core::{Follower, Revocation, RevocationStore};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What is told, to those who follow and to those who come later.
pub(crate) async fn promises(store: &Arc<impl RevocationStore>) {
    let mut early = Listener::start(store);
    let mut second = Listener::start(store);
    assert_eq!(early.picture().await, []);
    assert_eq!(second.picture().await, []);
    let revocations = one_of_each();
    for revocation in &revocations {
        store.revoke(revocation).await.expect("it answers");
    }
    for revocation in &revocations {
        early.knows(revocation).await;
        second.knows(revocation).await;
    }
    early.hears(&Heard::Alive).await;

    // Again, and one that is over: neither disturbs the picture.
    store.revoke(&revocations[0]).await.expect("it answers");
    let over = Revocation::token("over").until(SystemTime::now() - Duration::from_secs(60));
    store.revoke(&over).await.expect("it answers");
    let mut late = Listener::start(store);
    let picture = late.picture().await;
    assert_eq!(picture.len(), revocations.len(), "{picture:?}");
    assert!(
        revocations.iter().all(|it| picture.contains(it)),
        "{picture:?}"
    );

    // A follower that is not polled any more holds up nobody.
    drop(second);
    let last = revocation("last");
    store.revoke(&last).await.expect("it answers");
    early.knows(&last).await;
    late.knows(&last).await;
}

/// Whoever begins to follow while others revoke knows all that was acknowledged.
pub(crate) async fn races(store: &Arc<impl RevocationStore>) {
    let revokers: Vec<_> = (0..4)
        .map(|revoker| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let revocations: Vec<_> = (0..50)
                    .map(|index| revocation(&format!("{revoker}-{index}")))
                    .collect();
                for revocation in &revocations {
                    store.revoke(revocation).await.expect("it answers");
                }
                revocations
            })
        })
        .collect();
    let mut listeners: Vec<_> = (0..4).map(|_| Listener::start(store)).collect();
    for revoker in revokers {
        for revocation in revoker.await.expect("nobody panics") {
            for listener in &mut listeners {
                listener.knows(&revocation).await;
            }
        }
    }
}

/// One of each kind, in force for an hour.
pub(crate) fn one_of_each() -> Vec<Revocation> {
    let now = SystemTime::now();
    let until = now + Duration::from_secs(3_600);
    let revocations = [
        Revocation::token("t\"1"),
        Revocation::token("t2").issuer("https://idp.example.com"),
        Revocation::subject("älice").issued_before(now),
        Revocation::session("s\n1"),
        Revocation::everything().issued_before(now),
    ];
    revocations.map(|revocation| revocation.until(until)).into()
}

/// The revocation of a token of this name, in force for an hour.
pub(crate) fn revocation(name: &str) -> Revocation {
    Revocation::token(name).until(SystemTime::now() + Duration::from_secs(3_600))
}

/// Follows a store, and writes down what it hears.
pub(crate) struct Listener {
    heard: UnboundedReceiver<Heard>,
    known: Vec<Revocation>,
    task: JoinHandle<()>,
}

/// What a follower is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    Synchronized(Vec<Revocation>),
    Revoked(Revocation),
    Alive,
    Lost,
}

impl Listener {
    pub(crate) fn start(store: &Arc<impl RevocationStore>) -> Self {
        let (sender, heard) = unbounded_channel();
        let store = Arc::clone(store);
        Self {
            heard,
            known: Vec::new(),
            task: tokio::spawn(async move { store.follow(Recorder(sender)).await }),
        }
    }

    /// The next thing it hears.
    pub(crate) async fn next(&mut self) -> Heard {
        let heard = timeout(LIMIT, self.heard.recv()).await;
        let heard = heard.expect("it hears something in time");
        let heard = heard.expect("following goes on");
        match &heard {
            Heard::Synchronized(picture) => self.known.clone_from(picture),
            Heard::Revoked(revocation) => self.known.push(revocation.clone()),
            Heard::Alive | Heard::Lost => {}
        }
        heard
    }

    /// What it has heard so far, and not looked at.
    pub(crate) fn so_far(&mut self) -> Vec<Heard> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }

    /// Waits for this, and passes over all else.
    pub(crate) async fn hears(&mut self, expected: &Heard) {
        self.wait_until(|_, heard| heard == expected).await;
    }

    /// Waits for the next picture.
    pub(crate) async fn picture(&mut self) -> Vec<Revocation> {
        self.wait_until(|_, heard| matches!(heard, Heard::Synchronized(_)))
            .await;
        self.known.clone()
    }

    /// Waits until it knows of this one, told or in a picture.
    pub(crate) async fn knows(&mut self, revocation: &Revocation) {
        if !self.known.contains(revocation) {
            self.wait_until(|known, _| known.contains(revocation)).await;
        }
    }

    async fn wait_until(&mut self, is_enough: impl Fn(&[Revocation], &Heard) -> bool) {
        let waiting = async {
            loop {
                let heard = self.next().await;
                if is_enough(&self.known, &heard) {
                    return;
                }
            }
        };
        timeout(LIMIT, waiting).await.expect("it hears it in time");
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Recorder(UnboundedSender<Heard>);

impl Recorder {
    fn write_down(&self, heard: Heard) {
        // The listener may have gone.
        let _ = self.0.send(heard);
    }
}

impl Follower for Recorder {
    fn synchronized(&mut self, revocations: Vec<Revocation>) {
        self.write_down(Heard::Synchronized(revocations));
    }

    fn revoked(&mut self, revocation: Revocation) {
        self.write_down(Heard::Revoked(revocation));
    }

    fn alive(&mut self) {
        self.write_down(Heard::Alive);
    }

    fn lost(&mut self) {
        self.write_down(Heard::Lost);
    }
}

const LIMIT: Duration = Duration::from_secs(30);
