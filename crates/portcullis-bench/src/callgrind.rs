//! Counts instructions and allocations by running this program under callgrind.
//!
//! Only instructions inside of [`measured`] count, so building a request does not. Each row runs with
//! two numbers of rounds, and the difference is divided by the number of additional rounds, so the
//! set-up does not count either.
//!
//! Allocations are the calls of libc's functions in the call graph of callgrind. A counting allocator
//! would add instructions. The call graph also contains calls outside of [`measured`], so both sides
//! of a comparison have to build the same request.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs `work`. Callgrind counts the instructions inside of this function.
///
/// Run `work` a few times outside of it first, to warm up.
#[inline(never)]
pub(crate) fn measured<T>(work: impl FnOnce() -> T) -> T {
    std::hint::black_box(work())
}

/// The cost of one round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
    /// The instructions of each function, without the functions that it calls.
    pub(crate) functions: HashMap<String, f64>,
}

impl Cost {
    /// Subtracts the cost of `other`.
    pub(crate) fn minus(&self, other: &Self) -> Self {
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

/// Returns the cost of one round. The program runs with `arguments` and a number of rounds.
pub(crate) fn count(arguments: &[&str]) -> io::Result<Cost> {
    let few = run(arguments, FEW)?;
    let many = run(arguments, MANY)?;
    let cost = many.minus(&few).divided_by(f64::from(MANY - FEW));
    match cost.instructions > 0.0 {
        true => Ok(cost),
        false => Err(io::Error::other(format!(
            "callgrind counted nothing for {arguments:?}"
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

/// Returns a command that runs callgrind and writes to `profile`. Append the program to run.
pub(crate) fn valgrind(profile: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", profile.display()));
    command
}

/// Names valgrind in the error if it was not found.
pub(crate) fn name_valgrind(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => {
            io::Error::other("valgrind is not installed: install it with your package manager")
        }
        _ => error,
    }
}

/// Reads the cost of a whole run.
pub(crate) fn read(profile: &Path) -> io::Result<Cost> {
    Ok(parse(&std::fs::read_to_string(profile)?))
}

/// Parses a profile (manual of callgrind, chapter "Callgrind Format Specification").
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
            // The line after `calls=` contains the cost of the callee, which counts there.
            if !std::mem::take(&mut is_call) {
                let instructions = line.split(' ').nth(1).map_or(0.0, first_number);
                cost.instructions += instructions;
                *cost.functions.entry(caller.clone()).or_default() += instructions;
            }
        }
    }
    cost
}

/// Resolves a compressed name: `(7) name` defines it, and `(7)` refers to it.
fn resolve(names: &mut HashMap<String, String>, text: &str) -> String {
    match text.split_once(' ') {
        Some((id, name)) => {
            // A recursive function appears once for each depth.
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
    fn profiles_are_parsed() {
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
