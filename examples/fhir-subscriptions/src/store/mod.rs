//! Encounters, subscriptions, and the sockets that listen to them, under one lock.
//!
//! The lock is what makes the numbers good. A change of an encounter, the numbers that its events
//! get and their way into the queue of every bound socket are one step; so are a binding and the
//! count that its handshake tells. Whoever is bound at event 7 gets 8, 9, 10, each of them once.

mod encounters;
mod event;
mod feed;
mod outbox;
mod subscription;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use fhir_subscriptions_resources::codes::EncounterStatus;
use serde_json::Value;
use tokio::time::Instant;

pub(crate) use self::encounters::{Draft, Version};
pub(crate) use self::event::{Event, Kind, Notice};
pub(crate) use self::feed::Feed;
pub(crate) use self::subscription::{Content, Terms};

use self::encounters::Encounters;
use self::outbox::Outbox;
use self::subscription::Subscribed;

/// How many subscriptions somebody may have.
const MAX_SUBSCRIPTIONS: usize = 100;

/// What the server remembers.
#[derive(Debug)]
pub(crate) struct Store {
    state: Mutex<State>,
    /// How many notifications may wait for one socket.
    queue: usize,
}

#[derive(Debug, Default)]
struct State {
    encounters: Encounters,
    subscriptions: BTreeMap<String, Subscribed>,
    sockets: HashMap<u64, Outbox>,
    last_socket: u64,
}

/// There is no room for one more.
#[derive(Debug)]
pub(crate) struct Full;

