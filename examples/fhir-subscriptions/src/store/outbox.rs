use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Notice;

/// The end of a socket's queue that the store holds: what is bound, and the way to it.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: mpsc::Sender<Notice>,
    /// Gone with the outbox, so that the socket knows at once, whatever still waits in the queue.
    _alive: oneshot::Sender<()>,
    bound: HashMap<String, Binding>,
}

/// The socket's end.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) notices: mpsc::Receiver<Notice>,
    pub(super) lost: oneshot::Receiver<()>,
}

#[derive(Debug)]
struct Binding {
    /// When the token ends that allowed it.
    until: SystemTime,
    heartbeat: Option<Duration>,
    last: Instant,
}

impl Outbox {
    /// Both ends of a queue for `capacity` notices.
    pub(super) fn new(capacity: usize) -> (Self, Queue) {
        let (queue, notices) = mpsc::channel(capacity);
        let (alive, lost) = oneshot::channel();
        let outbox = Self {
            queue,
            _alive: alive,
            bound: HashMap::new(),
        };
        (outbox, Queue { notices, lost })
    }

    /// Binds the subscription, or prolongs its binding, and sends the handshake. `false` if the
    /// queue is full.
    pub(super) fn bind(&mut self, handshake: Notice, until: SystemTime) -> bool {
        let terms = &handshake.subscription;
        let binding = self.bound.entry(terms.id.clone()).or_insert(Binding {
            until,
            heartbeat: terms.heartbeat,
            last: Instant::now(),
        });
        // An older token may be shown after a newer one.
        binding.until = binding.until.max(until);
        self.send(handshake)
    }

    pub(super) fn unbind(&mut self, id: &str) {
        self.bound.remove(id);
    }

    /// Whether the notice's subscription is bound, by a token that still holds.
    pub(super) fn listens_to(&mut self, notice: &Notice) -> bool {
        let id = &notice.subscription.id;
        let ended = |binding: &Binding| binding.until <= SystemTime::now();
        if self.bound.get(id).is_some_and(ended) {
            self.unbind(id);
        }
        self.bound.contains_key(id)
    }

    /// `false` if the queue is full.
    pub(super) fn send(&mut self, notice: Notice) -> bool {
        if let Some(binding) = self.bound.get_mut(&notice.subscription.id) {
            binding.last = Instant::now();
        }
        self.queue.try_send(notice).is_ok()
    }

    /// The subscriptions that have said nothing for too long.
    pub(super) fn due(&mut self, now: Instant) -> Vec<String> {
        let wall = SystemTime::now();
        self.bound.retain(|_, binding| binding.until > wall);
        let is_due = |binding: &Binding| binding.due().is_some_and(|due| due <= now);
        let due = self.bound.iter().filter(|(_, binding)| is_due(binding));
        due.map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.bound.values().filter_map(Binding::due).min()
    }
}

impl Binding {
    fn due(&self) -> Option<Instant> {
        self.heartbeat.map(|period| self.last + period)
    }
}
