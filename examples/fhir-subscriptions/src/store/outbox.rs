use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Notification;

/// The store's side of a socket: the bound subscriptions, and the sending half of the queue.
#[derive(Debug)]
pub(super) struct Outbox {
    sender: mpsc::Sender<Notification>,
    /// Dropped with the outbox, which notifies the socket before it has read the whole queue.
    _overflow: oneshot::Sender<()>,
    bindings: HashMap<String, Binding>,
}

/// The socket's side: the receiving half of the queue.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) notifications: mpsc::Receiver<Notification>,
    pub(super) overflow: oneshot::Receiver<()>,
}

#[derive(Debug)]
struct Binding {
    /// The expiry of the token that bound the subscription.
    until: SystemTime,
    heartbeat: Option<Duration>,
    last_sent: Instant,
}

impl Outbox {
    /// Creates a queue for `capacity` notifications.
    pub(super) fn new(capacity: usize) -> (Self, Queue) {
        let (sender, notifications) = mpsc::channel(capacity);
        let (overflow_sender, overflow) = oneshot::channel();
        let outbox = Self {
            sender,
            _overflow: overflow_sender,
            bindings: HashMap::new(),
        };
        let queue = Queue {
            notifications,
            overflow,
        };
        (outbox, queue)
    }

    /// Binds a subscription or extends its binding, and sends the handshake. Returns `false` if the
    /// queue is full.
    pub(super) fn bind(&mut self, handshake: Notification, until: SystemTime) -> bool {
        let subscription = &handshake.subscription;
        let binding = self
            .bindings
            .entry(subscription.id.clone())
            .or_insert(Binding {
                until,
                heartbeat: subscription.heartbeat,
                last_sent: Instant::now(),
            });
        // A client may present an older token after a newer one.
        binding.until = binding.until.max(until);
        self.send(handshake)
    }

    pub(super) fn unbind(&mut self, id: &str) {
        self.bindings.remove(id);
    }

    /// Returns whether the subscription of `notification` is bound by a token that has not expired.
    pub(super) fn is_bound(&mut self, notification: &Notification) -> bool {
        let id = &notification.subscription.id;
        let is_expired = |binding: &Binding| binding.until <= SystemTime::now();
        if self.bindings.get(id).is_some_and(is_expired) {
            self.unbind(id);
        }
        self.bindings.contains_key(id)
    }

    /// Queues a notification. Returns `false` if the queue is full.
    pub(super) fn send(&mut self, notification: Notification) -> bool {
        if let Some(binding) = self.bindings.get_mut(&notification.subscription.id) {
            binding.last_sent = Instant::now();
        }
        self.sender.try_send(notification).is_ok()
    }

    /// Returns the ids of the subscriptions that are due for a heartbeat.
    pub(super) fn due_heartbeats(&mut self, now: Instant) -> Vec<String> {
        let wall_clock = SystemTime::now();
        self.bindings
            .retain(|_, binding| binding.until > wall_clock);
        let is_due = |binding: &Binding| binding.next_heartbeat().is_some_and(|due| due <= now);
        let due = self.bindings.iter().filter(|(_, binding)| is_due(binding));
        due.map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn next_heartbeat(&self) -> Option<Instant> {
        let bindings = self.bindings.values();
        bindings.filter_map(Binding::next_heartbeat).min()
    }
}

impl Binding {
    fn next_heartbeat(&self) -> Option<Instant> {
        self.heartbeat.map(|period| self.last_sent + period)
    }
}
