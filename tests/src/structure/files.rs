//! The files of the repository.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the files below a folder, in order, without licences and files that tools generate.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(folder, &mut found);
    found.sort_unstable();
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries {
        let path = entry.expect("an entry of the folder").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.is_dir() && !GENERATED_FOLDERS.contains(&name) {
            collect(&path, found);
        } else if path.is_file() && !SKIPPED_FILES.contains(&name) {
            found.push(path);
        }
    }
}

/// Returns the number of lines of a file.
pub(super) fn length(file: &Path) -> usize {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    text.lines().count()
}

/// Returns the median. Of an even number of values it is the larger one in the middle.
pub(super) fn median(mut values: Vec<usize>) -> usize {
    values.sort_unstable();
    values[values.len() / 2]
}

const GENERATED_FOLDERS: &[&str] = &["target", "node_modules", "__pycache__", "book"];
const SKIPPED_FILES: &[&str] = &[
    "Cargo.lock",
    "package-lock.json",
    "LICENSE-APACHE",
    "LICENSE-MIT",
];
