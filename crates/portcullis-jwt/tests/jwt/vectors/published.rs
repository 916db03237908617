//! Reads published test vectors at run time, and compares their results with ours.
//!
//! The files are in the folder `PORTCULLIS_VECTORS`, else in `shared/vectors` next to the
//! repository. Without that folder, a suite does not run, and a line on stderr says so.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Valid vectors that the crate refuses. The opposite has no exceptions.
#[derive(Debug)]
pub(super) struct Stricter {
    pub(super) vectors: &'static [&'static str],
    pub(super) reason: &'static str,
}

/// A suite of vectors, and the differences that were found so far.
#[derive(Debug)]
pub(super) struct Suite {
    name: &'static str,
    folder: PathBuf,
    ran: usize,
    /// The valid vectors that are refused.
    refused: BTreeSet<String>,
    /// The invalid vectors that are accepted.
    faults: Vec<String>,
}

impl Suite {
    /// Opens a suite. Returns `None`, and reports it, if there are no published vectors.
    pub(super) fn open(name: &'static str) -> Option<Self> {
        let Some(folder) = folder() else {
            report(&format!("{name}: did not run, set PORTCULLIS_VECTORS"));
            return None;
        };
        Some(Self {
            name,
            folder,
            ran: 0,
            refused: BTreeSet::new(),
            faults: Vec::new(),
        })
    }

    /// Reads a file of the published vectors.
    pub(super) fn read<T: DeserializeOwned>(&self, file: &str) -> T {
        let path = self.folder.join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// Compares the expected result of a vector with ours.
    pub(super) fn compare(&mut self, vector: &str, is_valid: bool, is_accepted: bool) {
        self.ran += 1;
        match (is_valid, is_accepted) {
            (true, true) | (false, false) => {}
            (true, false) => drop(self.refused.insert(vector.to_owned())),
            (false, true) => self.faults.push(vector.to_owned()),
        }
    }

    /// Reports the number of vectors.
    ///
    /// # Panics
    ///
    /// If an invalid vector is accepted, if the valid vectors that are refused are not those of
    /// `stricter`, or if fewer than `minimum` vectors ran.
    pub(super) fn finish(self, minimum: usize, stricter: &[Stricter]) {
        let Self {
            name,
            ran,
            refused,
            faults,
            ..
        } = self;
        let count = refused.len();
        report(&format!(
            "{name}: {ran} ran, {count} of them valid and refused"
        ));
        assert!(
            faults.is_empty(),
            "{name}: invalid and accepted: {faults:?}"
        );
        let listed: BTreeSet<String> = stricter
            .iter()
            .inspect(|difference| assert_ne!(difference.reason, "", "{difference:?}"))
            .flat_map(|difference| difference.vectors)
            .map(ToString::to_string)
            .collect();
        assert_eq!(refused, listed, "{name}: valid and refused, and the list");
        assert!(ran >= minimum, "{name}: {ran} of at least {minimum} ran");
    }
}

fn folder() -> Option<PathBuf> {
    if let Some(folder) = env::var_os("PORTCULLIS_VECTORS") {
        return Some(folder.into());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    folder.is_dir().then_some(folder)
}

/// Writes a line to stderr itself, because the test harness hides `eprintln!` of tests that pass.
fn report(line: &str) {
    let line = format!("published vectors: {line}\n");
    let written = io::stderr().write_all(line.as_bytes());
    written.expect("stderr is open");
}
