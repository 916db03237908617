use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::HubError;
use super::request::{HubEvent, SubscriptionRequest};
use crate::binding::random_token;
use crate::fhir::instant;
use crate::outcome::OperationOutcome;

/// The maximum number of subscribers.
const MAX_SUBSCRIBERS: usize = 10_000;

/// The subscribers of all topics.
///
/// A topic belongs to one user. Topics of different users are separate, even if their names are
/// equal.
pub(crate) struct Hub {
    subscribers: Mutex<HashMap<blake3::Hash, Subscriber>>,
    max_lease: Duration,
    /// The number of messages that are queued for one socket.
    queue: usize,
}

struct Subscriber {
    subject: String,
    topic: String,
    events: Vec<String>,
    name: String,
    lease_end: Instant,
    /// The sending half of the socket's queue, if a socket is connected.
    socket: Option<mpsc::Sender<HubMessage>>,
}

/// A message of the hub to a subscriber.
#[derive(Debug)]
pub(super) enum HubMessage {
    /// The subscription was created, or its lease was extended.
    Confirmation(Value),
    Event(Arc<HubEvent>),
    /// The subscription has ended. The socket closes after this message.
    Denial(Value),
}

/// The digest of an endpoint, which is the last segment of a subscriber's URL.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndpointDigest(blake3::Hash);

impl EndpointDigest {
    pub(super) fn new(endpoint: &str) -> Self {
        Self(blake3::hash(endpoint.as_bytes()))
    }
}

impl Hub {
    pub(crate) fn new(max_lease: Duration, queue: usize) -> Arc<Self> {
        Arc::new(Self {
            subscribers: Mutex::default(),
            max_lease,
            queue,
        })
    }

    /// Creates a subscription, or updates the one with the endpoint `known` and extends its lease.
    ///
    /// Returns the endpoint.
    pub(super) fn subscribe(
        &self,
        subject: &str,
        request: &SubscriptionRequest,
        known: Option<&str>,
    ) -> Result<String, HubError> {
        let lease = request.lease().unwrap_or(self.max_lease);
        let lease_end = Instant::now() + lease.min(self.max_lease);
        let events: Vec<_> = request.events().map(str::to_owned).collect();
        let mut subscribers = self.lock();
        if let Some(endpoint) = known {
            let subscriber = subscribers
                .get_mut(&EndpointDigest::new(endpoint).0)
                .filter(|it| it.follows(subject, &request.topic))
                .ok_or_else(HubError::unknown_endpoint)?;
            subscriber.events = events;
            subscriber.lease_end = lease_end;
            subscriber.send(HubMessage::Confirmation(subscriber.confirmation()));
            return Ok(endpoint.to_owned());
        }
        if subscribers.len() >= MAX_SUBSCRIBERS {
            let now = Instant::now();
            subscribers.retain(|_, subscriber| subscriber.lease_end > now);
        }
        if subscribers.len() >= MAX_SUBSCRIBERS {
            return Err(HubError::limit_reached());
        }
        let endpoint = random_token().ok_or_else(HubError::limit_reached)?;
        let subscriber = Subscriber {
            subject: subject.to_owned(),
            topic: request.topic.clone(),
            events,
            name: request.name.clone().unwrap_or_default(),
            lease_end,
            socket: None,
        };
        subscribers.insert(EndpointDigest::new(&endpoint).0, subscriber);
        Ok(endpoint)
    }

    /// Ends a subscription at the request of its subscriber.
    ///
    /// Returns `false` if `subject` has no such subscription.
    pub(super) fn unsubscribe(&self, subject: &str, topic: &str, endpoint: &str) -> bool {
        let endpoint = EndpointDigest::new(endpoint);
        let follows = |subscriber: &Subscriber| subscriber.follows(subject, topic);
        let exists = self.lock().get(&endpoint.0).is_some_and(follows);
        if exists {
            self.deny(endpoint, "unsubscribed");
        }
        exists
    }

    /// Sends an event to the subscribers of its topic.
    pub(super) fn publish(&self, subject: &str, event: HubEvent) {
        let event = Arc::new(event);
        for subscriber in self.lock().values_mut() {
            if subscriber.follows(subject, &event.topic) && subscriber.accepts(&event.name) {
                subscriber.send(HubMessage::Event(Arc::clone(&event)));
            }
        }
    }

