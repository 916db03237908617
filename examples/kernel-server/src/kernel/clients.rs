//! The sockets that listen to one kernel, and the queue of each.
//!
//! A queue is bounded in messages and in bytes. Who does not keep up is let go: a kernel is never
//! held up by a client, and no client makes the server hold its output without end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::wire::Message;

const QUEUE_MESSAGES: usize = 1024;
const QUEUE_BYTES: usize = 64 << 20;

/// Whose socket it is. A second one of the same key takes the place of the first; the subject is
/// part of the key so that nobody takes the place of somebody else.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct ClientKey {
    pub(crate) subject: Box<str>,
    pub(crate) session: Box<str>,
}

/// Names a client for as long as the kernel exists.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct ClientId(u64);

/// Why the server ends a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Farewell {
    /// The client opened another socket for the same session.
    Replaced,

    /// The client reads slower than the kernel writes.
    TooSlow,

    /// Somebody shut the kernel down.
    KernelGone,

    /// The server stops.
    GoingAway,
}

#[derive(Debug, Default)]
pub(crate) struct Clients {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    outboxes: HashMap<ClientId, Outbox>,
    joined: u64,
    /// Set once nobody may join any more.
    closed: Option<Farewell>,
}

impl Clients {
    /// Adds a client, and lets go of an older one of the same key.
    pub(crate) fn join(self: &Arc<Self>, key: ClientKey) -> Inbox {
        let (sender, messages) = mpsc::channel(QUEUE_MESSAGES);
        let farewell = Arc::new(OnceLock::new());
        let mut inner = self.lock();
        inner.let_go(Farewell::Replaced, |outbox| outbox.key == key);
        inner.joined += 1;
        let id = ClientId(inner.joined);
        let outbox = Outbox {
            key,
            sender,
            room: Arc::new(Semaphore::new(QUEUE_BYTES)),
            farewell: Arc::clone(&farewell),
        };
        match inner.closed {
            Some(reason) => outbox.close(reason),
            None => drop(inner.outboxes.insert(id, outbox)),
        }
        Inbox {
            id,
            messages,
            farewell,
            clients: Arc::clone(self),
        }
    }

    /// Hands a message to everybody.
    pub(crate) fn publish(&self, message: &Message) {
        let mut inner = self.lock();
        inner.let_go(Farewell::TooSlow, |outbox| !outbox.push(message.clone()));
    }

    /// Hands a message to the one client that it answers, if it is still there.
    pub(crate) fn deliver(&self, id: ClientId, message: Message) {
        let mut inner = self.lock();
        let Some(outbox) = inner.outboxes.get(&id) else {
            return;
        };
        if !outbox.push(message)
            && let Some(outbox) = inner.outboxes.remove(&id)
        {
            outbox.close(Farewell::TooSlow);
        }
    }

    /// Lets go of everybody, also of those who come too late to know.
    pub(crate) fn close(&self, reason: Farewell) {
        let mut inner = self.lock();
        inner.closed = Some(reason);
        inner.let_go(reason, |_| true);
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().outboxes.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Every change under this lock is a single step, so a panic leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn let_go(&mut self, reason: Farewell, mut whom: impl FnMut(&Outbox) -> bool) {
        for (_, outbox) in self.outboxes.extract_if(|_, outbox| whom(outbox)) {
            outbox.close(reason);
        }
    }
}

/// The kernel's end of a queue.
#[derive(Debug)]
struct Outbox {
    key: ClientKey,
    sender: mpsc::Sender<(Message, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    farewell: Arc<OnceLock<Farewell>>,
}

impl Outbox {
    /// Whether there was room.
    fn push(&self, message: Message) -> bool {
        // A message larger than the queue passes alone, when nothing else waits.
        let weight = u32::try_from(message.size().min(QUEUE_BYTES)).unwrap_or(u32::MAX);
        Arc::clone(&self.room)
            .try_acquire_many_owned(weight)
            .is_ok_and(|room| self.sender.try_send((message, room)).is_ok())
    }

    /// The reason is written down first: the queue's end is what makes the client read it.
    fn close(self, reason: Farewell) {
        let _ = self.farewell.set(reason);
    }
}

/// The client's end of a queue. Dropping it leaves the kernel.
#[derive(Debug)]
pub(crate) struct Inbox {
    id: ClientId,
    messages: mpsc::Receiver<(Message, OwnedSemaphorePermit)>,
    farewell: Arc<OnceLock<Farewell>>,
    clients: Arc<Clients>,
}

impl Inbox {
    pub(crate) fn id(&self) -> ClientId {
        self.id
    }

    /// The next message; or, after the last one, why there is none. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Message, Farewell> {
        match self.messages.recv().await {
            Some((message, _room)) => Ok(message),
            None => Err(*self.farewell.get().unwrap_or(&Farewell::KernelGone)),
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.clients.lock().outboxes.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::wire::Channel;

    fn key(subject: &str, session: &str) -> ClientKey {
        ClientKey {
            subject: subject.into(),
            session: session.into(),
        }
    }

    fn message() -> Message {
        Message::new(Channel::Iopub, "stream", "", None, &json!({}))
    }

    #[tokio::test]
    async fn a_reply_goes_to_one_and_output_to_all() {
        let clients = Arc::new(Clients::default());
        let mut a = clients.join(key("alice", "a"));
        let mut b = clients.join(key("alice", "b"));
        clients.publish(&message());
        clients.deliver(a.id(), message());
        drop(clients.lock().outboxes.drain());
        assert!(a.next().await.is_ok() && a.next().await.is_ok() && a.next().await.is_err());
        assert!(b.next().await.is_ok() && b.next().await.is_err());
    }

    #[tokio::test]
    async fn the_same_session_of_the_same_subject_is_replaced() {
        let clients = Arc::new(Clients::default());
        let mut old = clients.join(key("alice", "s"));
        let _other = clients.join(key("bob", "s"));
        assert_eq!(clients.len(), 2);
        let _new = clients.join(key("alice", "s"));
        assert_eq!(clients.len(), 2);
        assert_eq!(old.next().await, Err(Farewell::Replaced));
    }

    #[tokio::test]
    async fn who_does_not_read_is_let_go_of() {
        let clients = Arc::new(Clients::default());
        let mut slow = clients.join(key("alice", "s"));
        for _ in 0..=QUEUE_MESSAGES {
            clients.publish(&message());
        }
        assert_eq!(clients.len(), 0);
        for _ in 0..QUEUE_MESSAGES {
            assert!(slow.next().await.is_ok());
        }
        assert_eq!(slow.next().await, Err(Farewell::TooSlow));
    }

    #[tokio::test]
    async fn few_large_messages_fill_a_queue_as_well() {
        let clients = Arc::new(Clients::default());
        let mut slow = clients.join(key("alice", "s"));
        let large = Message {
            buffers: vec![Bytes::from(vec![0; QUEUE_BYTES])],
            ..message()
        };
        clients.publish(&large);
        assert!(slow.next().await.is_ok());
        clients.publish(&large);
        clients.publish(&message());
        assert_eq!(clients.len(), 0);
        assert!(slow.next().await.is_ok());
        assert_eq!(slow.next().await, Err(Farewell::TooSlow));
    }

    #[tokio::test]
    async fn nobody_joins_what_is_closed() {
        let clients = Arc::new(Clients::default());
        clients.close(Farewell::GoingAway);
        let mut late = clients.join(key("alice", "s"));
        assert_eq!(late.next().await, Err(Farewell::GoingAway));
        assert_eq!(clients.len(), 0);
    }
}
