use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::{Instant, sleep_until};

use super::outbox::Queue;
use super::{Notification, Store};

/// The notifications for one socket. Dropping the feed removes the socket from the store.
#[derive(Debug)]
pub(crate) struct Feed {
    store: Arc<Store>,
    socket: u64,
    queue: Queue,
    next_heartbeat: Option<Instant>,
}

impl Feed {
    pub(super) fn new(store: Arc<Store>, socket: u64, queue: Queue) -> Self {
        Self {
            store,
            socket,
            queue,
            next_heartbeat: None,
        }
    }

    /// Binds subscriptions of `owner` until `until`. Returns the number of subscriptions bound.
    pub(crate) fn bind(&mut self, owner: &str, ids: &[String], until: SystemTime) -> usize {
        let bound = self.store.bind(self.socket, owner, ids, until);
        self.next_heartbeat = self.store.send_heartbeats(self.socket);
        bound
    }

    /// Returns the next notification, or `None` if the queue was full and notifications were lost.
    pub(crate) async fn next(&mut self) -> Option<Notification> {
        loop {
            let Queue {
                notifications,
                overflow,
            } = &mut self.queue;
            // The branch is disabled if there is no heartbeat, so this default is never awaited.
            let heartbeat = self.next_heartbeat.unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                _ = overflow => return None,
                notification = notifications.recv() => return notification,
                () = sleep_until(heartbeat), if self.next_heartbeat.is_some() => {
                    self.next_heartbeat = self.store.send_heartbeats(self.socket);
                }
            }
        }
    }

    /// Completes when the queue was full and notifications were lost.
    pub(crate) async fn overflow(&mut self) {
        // The outbox never sends a value. The channel closes when the outbox is dropped.
        let _ = (&mut self.queue.overflow).await;
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.store.remove_socket(self.socket);
    }
}
