use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::No;
use super::request::{Happening, Subscribe};
use crate::binding::random;
use crate::fhir::instant;
use crate::outcome::Outcome;

/// How many subscribers there are at most.
const MAX: usize = 10_000;

/// Who follows what.
///
/// A topic is one user's: the applications of one session follow each other, and nobody else's.
pub(crate) struct Hub {
    subscribers: Mutex<HashMap<blake3::Hash, Subscriber>>,
    longest_lease: Duration,
    /// How many messages may wait for one socket.
    queue: usize,
}

struct Subscriber {
    subject: String,
    topic: String,
    events: Vec<String>,
    name: String,
    until: Instant,
    /// The hub's end of the socket, if one is open.
    socket: Option<mpsc::Sender<Line>>,
}

/// What a socket has to say to its client.
#[derive(Debug)]
pub(super) enum Line {
    /// The subscription stands, or stands longer.
    Confirmed(Value),
    Happened(Arc<Happening>),
    /// It is over, and so is the socket.
    Denied(Value),
}

/// An address that was given out. It is known by its digest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoint(blake3::Hash);

impl Endpoint {
    pub(super) fn new(path: &str) -> Self {
        Self(blake3::hash(path.as_bytes()))
    }
}

impl Hub {
    pub(crate) fn new(longest_lease: Duration, queue: usize) -> Arc<Self> {
        Arc::new(Self {
            subscribers: Mutex::default(),
            longest_lease,
            queue,
        })
    }

    /// Makes an address, or prolongs the lease of one that is known; the last part of it.
    pub(super) fn subscribe(
        &self,
        subject: &str,
        request: &Subscribe,
        known: Option<&str>,
    ) -> Result<String, No> {
        let lease = request.lease().unwrap_or(self.longest_lease);
        let until = Instant::now() + lease.min(self.longest_lease);
        let events: Vec<_> = request.events().map(str::to_owned).collect();
        let mut subscribers = self.lock();
        if let Some(path) = known {
            let subscriber = subscribers
                .get_mut(&Endpoint::new(path).0)
                .filter(|s| s.is(subject, &request.topic))
                .ok_or_else(|| No::bad("There is no such hub.channel.endpoint."))?;
            subscriber.events = events;
            subscriber.until = until;
            let confirmed = Line::Confirmed(subscriber.confirmation());
            subscriber.tell(confirmed);
            return Ok(path.to_owned());
        }
        if subscribers.len() >= MAX {
            let now = Instant::now();
            subscribers.retain(|_, subscriber| subscriber.until > now);
        }
        let path = match subscribers.len() < MAX {
            true => random(),
            false => None,
        };
        let path = path.ok_or_else(No::full)?;
        let subscriber = Subscriber {
            subject: subject.to_owned(),
            topic: request.topic.clone(),
            events,
            name: request.name.clone().unwrap_or_default(),
            until,
            socket: None,
        };
        subscribers.insert(Endpoint::new(&path).0, subscriber);
        Ok(path)
    }

    /// Gives an address back. Nobody will have it again.
    pub(super) fn unsubscribe(&self, subject: &str, topic: &str, path: &str) -> bool {
        let endpoint = Endpoint::new(path);
        let is_there = |s: &Subscriber| s.is(subject, topic);
        let is_there = self.lock().get(&endpoint.0).is_some_and(is_there);
        if is_there {
            self.end(endpoint, "unsubscribed");
        }
        is_there
    }

    /// Tells everybody who follows the topic and wants the event.
    pub(super) fn publish(&self, subject: &str, happening: Happening) {
        let happening = Arc::new(happening);
        for subscriber in self.lock().values_mut() {
            if subscriber.is(subject, &happening.topic) && subscriber.wants(&happening.event) {
                subscriber.tell(Line::Happened(Arc::clone(&happening)));
            }
        }
    }

