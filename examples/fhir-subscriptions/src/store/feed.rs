use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::{Instant, sleep_until};

use super::outbox::Queue;
use super::{Notice, Store};

/// What one socket is told. It is gone from the store when it is dropped.
#[derive(Debug)]
pub(crate) struct Feed {
    store: Arc<Store>,
    socket: u64,
    queue: Queue,
    next_beat: Option<Instant>,
}

impl Feed {
    pub(super) fn new(store: Arc<Store>, socket: u64, queue: Queue) -> Self {
        Self {
            store,
            socket,
            queue,
            next_beat: None,
        }
    }

    /// Binds subscriptions of `owner` until a token ends; how many of them there are.
    pub(crate) fn bind(&mut self, owner: &str, ids: &[String], until: SystemTime) -> usize {
        let bound = self.store.bind(self.socket, owner, ids, until);
        self.next_beat = self.store.beat(self.socket);
        bound
    }

    /// The next notice; `None` when the client has read too slowly, and notices were dropped.
    pub(crate) async fn next(&mut self) -> Option<Notice> {
        loop {
            let Queue { notices, lost } = &mut self.queue;
            // Without a heartbeat this arm is off; the time given here is not waited for.
            let beat = self.next_beat.unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                _ = lost => return None,
                notice = notices.recv() => return notice,
                () = sleep_until(beat), if self.next_beat.is_some() => {
                    self.next_beat = self.store.beat(self.socket);
                }
            }
        }
    }

    /// Ends when notices were dropped.
    pub(crate) async fn lost(&mut self) {
        // The other end is only ever dropped.
        let _ = (&mut self.queue.lost).await;
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.store.close(self.socket);
    }
}
