//! The clients of one kernel, with a queue for each.
//!
//! A queue is limited in messages and in bytes. A client that exceeds a limit is disconnected, so
//! that it neither blocks the kernel nor makes the server buffer output without limit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::wire::Message;

const QUEUE_MESSAGES: usize = 1024;
const QUEUE_BYTES: usize = 64 << 20;

/// Identifies a client across connections. A new socket with the same key replaces the old one.
///
/// The subject is part of the key, so that a user cannot replace the socket of another user.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct ClientKey {
    pub(crate) subject: Box<str>,
    pub(crate) session: Box<str>,
}

/// Identifies a socket of a kernel. Ids are not reused.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct ClientId(u64);

/// Why the server closes a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CloseReason {
    /// The client opened another socket for the same session.
    Replaced,

    /// The client's queue is full.
    TooSlow,

    /// The kernel was shut down.
    KernelShutDown,

    /// The server stops.
    ServerStopping,
}

#[derive(Debug, Default)]
pub(crate) struct Clients {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    outboxes: HashMap<ClientId, Outbox>,
    last_id: u64,
    /// Set when no client may join any more.
    closed: Option<CloseReason>,
}

impl Clients {
    /// Adds a client, and disconnects an older one with the same key.
    pub(crate) fn join(self: &Arc<Self>, key: ClientKey) -> Inbox {
        let (sender, messages) = mpsc::channel(QUEUE_MESSAGES);
        let close_reason = Arc::new(OnceLock::new());
        let mut inner = self.lock();
        inner.disconnect(CloseReason::Replaced, |outbox| outbox.key == key);
        inner.last_id += 1;
        let id = ClientId(inner.last_id);
        let outbox = Outbox {
            key,
            sender,
            capacity: Arc::new(Semaphore::new(QUEUE_BYTES)),
            close_reason: Arc::clone(&close_reason),
        };
        match inner.closed {
            Some(reason) => outbox.close(reason),
            None => drop(inner.outboxes.insert(id, outbox)),
        }
        Inbox {
            id,
            messages,
            close_reason,
            clients: Arc::clone(self),
        }
    }

    /// Sends a message to all clients.
    pub(crate) fn publish(&self, message: &Message) {
        let mut inner = self.lock();
        inner.disconnect(CloseReason::TooSlow, |outbox| !outbox.push(message.clone()));
    }

    /// Sends a message to one client, if it is still connected.
    pub(crate) fn deliver(&self, id: ClientId, message: Message) {
        let mut inner = self.lock();
        let Some(outbox) = inner.outboxes.get(&id) else {
            return;
        };
        if !outbox.push(message)
            && let Some(outbox) = inner.outboxes.remove(&id)
        {
            outbox.close(CloseReason::TooSlow);
        }
    }

    /// Disconnects all clients, and every client that joins later.
    pub(crate) fn close(&self, reason: CloseReason) {
        let mut inner = self.lock();
        inner.closed = Some(reason);
        inner.disconnect(reason, |_| true);
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
    fn disconnect(&mut self, reason: CloseReason, mut predicate: impl FnMut(&Outbox) -> bool) {
        for (_, outbox) in self.outboxes.extract_if(|_, outbox| predicate(outbox)) {
            outbox.close(reason);
        }
    }
}

/// The sending half of a client's queue.
#[derive(Debug)]
struct Outbox {
    key: ClientKey,
    sender: mpsc::Sender<(Message, OwnedSemaphorePermit)>,
    /// The free capacity in bytes.
    capacity: Arc<Semaphore>,
    close_reason: Arc<OnceLock<CloseReason>>,
}

impl Outbox {
    /// Queues a message. Returns `false` if the queue is full.
    fn push(&self, message: Message) -> bool {
        // A message larger than the limit is accepted only into an empty queue.
        let weight = u32::try_from(message.size().min(QUEUE_BYTES)).unwrap_or(u32::MAX);
        Arc::clone(&self.capacity)
            .try_acquire_many_owned(weight)
            .is_ok_and(|permit| self.sender.try_send((message, permit)).is_ok())
    }

    /// Stores the reason before `self.sender` is dropped, which makes the client read it.
    fn close(self, reason: CloseReason) {
        let _ = self.close_reason.set(reason);
    }
}

/// The receiving half of a client's queue. Dropping it removes the client.
#[derive(Debug)]
pub(crate) struct Inbox {
    id: ClientId,
    messages: mpsc::Receiver<(Message, OwnedSemaphorePermit)>,
    close_reason: Arc<OnceLock<CloseReason>>,
    clients: Arc<Clients>,
}

impl Inbox {
    pub(crate) fn id(&self) -> ClientId {
        self.id
    }

    /// Receives the next message, or the reason why there are no more. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Message, CloseReason> {
        match self.messages.recv().await {
            Some((message, _permit)) => Ok(message),
            None => Err(*self
                .close_reason
                .get()
                .unwrap_or(&CloseReason::KernelShutDown)),
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
    async fn replies_go_to_one_client_and_output_to_all() {
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
    async fn same_session_of_the_same_subject_is_replaced() {
        let clients = Arc::new(Clients::default());
        let mut old = clients.join(key("alice", "s"));
        let _other = clients.join(key("bob", "s"));
        assert_eq!(clients.len(), 2);
        let _new = clients.join(key("alice", "s"));
        assert_eq!(clients.len(), 2);
        assert_eq!(old.next().await, Err(CloseReason::Replaced));
    }

    #[tokio::test]
    async fn client_that_does_not_read_is_disconnected() {
        let clients = Arc::new(Clients::default());
        let mut slow = clients.join(key("alice", "s"));
        for _ in 0..=QUEUE_MESSAGES {
            clients.publish(&message());
        }
        assert_eq!(clients.len(), 0);
        for _ in 0..QUEUE_MESSAGES {
            assert!(slow.next().await.is_ok());
        }
        assert_eq!(slow.next().await, Err(CloseReason::TooSlow));
    }

    #[tokio::test]
    async fn queue_is_limited_in_bytes() {
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
        assert_eq!(slow.next().await, Err(CloseReason::TooSlow));
    }

    #[tokio::test]
    async fn client_that_joins_after_close_is_disconnected() {
        let clients = Arc::new(Clients::default());
        clients.close(CloseReason::ServerStopping);
        let mut late = clients.join(key("alice", "s"));
        assert_eq!(late.next().await, Err(CloseReason::ServerStopping));
        assert_eq!(clients.len(), 0);
    }
}
