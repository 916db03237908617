//! The registry of sessions under every order of events that chance and priorities can think of.
//!
//! The files of the registry are taken in as they are, over locks and atomics that let another
//! thread go first at every step. Each scenario runs 10,000 random schedules and as many by priority
//! (PCT), and has to hold in all of them. A registry that is naive in one way runs the same
//! scenarios, and has to be caught.

#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "a part of the library's own module"
)]
#[path = "../../src/close.rs"]
mod close;
mod scenarios;
mod session;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use self::scenarios::{Naive, SCENARIOS, Scenario};

fn main() {
    let start = std::time::Instant::now();
    thread::scope(|scope| {
        for some in SCENARIOS.chunks(SCENARIOS.len().div_ceil(2)) {
            scope.spawn(|| some.iter().for_each(explore));
        }
    });

    // What follows panics, on purpose.
    std::panic::set_hook(Box::new(|_| {}));
    for (naive, name) in CAUGHT_BY {
        let (_, scenario) = SCENARIOS
            .iter()
            .find(|(own, _)| own == name)
            .expect("it is one");
        let run = || shuttle::check_pct(scenario.clone_for(*naive), SCHEDULES, DEPTH);
        if catch_unwind(AssertUnwindSafe(run)).is_ok() {
            println!("{name} does not catch {naive:?}");
            std::process::exit(1);
        }
        println!("{name} catches {naive:?}");
    }
    println!("in {:?}", start.elapsed());
}

fn explore((name, scenario): &(&str, Scenario)) {
    shuttle::check_random(scenario.clone_for(Naive::Nowhere), SCHEDULES);
    shuttle::check_pct(scenario.clone_for(Naive::Nowhere), SCHEDULES, DEPTH);
    println!("{name}: {} schedules", 2 * SCHEDULES);
}

/// Which scenario each naive registry fails in.
const CAUGHT_BY: &[(Naive, &str)] = &[
    (Naive::ChecksFirst, "admit ‖ revoke"),
    (Naive::LooksFirst, "admit ‖ revoke"),
    (Naive::ForgetsThePlace, "admit and leave ‖ revoke"),
    (Naive::ExpiresBlindly, "renew ‖ expire"),
    (Naive::Forgets, "renew and close ‖ watch"),
];

const SCHEDULES: usize = 10_000;

/// How many times PCT changes a priority.
const DEPTH: usize = 3;
