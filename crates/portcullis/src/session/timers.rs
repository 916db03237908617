use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::SessionId;

/// When which session wants attention.
///
/// A session that ended stays in here until its time, or until the ended ones are more than the
/// others: then who is left is gone through once.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(u64, SessionId)>>,
}

impl Timers {
    pub(super) fn push(&mut self, time: u64, id: SessionId) {
        self.heap.push(Reverse((time, id)));
    }

    pub(super) fn next(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((time, _))| *time)
    }

    /// Those whose time has come.
    pub(super) fn due(&mut self, now: u64) -> Vec<SessionId> {
        let mut due = Vec::new();
        while self.next().is_some_and(|time| time <= now) {
            due.extend(self.heap.pop().map(|Reverse((_, id))| id));
        }
        due
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(super) fn retain(&mut self, mut lives: impl FnMut(SessionId) -> bool) {
        self.heap.retain(|Reverse((_, id))| lives(*id));
        self.heap.shrink_to(2 * self.heap.len());
    }
}
