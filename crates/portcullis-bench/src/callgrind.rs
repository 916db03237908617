//! Counts instructions and allocations: runs this very binary again under callgrind.
//!
//! Only instructions inside of [`measured`] are counted, so that the making of a request is not in
//! the figure. Each row runs with two numbers of rounds, and the difference counts: so the set-up
//! is not in it either.
//!
//! Callgrind also records who calls whom, so calls of libc's allocation functions are counted
//! without an allocator of our own, which would add instructions to what it counts. It records
//! them outside of [`measured`] too: what makes a request has to be the same on both sides of a
//! comparison.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs `work`, and is what callgrind looks for.
///
/// Before the first instruction of it is counted, `work` has already run a few times elsewhere.
#[inline(never)]
pub(crate) fn measured<T>(work: impl FnOnce() -> T) -> T {
    std::hint::black_box(work())
}

/// What one round of something costs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
    /// Instructions of each function, without those of the functions it calls.
    pub(crate) functions: HashMap<String, f64>,
}

impl Cost {
    /// What this costs more than `other`.
    pub(crate) fn beside(&self, other: &Self) -> Self {
        let mut functions = self.functions.clone();
        for (name, instructions) in &other.functions {
            *functions.entry(name.clone()).or_default() -= instructions;
        }
        Self {
            instructions: self.instructions - other.instructions,
            allocations: self.allocations - other.allocations,
            functions,
        }
    }

    fn divided_by(mut self, rounds: f64) -> Self {
        self.instructions /= rounds;
        self.allocations /= rounds;
        self.functions.values_mut().for_each(|cost| *cost /= rounds);
        self
    }
}

/// What one round costs, of this binary run with `arguments` and a number of rounds.
pub(crate) fn count(arguments: &[&str]) -> io::Result<Cost> {
    let few = run(arguments, FEW)?;
    let many = run(arguments, MANY)?;
    let cost = many.beside(&few).divided_by(f64::from(MANY - FEW));
    match cost.instructions > 0.0 {
        true => Ok(cost),
        false => Err(io::Error::other(format!(
            "callgrind saw none of {arguments:?}"
        ))),
    }
}

const FEW: u32 = 20;
const MANY: u32 = 220;

fn run(arguments: &[&str], rounds: u32) -> io::Result<Cost> {
    let folder = tempfile::tempdir()?;
    let profile = folder.path().join("callgrind.out");
    let output = valgrind(&profile)
        .args([
            "--collect-atstart=no",
            "--toggle-collect=*callgrind*measured*",
        ])
        .arg(std::env::current_exe()?)
        .args(arguments)
        .arg(rounds.to_string())
        .stdin(Stdio::null())
        .output()
        .map_err(name_valgrind)?;
    if !output.status.success() {
        return Err(io::Error::other(format!(
            "{arguments:?} failed under callgrind:\n{}",
            String::from_utf8_lossy(&output.stderr)
        )));
    }
    read(&profile)
}

/// Callgrind, writing to `profile`. What it shall run comes next.
pub(crate) fn valgrind(profile: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", profile.display()));
    command
}

/// Says what was not found.
pub(crate) fn name_valgrind(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => io::Error::other("valgrind is not installed"),
        _ => error,
    }
}

/// What a whole run cost.
pub(crate) fn read(profile: &Path) -> io::Result<Cost> {
    Ok(parse(&std::fs::read_to_string(profile)?))
}

/// Reads callgrind's profile (its manual, chapter "Callgrind Format Specification").
fn parse(profile: &str) -> Cost {
    let mut names = HashMap::new();
    let mut cost = Cost::default();
    let mut caller = String::new();
    let mut callee = String::new();
    let mut is_call = false;
    for line in profile.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            caller = resolve(&mut names, name);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            callee = resolve(&mut names, name);
        } else if let Some(calls) = line.strip_prefix("calls=") {
            is_call = true;
            if is_allocation(&callee) && !is_allocation(&caller) {
                cost.allocations += first_number(calls);
            }
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            // The line after `calls=` has the callee's cost, which is counted where it arises.
            if !std::mem::take(&mut is_call) {
                let instructions = line.split(' ').nth(1).map_or(0.0, first_number);
                cost.instructions += instructions;
                *cost.functions.entry(caller.clone()).or_default() += instructions;
            }
        }
    }
    cost
}

/// `(7) name` names a function for the first time; `(7)` is the same one again.
fn resolve(names: &mut HashMap<String, String>, text: &str) -> String {
    match text.split_once(' ') {
        Some((id, name)) => {
            // A function that calls itself appears once for each depth.
            let name = name.split('\'').next().unwrap_or(name).to_owned();
            names.insert(id.to_owned(), name.clone());
            name
        }
        None => names.get(text).cloned().unwrap_or_default(),
    }
}

fn is_allocation(function: &str) -> bool {
    matches!(
        function,
        "malloc" | "calloc" | "realloc" | "aligned_alloc" | "posix_memalign"
    )
}

fn first_number(text: &str) -> f64 {
    text.split(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_profile() {
        let profile = "events: Ir\n\
            fn=(1) work\n0 70\ncfn=(2) malloc\ncalls=4 0\n0 900\n+3 30\n\
            fn=(2)\n0 800\ncfn=(3) calloc\ncalls=9 0\n0 100\n\
            fn=(3)\n0 100\n";
        let cost = parse(profile);
        assert_eq!(cost.instructions, 1000.0);
        assert_eq!(cost.allocations, 4.0);
        assert_eq!(cost.functions["work"], 100.0);
        assert_eq!(cost.functions["malloc"], 800.0);
    }
}