    /// Connects a socket to its address. An address has one socket, which is the newest: the other
    /// may be one that its client has lost long ago.
    pub(super) fn connect(&self, endpoint: Endpoint) -> Result<mpsc::Receiver<Line>, Value> {
        let mut subscribers = self.lock();
        let Some(subscriber) = subscribers.get_mut(&endpoint.0) else {
            return Err(denial("", &[], "There is no such endpoint."));
        };
        if subscriber.until <= Instant::now() {
            let denial = subscriber.denial("The lease has ended.");
            subscribers.remove(&endpoint.0);
            return Err(denial);
        }
        let denied = Line::Denied(subscriber.denial("Another socket has taken over."));
        subscriber.tell(denied);
        // The confirmation is the first of them.
        let (sender, lines) = mpsc::channel(self.queue + 1);
        subscriber.socket = Some(sender);
        let confirmed = Line::Confirmed(subscriber.confirmation());
        subscriber.tell(confirmed);
        Ok(lines)
    }

    /// A socket is gone, and its queue. Until the lease ends the address is good for another, and it
    /// may be connected with one already.
    pub(super) fn disconnect(&self, endpoint: Endpoint) {
        if let Some(subscriber) = self.lock().get_mut(&endpoint.0) {
            subscriber.socket.take_if(|socket| socket.is_closed());
        }
    }

    /// When the lease ends; `None` if it is over.
    pub(super) fn until(&self, endpoint: Endpoint) -> Option<Instant> {
        Some(self.lock().get(&endpoint.0)?.until)
    }

    /// Ends a subscription, and says so.
    pub(super) fn end(&self, endpoint: Endpoint, reason: &str) {
        if let Some(mut subscriber) = self.lock().remove(&endpoint.0) {
            let denied = Line::Denied(subscriber.denial(reason));
            subscriber.tell(denied);
        }
    }

    /// Tells the topic that a subscriber does not follow: it has refused an event, or said nothing.
    pub(super) fn out_of_sync(&self, endpoint: Endpoint, happening: &Happening, what: &str) {
        let subscribers = self.lock();
        let Some(subscriber) = subscribers.get(&endpoint.0) else {
            return;
        };
        let (subject, name) = (subscriber.subject.clone(), subscriber.name.clone());
        drop(subscribers);
        // That would go on for ever.
        if happening.event.eq_ignore_ascii_case("SyncError") {
            return;
        }
        let text = format!("{name:?} {what} {} {:?}.", happening.event, happening.id);
        let mut outcome = Outcome::unsupported(text).resource();
        outcome["issue"][0]["severity"] = json!("warning");
        outcome["issue"][0]["code"] = json!("processing");
        let id = uuid::Uuid::new_v4().to_string();
        let message = json!({
            "timestamp": instant(OffsetDateTime::now_utc()),
            "id": id,
            "event": {
                "hub.topic": happening.topic,
                "hub.event": "SyncError",
                "context": [{ "key": "operationoutcome", "resource": outcome }],
            },
        });
        let happening = Happening {
            id,
            topic: happening.topic.clone(),
            event: "SyncError".into(),
            message,
        };
        self.publish(&subject, happening);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<blake3::Hash, Subscriber>> {
        // Nothing panics while it is held.
        self.subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber {
    fn is(&self, subject: &str, topic: &str) -> bool {
        self.subject == subject && self.topic == topic
    }

    fn wants(&self, event: &str) -> bool {
        let mut events = self.events.iter();
        self.until > Instant::now() && events.any(|wanted| wanted.eq_ignore_ascii_case(event))
    }

    /// Queues a line. If there is no room for it, the socket is let go: a gap would not be seen.
    fn tell(&mut self, line: Line) {
        let is_lost = |socket: &mpsc::Sender<Line>| socket.try_send(line).is_err();
        if self.socket.as_ref().is_some_and(is_lost) {
            self.socket = None;
        }
    }

    fn confirmation(&self) -> Value {
        let left = self.until.saturating_duration_since(Instant::now());
        json!({
            "hub.mode": "subscribe",
            "hub.topic": self.topic,
            "hub.events": self.events.join(","),
            // Rather told too little than too much, but for what rounding takes.
            "hub.lease_seconds": (left.as_millis() + 500) / 1000,
        })
    }

    fn denial(&self, reason: &str) -> Value {
        denial(&self.topic, &self.events, reason)
    }
}

fn denial(topic: &str, events: &[String], reason: &str) -> Value {
    json!({
        "hub.mode": "denied",
        "hub.topic": topic,
        "hub.events": events.join(","),
        "hub.reason": reason,
    })
}

/// Without the digests.
impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("longest_lease", &self.longest_lease)
            .finish_non_exhaustive()
    }
}
