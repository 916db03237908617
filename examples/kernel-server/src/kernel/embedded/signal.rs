use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

const RUN: u8 = 0;
const INTERRUPT: u8 = 1;
const STOP: u8 = 2;

/// Tells a running script to stop, from another thread.
#[derive(Debug, Default)]
pub(super) struct Signal {
    state: AtomicU8,
    sleeping: Mutex<()>,
    wake: Condvar,
}

impl Signal {
    /// Forgets an interrupt that came before.
    pub(super) fn clear(&self) {
        let _ = self
            .state
            .compare_exchange(INTERRUPT, RUN, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Ends the script that runs.
    pub(super) fn interrupt(&self) {
        self.state.fetch_max(INTERRUPT, Ordering::Relaxed);
        self.notify();
    }

    /// Ends the script that runs, and every later one.
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

    /// Sleeps, unless somebody raises the signal.
    pub(super) fn sleep(&self, duration: Duration) {
        let guard = self.sleeping.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self
            .wake
            .wait_timeout_while(guard, duration, |()| !self.is_raised());
    }

    fn notify(&self) {
        // Under the lock, so that nobody is between looking at the state and falling asleep.
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
    fn an_interrupt_ends_one_script_and_a_stop_all() {
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
    fn a_sleeper_is_woken() {
        let signal = Arc::new(Signal::default());
        let sleeper = thread::spawn({
            let signal = Arc::clone(&signal);
            move || signal.sleep(Duration::MAX)
        });
        signal.interrupt();
        sleeper.join().unwrap();
    }
}
