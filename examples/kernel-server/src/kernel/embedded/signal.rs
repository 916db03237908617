use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

const RUN: u8 = 0;
const INTERRUPT: u8 = 1;
const STOP: u8 = 2;

/// Interrupts a running script from another thread.
#[derive(Debug, Default)]
pub(super) struct Signal {
    state: AtomicU8,
    sleeping: Mutex<()>,
    wake: Condvar,
}

impl Signal {
    /// Clears an earlier interrupt.
    pub(super) fn clear(&self) {
        let _ = self
            .state
            .compare_exchange(INTERRUPT, RUN, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Ends the running script.
    pub(super) fn interrupt(&self) {
        self.state.fetch_max(INTERRUPT, Ordering::Relaxed);
        self.notify();
    }

    /// Ends the running script and all later ones.
    pub(super) fn stop(&self) {
        self.state.store(STOP, Ordering::Relaxed);
        self.notify();
    }

    pub(super) fn is_raised(&self) -> bool {
        self.state.load(Ordering::Relaxed) != RUN
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state.load(Ordering::Relaxed) == STOP
    }

    /// Sleeps until `duration` has passed or the signal is raised.
    pub(super) fn sleep(&self, duration: Duration) {
        let guard = self.sleeping.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self
            .wake
            .wait_timeout_while(guard, duration, |()| !self.is_raised());
    }

    fn notify(&self) {
        // The lock ensures that no thread is between its check of the state and its sleep.
        let _guard = self.sleeping.lock().unwrap_or_else(PoisonError::into_inner);
        self.wake.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn interrupt_can_be_cleared_and_stop_cannot() {
        let signal = Signal::default();
        signal.interrupt();
        assert!(signal.is_raised() && !signal.is_stopped());
        signal.clear();
        assert!(!signal.is_raised());
        signal.stop();
        signal.interrupt();
        signal.clear();
        assert!(signal.is_stopped());
    }

    #[test]
    fn interrupt_ends_sleep() {
        let signal = Arc::new(Signal::default());
        let sleeper = thread::spawn({
            let signal = Arc::clone(&signal);
            move || signal.sleep(Duration::MAX)
        });
        signal.interrupt();
        sleeper.join().unwrap();
    }
}
