//! Encounters, subscriptions, and the sockets that receive notifications.
//!
//! One lock protects all of them. A change of an encounter, the numbers of its events, and the
//! delivery of these events to the queues of the sockets are one step. A binding and the event
//! count in its handshake are one step, too. So a client that binds after event 7 receives the
//! events 8, 9 and 10, each exactly once.

mod encounters;
mod feed;
mod notification;
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

pub(crate) use self::encounters::{EncounterInput, EncounterVersion};
pub(crate) use self::feed::Feed;
pub(crate) use self::notification::{Event, Notification, NotificationKind};
pub(crate) use self::subscription::{Content, SubscriptionSettings};

use self::encounters::Encounters;
use self::outbox::Outbox;
use self::subscription::SubscriptionState;

/// The maximum number of subscriptions of one user.
const MAX_SUBSCRIPTIONS: usize = 100;

/// The data of the server, in memory.
#[derive(Debug)]
pub(crate) struct Store {
    state: Mutex<State>,
    /// The number of notifications that are queued for one socket.
    queue: usize,
}

#[derive(Debug, Default)]
struct State {
    encounters: Encounters,
    subscriptions: BTreeMap<String, SubscriptionState>,
    sockets: HashMap<u64, Outbox>,
    last_socket: u64,
}

/// The limit on the number of encounters or subscriptions is reached.
#[derive(Debug)]
pub(crate) struct LimitReached;

/// Some of the requested events have been discarded.
#[derive(Debug)]
pub(crate) struct EventsExpired {
    /// The number of the oldest event that is available.
    pub(crate) oldest: u64,
}

