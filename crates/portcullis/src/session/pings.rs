//! Asks the clients of all sockets whether they are there.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{MissedTickBehavior, interval};

use super::evict::{Evict, Pulse};
use super::registry::PARTS;
use super::shared::Shared;
use crate::close::CloseCause;

/// Looks at every socket once in a round, until the last handle is gone. A round is shorter than
/// the time between two pings by a sixteenth, which is for the clock and for the close.
///
/// Each tick is for a part of the sockets. Whoever is behind never makes up for it: a client has
/// the time of a whole round for its answer.
pub(super) async fn ping(shared: Weak<Shared>, every: Duration) {
    let mut ticks = interval(every / TICKS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stuck = Stuck::default();
    for part in (0..PARTS).cycle() {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        // A socket that is polled by a task without budget says that nothing waits.
        unconstrained(async { shared.look(part, &mut stuck) }).await;
    }
}

/// Pings that are not all on their way, and the part that each is of.
#[derive(Default)]
struct Stuck(Vec<(usize, Arc<dyn Evict>)>);

impl Shared {
    fn look(self: &Arc<Self>, part: usize, stuck: &mut Stuck) {
        // Those of the last round are looked at anew.
        stuck
            .0
            .retain(|(of, socket)| *of != part && !unharmed(|| socket.flush()).unwrap_or(true));
        let (mut silent, mut gone) = (Vec::new(), Vec::new());
        for entry in self.registry.part(part) {
            let Some(socket) = entry.socket() else {
                continue;
            };
            match unharmed(|| socket.look()).unwrap_or(Pulse::Gone) {
                Pulse::Fine => {}
                Pulse::Stuck => stuck.0.push((part, socket)),
                Pulse::Silent => silent.push(entry),
                Pulse::Gone => gone.push(entry),
            }
        }
        self.end(silent, &CloseCause::Unresponsive);
        self.end(gone, &CloseCause::Client);
    }
}

/// The socket is not ours. `None` if it panics, which ends its own session and no other one.
fn unharmed<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Sixteen more than a round has, and a sixteenth.
const TICKS: u32 = PARTS as u32 + PARTS as u32 / 15;
