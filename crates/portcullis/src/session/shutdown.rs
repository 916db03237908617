use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::shared::Shared;
use crate::close::CloseCause;

impl Shared {
    /// Lets nobody in any more and closes everything. How many are left after `limit`.
    pub(super) async fn shutdown(self: &Arc<Self>, limit: Duration) -> usize {
        self.registry.shut();
        self.shutdown.send_replace(true);
        self.end(self.registry.all(), &CloseCause::Shutdown);
        let left = || self.registry.len() + self.unidentified.load(Ordering::SeqCst);
        let empty = async {
            loop {
                let emptied = self.emptied.notified();
                if left() == 0 {
                    return;
                }
                emptied.await;
            }
        };
        let _ = tokio::time::timeout(limit, empty).await;
        left()
    }
}

#[cfg(feature = "axum")]
impl Shared {
    /// Waits until nobody is let in any more.
    pub(super) async fn is_shut(&self) {
        let mut shutdown = self.shutdown.subscribe();
        // The sender is in `self`.
        let _ = shutdown.wait_for(|shut| *shut).await;
    }

    /// Counts a socket whose client has yet to say who it is.
    pub(super) fn unidentified(self: &Arc<Self>) -> Unidentified {
        self.unidentified.fetch_add(1, Ordering::SeqCst);
        Unidentified {
            shared: Arc::clone(self),
        }
    }
}

/// A socket without a session, which a shutdown waits for all the same.
#[cfg(feature = "axum")]
pub(crate) struct Unidentified {
    shared: Arc<Shared>,
}

#[cfg(feature = "axum")]
impl Drop for Unidentified {
    fn drop(&mut self) {
        self.shared.unidentified.fetch_sub(1, Ordering::SeqCst);
        self.shared.emptied.notify_waiters();
    }
}
