//! What all handles of one set of sessions share.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::SystemTime;

use portcullis_core::{Credential, Identity};
use tokio::runtime::Handle;
use tokio::sync::{Notify, broadcast, watch};

use super::entry::Entry;
use super::follow::{Followed, Store};
use super::lifetime::milliseconds;
use super::registry::{Limits, NotRegistered, Registry};
use super::revocations::Revocations;
use super::schedule::Schedule;
use super::settings::Settings;
use super::sync::Mutex;
use super::{SessionContext, SessionEvent};
use crate::close::CloseCause;

pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) registry: Registry,
    pub(super) schedule: Schedule,
    pub(super) is_kept: AtomicBool,
    /// Where the keeper is.
    pub(super) runtime: Mutex<Option<Handle>>,
    pub(super) store: Option<Followed>,
    pub(super) events: broadcast::Sender<SessionEvent>,
    pub(super) shutdown: watch::Sender<bool>,
    /// Sockets whose client has not said who it is. They are no sessions yet.
    pub(super) unidentified: AtomicUsize,
    /// The last session may be gone, or the last of those.
    pub(super) emptied: Notify,
}

impl Shared {
    pub(super) fn new(settings: Settings, limits: Limits, store: Option<Arc<dyn Store>>) -> Self {
        Self {
            settings,
            registry: Registry::new(limits, Arc::new(Revocations::default())),
            schedule: Schedule::default(),
            is_kept: AtomicBool::new(false),
            runtime: Mutex::default(),
            store: store.map(Followed::new),
            events: broadcast::Sender::new(EVENTS),
            shutdown: watch::Sender::new(false),
            unidentified: AtomicUsize::new(0),
            emptied: Notify::new(),
        }
    }

    pub(super) fn now(&self) -> SystemTime {
        self.settings.clock.now()
    }

    pub(super) fn now_in_milliseconds(&self) -> u64 {
        milliseconds(self.now())
    }

    /// Registers an admitted request.
    pub(super) fn admit(
        &self,
        context: &Arc<SessionContext>,
        identity: Identity,
        credential: Option<Credential>,
        peer: Option<SocketAddr>,
    ) -> Result<Arc<Entry>, NotRegistered> {
        let since = self.now();
        let deadline = self.settings.deadline(&identity, since, since);
        let recheck = self.settings.recheck_of(&identity, credential);
        let entry = Arc::new(Entry::new(
            Arc::clone(context),
            identity,
            recheck,
            since,
            deadline,
            peer,
        ));
        if let Err(why) = self.registry.register(&entry) {
            // A shutdown may have counted it, and waits.
            self.emptied.notify_waiters();
            return Err(why);
        }
        self.schedule(&entry);
        Ok(entry)
    }

    /// The socket of a session has come. If that had to end by now, `open` has told the guard.
    pub(super) fn opened(&self, entry: &Entry) {
        self.tell(|| SessionEvent::Opened(entry.info()));
        if !self.settings.warning.is_zero() {
            // Only who is open is warned.
            self.schedule(entry);
        }
    }

    /// The socket of a session is gone.
    pub(super) fn forget(&self, entry: &Entry, cause: &CloseCause) {
        // First: whoever waits until all are gone may take the observer down with it.
        self.tell(|| SessionEvent::Closed {
            session: entry.info(),
            cause: cause.clone(),
            lasted: self.now().duration_since(entry.since).unwrap_or_default(),
        });
        self.release(entry);
    }

    /// The place of a session is free.
    pub(super) fn release(&self, entry: &Entry) {
        self.registry.release(entry);
        if self.registry.len() == 0 {
            self.emptied.notify_waiters();
        }
    }

    pub(super) fn tell(&self, event: impl FnOnce() -> SessionEvent) {
        let read = self.events.receiver_count() > 0;
        if !read && self.settings.observer.is_none() {
            return;
        }
        let event = event();
        if let Some(observer) = &self.settings.observer {
            // It is the application's own, and may be called amid the deadlines of others. What it has
            // to say about it, the panic hook has said.
            let _ = catch_unwind(AssertUnwindSafe(|| observer(&event)));
        }
        if read {
            // Nobody listens any more, then.
            let _ = self.events.send(event);
        }
    }
}

impl Entry {
    /// What it shares with the other sessions.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.context.sessions.shared
    }
}

/// How far behind a reader of events may be.
const EVENTS: usize = 1024;