impl Store {
    pub(crate) fn new(queue: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            queue,
        })
    }

    // --- encounters ----------------------------------------------------------------------------

    pub(crate) fn create(&self, draft: Draft) -> Result<Version, Full> {
        let mut state = self.lock();
        let version = state.encounters.create(draft)?;
        state.announce(None, &version, "POST");
        Ok(version)
    }

    /// `None` if there is no such encounter.
    pub(crate) fn update(&self, id: u64, draft: Draft) -> Option<Version> {
        let mut state = self.lock();
        let (previous, version) = state.encounters.update(id, draft)?;
        state.announce(Some(previous.status), &version, "PUT");
        Some(version)
    }

    pub(crate) fn encounter(&self, id: u64) -> Option<Version> {
        self.lock().encounters.find(id)
    }

    // --- subscriptions -------------------------------------------------------------------------

    pub(crate) fn subscribe(&self, terms: Terms, resource: Value) -> Result<(), Full> {
        let mut state = self.lock();
        let owned = state
            .subscriptions
            .values()
            .filter(|subscribed| subscribed.is_of(&terms.owner));
        if owned.count() >= MAX_SUBSCRIPTIONS {
            return Err(Full);
        }
        let id = terms.id.clone();
        state
            .subscriptions
            .insert(id, Subscribed::new(terms, resource));
        Ok(())
    }

    /// Sets a subscription off or on, and its resource to what `change` makes of it, which is the
    /// answer. Whoever is bound to it is told.
    pub(crate) fn switch(
        &self,
        owner: &str,
        id: &str,
        is_off: bool,
        change: impl FnOnce(&mut Value),
    ) -> Option<Value> {
        let state = &mut *self.lock();
        state.owned(owner, id)?;
        let subscribed = state.subscriptions.get_mut(id)?;
        subscribed.is_off = is_off;
        change(&mut subscribed.resource);
        tell(&mut state.sockets, &subscribed.notice(Kind::Heartbeat));
        Some(subscribed.resource.clone())
    }

    /// Ends a subscription. Whoever is bound to it hears that it is off, and no more of it.
    pub(crate) fn unsubscribe(&self, owner: &str, id: &str) -> bool {
        let state = &mut *self.lock();
        if state.owned(owner, id).is_none() {
            return false;
        }
        if let Some(mut subscribed) = state.subscriptions.remove(id) {
            subscribed.is_off = true;
            tell(&mut state.sockets, &subscribed.notice(Kind::Heartbeat));
        }
        for socket in state.sockets.values_mut() {
            socket.unbind(id);
        }
        true
    }

    /// The resource.
    pub(crate) fn subscription(&self, owner: &str, id: &str) -> Option<Value> {
        Some(self.lock().owned(owner, id)?.resource.clone())
    }

    /// The resources of all that somebody has.
    pub(crate) fn subscriptions(&self, owner: &str) -> Vec<Value> {
        let state = self.lock();
        let owned = state.subscriptions.values().filter(|s| s.is_of(owner));
        owned.map(|s| s.resource.clone()).collect()
    }

    pub(crate) fn status(&self, owner: &str, id: &str) -> Option<Notice> {
        Some(self.lock().owned(owner, id)?.notice(Kind::Status))
    }

    /// The events from `since` to `until`, both included; an error if some are forgotten.
    ///
    /// `None` if there is no such subscription.
    pub(crate) fn events(
        &self,
        owner: &str,
        id: &str,
        since: u64,
        until: u64,
    ) -> Option<Result<Notice, Forgotten>> {
        Some(self.lock().owned(owner, id)?.events(since, until))
    }

    // --- sockets -------------------------------------------------------------------------------

    /// A queue for a socket that has just opened. Nothing is bound to it yet.
    pub(crate) fn feed(self: &Arc<Self>) -> Feed {
        let mut state = self.lock();
        state.last_socket += 1;
        let id = state.last_socket;
        let (outbox, queue) = Outbox::new(self.queue);
        state.sockets.insert(id, outbox);
        drop(state);
        Feed::new(Arc::clone(self), id, queue)
    }

    /// Binds a socket to subscriptions of `owner`, or prolongs their bindings; how many there were.
    fn bind(&self, socket: u64, owner: &str, ids: &[String], until: SystemTime) -> usize {
        let state = &mut *self.lock();
        let mut bound = 0;
        for id in ids {
            let Some(subscribed) = state.owned(owner, id) else {
                continue;
            };
            bound += 1;
            let handshake = subscribed.notice(Kind::Handshake);
            let outbox = state.sockets.get_mut(&socket);
            if !outbox.is_some_and(|outbox| outbox.bind(handshake, until)) {
                state.sockets.remove(&socket);
                break;
            }
        }
        bound
    }

    /// Sends the heartbeats that are due on a socket; when the next one is.
    fn beat(&self, socket: u64) -> Option<Instant> {
        let state = &mut *self.lock();
        let outbox = state.sockets.get_mut(&socket)?;
        for id in outbox.due(Instant::now()) {
            let subscribed = state.subscriptions.get(&id);
            let beat = subscribed.map(|subscribed| subscribed.notice(Kind::Heartbeat));
            if beat.is_some_and(|beat| !outbox.send(beat)) {
                state.sockets.remove(&socket);
                return None;
            }
        }
        outbox.next_due()
    }

    fn close(&self, socket: u64) {
        self.lock().sockets.remove(&socket);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Events that were asked for are older than those that are kept.
#[derive(Debug)]
pub(crate) struct Forgotten {
    /// The first that is still there.
    pub(crate) oldest: u64,
}

impl State {
    fn owned(&self, owner: &str, id: &str) -> Option<&Subscribed> {
        let subscribed = self.subscriptions.get(id);
        subscribed.filter(|subscribed| subscribed.is_of(owner))
    }

    /// Numbers the events of a change and puts them into the queues of those who listen.
    fn announce(
        &mut self,
        previous: Option<EncounterStatus>,
        version: &Version,
        method: &'static str,
    ) {
        for subscribed in self.subscriptions.values_mut() {
            if subscribed.is_off || !subscribed.terms.are_met(previous, version) {
                continue;
            }
            let notice = subscribed.record(version.clone(), method);
            tell(&mut self.sockets, &notice);
        }
    }
}

/// Puts a notice into the queues of those who listen. A socket whose queue is full goes: a gap would
/// not be seen, a close is.
fn tell(sockets: &mut HashMap<u64, Outbox>, notice: &Notice) {
    sockets.retain(|_, outbox| !outbox.listens_to(notice) || outbox.send(notice.clone()));
}
