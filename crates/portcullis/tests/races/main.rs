//! The registry of sessions under many interleavings of concurrent operations.
//!
//! The files of the registry are compiled with shuttle's locks and atomics, which switch to another
//! thread at any step. Each scenario runs 10,000 random schedules and as many with random
//! priorities (PCT), and its assertions must hold in all of them. A registry with a deliberate
//! defect runs the same scenarios, and one of them must fail.

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

use self::scenarios::{Defect, SCENARIOS, Scenario};

fn main() {
    let start = std::time::Instant::now();
    thread::scope(|scope| {
        for half in SCENARIOS.chunks(SCENARIOS.len().div_ceil(2)) {
            scope.spawn(|| half.iter().for_each(explore));
        }
    });

    // The scenarios below panic, so the panic messages are noise.
    std::panic::set_hook(Box::new(|_| {}));
    for (defect, name) in DETECTED_BY {
        let (_, scenario) = SCENARIOS
            .iter()
            .find(|(scenario, _)| scenario == name)
            .expect("every name is a scenario");
        let run = || shuttle::check_pct(scenario.with(*defect), SCHEDULES, DEPTH);
        if catch_unwind(AssertUnwindSafe(run)).is_ok() {
            println!("{name} does not detect {defect:?}");
            std::process::exit(1);
        }
        println!("{name} detects {defect:?}");
    }
    println!("in {:?}", start.elapsed());
}

fn explore((name, scenario): &(&str, Scenario)) {
    shuttle::check_random(scenario.with(Defect::None), SCHEDULES);
    shuttle::check_pct(scenario.with(Defect::None), SCHEDULES, DEPTH);
    println!("{name}: {} schedules", 2 * SCHEDULES);
}

/// The scenario that detects each defect.
const DETECTED_BY: &[(Defect, &str)] = &[
    (Defect::ChecksBeforeRegistering, "admit ‖ revoke"),
    (Defect::ListsBeforeRecording, "admit ‖ revoke"),
    (Defect::LeaksCapacity, "admit and leave ‖ revoke"),
    (Defect::ExpiresRenewedSessions, "renew ‖ expire"),
    (Defect::SkipsChanges, "renew and close ‖ watch"),
];

const SCHEDULES: usize = 10_000;

/// The number of priority changes in a PCT schedule.
const DEPTH: usize = 3;
