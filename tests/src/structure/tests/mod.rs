//! Tests of the checks themselves, on small crates.

mod api;
mod imports;
mod texts;

use std::fs;

use tempfile::TempDir;

use super::source::Crate;

/// Writes the files of a crate with the name `sample`, and reads it.
fn sample(files: &[(&str, &str)]) -> (Crate, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder is created");
        fs::write(file, text).expect("a file is written");
    }
    (Crate::read("sample", &folder.path().join("lib.rs")), folder)
}