    /// Connects a socket to an endpoint, and returns its queue. The error is the denial message.
    ///
    /// An endpoint has at most one socket. A new socket replaces the previous one, since its client
    /// may have lost the connection.
    pub(super) fn connect(
        &self,
        endpoint: EndpointDigest,
    ) -> Result<mpsc::Receiver<HubMessage>, Value> {
        let mut subscribers = self.lock();
        let Some(subscriber) = subscribers.get_mut(&endpoint.0) else {
            return Err(denial("", &[], "The endpoint does not exist."));
        };
        if subscriber.lease_end <= Instant::now() {
            let denial = subscriber.denial(LEASE_ENDED);
            subscribers.remove(&endpoint.0);
            return Err(denial);
        }
        let denial = subscriber.denial("Replaced by a newer socket.");
        subscriber.send(HubMessage::Denial(denial));
        // One more, for the confirmation.
        let (sender, receiver) = mpsc::channel(self.queue + 1);
        subscriber.socket = Some(sender);
        subscriber.send(HubMessage::Confirmation(subscriber.confirmation()));
        Ok(receiver)
    }

    /// Removes the socket of an endpoint, unless a newer socket has replaced it.
    pub(super) fn disconnect(&self, endpoint: EndpointDigest) {
        if let Some(subscriber) = self.lock().get_mut(&endpoint.0) {
            subscriber.socket.take_if(|socket| socket.is_closed());
        }
    }

    /// Returns when the lease ends, or `None` if the subscription has ended.
    pub(super) fn lease_end(&self, endpoint: EndpointDigest) -> Option<Instant> {
        Some(self.lock().get(&endpoint.0)?.lease_end)
    }

    /// Ends a subscription after its lease.
    pub(super) fn expire(&self, endpoint: EndpointDigest) {
        self.deny(endpoint, LEASE_ENDED);
    }

    /// Ends a subscription, and sends the reason to its subscriber.
    fn deny(&self, endpoint: EndpointDigest, reason: &str) {
        if let Some(mut subscriber) = self.lock().remove(&endpoint.0) {
            subscriber.send(HubMessage::Denial(subscriber.denial(reason)));
        }
    }

    /// Publishes a `SyncError` about a subscriber that refused or did not acknowledge an event.
    ///
    /// `failure` is the predicate of the message, such as "did not acknowledge".
    pub(super) fn publish_sync_error(
        &self,
        endpoint: EndpointDigest,
        event: &HubEvent,
        failure: &str,
    ) {
        // A `SyncError` about a `SyncError` could cause an endless series.
        if event.name.eq_ignore_ascii_case("SyncError") {
            return;
        }
        let subscriber = self.lock().get(&endpoint.0).map(|subscriber| {
            let Subscriber { subject, name, .. } = subscriber;
            (subject.clone(), name.clone())
        });
        let Some((subject, name)) = subscriber else {
            return;
        };
        let text = format!("{name:?} {failure} {} {:?}.", event.name, event.id);
        let mut outcome = OperationOutcome::unsupported(text).resource();
        outcome["issue"][0]["severity"] = json!("warning");
        outcome["issue"][0]["code"] = json!("processing");
        let id = uuid::Uuid::new_v4().to_string();
        let message = json!({
            "timestamp": instant(OffsetDateTime::now_utc()),
            "id": id,
            "event": {
                "hub.topic": event.topic,
                "hub.event": "SyncError",
                "context": [{ "key": "operationoutcome", "resource": outcome }],
            },
        });
        let sync_error = HubEvent {
            id,
            topic: event.topic.clone(),
            name: "SyncError".into(),
            message,
        };
        self.publish(&subject, sync_error);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<blake3::Hash, Subscriber>> {
        // No code panics while it holds the lock.
        self.subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber {
    fn follows(&self, subject: &str, topic: &str) -> bool {
        self.subject == subject && self.topic == topic
    }

    fn accepts(&self, event: &str) -> bool {
        let mut events = self.events.iter();
        self.lease_end > Instant::now() && events.any(|name| name.eq_ignore_ascii_case(event))
    }

    /// Queues a message. If the queue is full, the socket is disconnected: its client notices a
    /// closed socket, but not a missing message.
    fn send(&mut self, message: HubMessage) {
        if let Some(socket) = &self.socket
            && socket.try_send(message).is_err()
        {
            self.socket = None;
        }
    }

    fn confirmation(&self) -> Value {
        let remaining = self.lease_end.saturating_duration_since(Instant::now());
        json!({
            "hub.mode": "subscribe",
            "hub.topic": self.topic,
            "hub.events": self.events.join(","),
            // Rounded to the nearest second.
            "hub.lease_seconds": (remaining.as_millis() + 500) / 1000,
        })
    }

    fn denial(&self, reason: &str) -> Value {
        denial(&self.topic, &self.events, reason)
    }
}

const LEASE_ENDED: &str = "The lease has ended.";

fn denial(topic: &str, events: &[String], reason: &str) -> Value {
    json!({
        "hub.mode": "denied",
        "hub.topic": topic,
        "hub.events": events.join(","),
        "hub.reason": reason,
    })
}

/// Leaves out the digests.
impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("max_lease", &self.max_lease)
            .finish_non_exhaustive()
    }
}