impl Store {
    pub(crate) fn new(queue: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            queue,
        })
    }

    // --- encounters ----------------------------------------------------------------------------

    pub(crate) fn create(&self, input: EncounterInput) -> Result<EncounterVersion, LimitReached> {
        let mut state = self.lock();
        let encounter = state.encounters.create(input)?;
        state.publish(None, &encounter, "POST");
        Ok(encounter)
    }

    /// Updates an encounter. Returns `None` if it does not exist.
    pub(crate) fn update(&self, id: u64, input: EncounterInput) -> Option<EncounterVersion> {
        let mut state = self.lock();
        let (previous, current) = state.encounters.update(id, input)?;
        state.publish(Some(previous.status), &current, "PUT");
        Some(current)
    }

    pub(crate) fn encounter(&self, id: u64) -> Option<EncounterVersion> {
        self.lock().encounters.find(id)
    }

    // --- subscriptions -------------------------------------------------------------------------

    pub(crate) fn subscribe(
        &self,
        settings: SubscriptionSettings,
        resource: Value,
    ) -> Result<(), LimitReached> {
        let mut state = self.lock();
        let subscriptions = state.subscriptions.values();
        let owned = subscriptions.filter(|it| it.is_owned_by(&settings.owner));
        if owned.count() >= MAX_SUBSCRIPTIONS {
            return Err(LimitReached);
        }
        let id = settings.id.clone();
        let subscription = SubscriptionState::new(settings, resource);
        state.subscriptions.insert(id, subscription);
        Ok(())
    }

    /// Switches a subscription off or on, and notifies the clients that have bound it.
    ///
    /// `update` changes the resource of the subscription. Returns the changed resource, or `None`
    /// if `owner` has no such subscription.
    pub(crate) fn set_off(
        &self,
        owner: &str,
        id: &str,
        is_off: bool,
        update: impl FnOnce(&mut Value),
    ) -> Option<Value> {
        let state = &mut *self.lock();
        state.find(owner, id)?;
        let subscription = state.subscriptions.get_mut(id)?;
        subscription.is_off = is_off;
        update(&mut subscription.resource);
        let heartbeat = subscription.notification(NotificationKind::Heartbeat);
        deliver(&mut state.sockets, &heartbeat);
        Some(subscription.resource.clone())
    }

    /// Deletes a subscription, and notifies the clients that have bound it that it is off.
    ///
    /// Returns `false` if `owner` has no such subscription.
    pub(crate) fn unsubscribe(&self, owner: &str, id: &str) -> bool {
        let state = &mut *self.lock();
        if state.find(owner, id).is_none() {
            return false;
        }
        if let Some(mut subscription) = state.subscriptions.remove(id) {
            subscription.is_off = true;
            let heartbeat = subscription.notification(NotificationKind::Heartbeat);
            deliver(&mut state.sockets, &heartbeat);
        }
        for socket in state.sockets.values_mut() {
            socket.unbind(id);
        }
        true
    }

    /// Returns the resource of a subscription.
    pub(crate) fn subscription(&self, owner: &str, id: &str) -> Option<Value> {
        Some(self.lock().find(owner, id)?.resource.clone())
    }

    /// Returns the resources of all subscriptions of `owner`.
    pub(crate) fn subscriptions(&self, owner: &str) -> Vec<Value> {
        let state = self.lock();
        let subscriptions = state.subscriptions.values();
        let owned = subscriptions.filter(|it| it.is_owned_by(owner));
        owned.map(|it| it.resource.clone()).collect()
    }

    pub(crate) fn status(&self, owner: &str, id: &str) -> Option<Notification> {
        let state = self.lock();
        let subscription = state.find(owner, id)?;
        Some(subscription.notification(NotificationKind::Status))
    }

    /// Returns the events from `since` to `until`, both included, or `None` if `owner` has no such
    /// subscription.
    pub(crate) fn events(
        &self,
        owner: &str,
        id: &str,
        since: u64,
        until: u64,
    ) -> Option<Result<Notification, EventsExpired>> {
        Some(self.lock().find(owner, id)?.events(since, until))
    }

    // --- sockets -------------------------------------------------------------------------------

    /// Adds a socket to which no subscription is bound yet.
    pub(crate) fn add_socket(self: &Arc<Self>) -> Feed {
        let mut state = self.lock();
        state.last_socket += 1;
        let id = state.last_socket;
        let (outbox, queue) = Outbox::new(self.queue);
        state.sockets.insert(id, outbox);
        drop(state);
        Feed::new(Arc::clone(self), id, queue)
    }

    /// Binds subscriptions of `owner` to a socket, or extends their bindings.
    ///
    /// Returns the number of subscriptions that exist.
    fn bind(&self, socket: u64, owner: &str, ids: &[String], until: SystemTime) -> usize {
        let state = &mut *self.lock();
        let mut bound = 0;
        for id in ids {
            let Some(subscription) = state.find(owner, id) else {
                continue;
            };
            bound += 1;
            let handshake = subscription.notification(NotificationKind::Handshake);
            let outbox = state.sockets.get_mut(&socket);
            if !outbox.is_some_and(|outbox| outbox.bind(handshake, until)) {
                state.sockets.remove(&socket);
                break;
            }
        }
        bound
    }

    /// Sends the heartbeats that are due on a socket. Returns the time of the next one.
    fn send_heartbeats(&self, socket: u64) -> Option<Instant> {
        let state = &mut *self.lock();
        let outbox = state.sockets.get_mut(&socket)?;
        for id in outbox.due_heartbeats(Instant::now()) {
            let Some(subscription) = state.subscriptions.get(&id) else {
                continue;
            };
            if !outbox.send(subscription.notification(NotificationKind::Heartbeat)) {
                state.sockets.remove(&socket);
                return None;
            }
        }
        outbox.next_heartbeat()
    }

    fn remove_socket(&self, socket: u64) {
        self.lock().sockets.remove(&socket);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns a subscription of `owner`.
    fn find(&self, owner: &str, id: &str) -> Option<&SubscriptionState> {
        let subscription = self.subscriptions.get(id);
        subscription.filter(|it| it.is_owned_by(owner))
    }

    /// Records a change as an event of each subscription that it matches, and delivers the events.
    fn publish(
        &mut self,
        previous: Option<EncounterStatus>,
        current: &EncounterVersion,
        method: &'static str,
    ) {
        for subscription in self.subscriptions.values_mut() {
            if !subscription.is_off && subscription.settings.matches(previous, current) {
                let notification = subscription.record(current.clone(), method);
                deliver(&mut self.sockets, &notification);
            }
        }
    }
}

/// Queues a notification for each socket that has bound its subscription.
///
/// A socket with a full queue is removed, which closes it: a client notices a closed socket, but
/// not a missing event.
fn deliver(sockets: &mut HashMap<u64, Outbox>, notification: &Notification) {
    sockets.retain(|_, outbox| !outbox.is_bound(notification) || outbox.send(notification.clone()));
}
