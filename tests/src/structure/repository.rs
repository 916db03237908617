//! The checks on this repository.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use super::api::{PublicItem, public_items};
use super::files::{files, length, median};
use super::imports::{Imports, parse_table, replace_table, table};
use super::source::Crate;
use super::{summary, words};

#[test]
fn modules_of_portcullis_form_no_cycle() {
    let cycles = Imports::of(&portcullis()).cycles();
    assert!(
        cycles.is_empty(),
        "cycles of imports:\n{}",
        relative(&cycles.join("\n"))
    );
}

/// `UPDATE_ARCHITECTURE=1 cargo test --package portcullis-e2e --lib architecture` writes the table.
#[test]
fn architecture_lists_the_imports_of_portcullis() {
    let file = "docs/architecture.md";
    let name = "imports of crates/portcullis/src";
    let (text, rows) = (read(file), Imports::of(&portcullis()).rows());
    if env::var_os("UPDATE_ARCHITECTURE").is_some() {
        let updated = replace_table(&text, name, &table(&rows));
        let updated = updated.unwrap_or_else(|error| panic!("{file}: {error}"));
        fs::write(root().join(file), updated).expect("the table is written");
        return;
    }
    let listed = parse_table(&text, name).unwrap_or_else(|error| panic!("{file}: {error}"));
    let command = "UPDATE_ARCHITECTURE=1 cargo test --package portcullis-e2e --lib architecture";
    assert!(
        listed == rows,
        "{file} has other imports than\n\n{}\nto update it: {command}",
        table(&rows)
    );
}

/// `UPDATE_PUBLIC_API=1 cargo test --package portcullis-e2e --lib public_api` writes the files anew.
#[test]
fn public_api_is_as_listed() {
    let mut differences = Vec::new();
    for (package, items) in published() {
        let command = "UPDATE_PUBLIC_API=1 cargo test --package portcullis-e2e --lib public_api";
        let lines = items.iter().map(|item| item.text.as_str());
        let heading = format!("# The public API of {package}. To update this list: {command}");
        let lines: Vec<_> = std::iter::once(heading.as_str()).chain(lines).collect();
        let file = format!("crates/{package}/public-api.txt");
        if env::var_os("UPDATE_PUBLIC_API").is_some() {
            fs::write(root().join(&file), lines.join("\n") + "\n").expect("the list is written");
            continue;
        }
        let listed = fs::read_to_string(root().join(&file)).unwrap_or_default();
        if listed.lines().eq(lines.iter().copied()) {
            continue;
        }
        differences.push(format!("{file}:"));
        let before: BTreeSet<_> = listed.lines().collect();
        let now: BTreeSet<_> = lines.into_iter().collect();
        differences.extend(before.difference(&now).map(|line| format!("- {line}")));
        differences.extend(now.difference(&before).map(|line| format!("+ {line}")));
        differences.push(format!("if this is intended: {command}"));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn every_public_item_has_a_summary_that_stands_alone() {
    let mut faults = Vec::new();
    for (_, items) in published() {
        for item in items {
            let fault = item.documentation.as_deref().and_then(summary::fault);
            faults.extend(fault.map(|fault| format!("{}: {}\n  {fault}", item.place, item.text)));
        }
    }
    assert!(
        faults.is_empty(),
        "{} summaries:\n{}",
        faults.len(),
        relative(&faults.join("\n"))
    );
}

#[test]
fn no_source_file_is_longer_than_600_lines() {
    let crates = files(&root().join("crates"));
    let sources = crates.iter().filter(|file| is_source(file));
    let long: Vec<_> = sources
        .map(|file| (length(file), shown(file)))
        .filter(|(lines, _)| *lines > 600)
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn half_of_the_files_of_portcullis_have_at_most_200_lines() {
    let files = files(&root().join("crates/portcullis/src"));
    let lengths = files
        .iter()
        .filter(|file| is_source(file))
        .map(|file| length(file));
    assert!(median(lengths.clone().collect()) <= 200, "{lengths:?}");
}

/// Files of tests alone do not count.
#[test]
fn session_has_at_most_16_files() {
    let krate = portcullis();
    let modules = krate.modules.iter();
    let session = modules.filter(|module| module.path.first().is_some_and(|it| it == "session"));
    let files: BTreeSet<_> = session.map(|module| shown(&module.file)).collect();
    assert!(
        !files.is_empty() && files.len() <= 16,
        "{} files: {files:#?}",
        files.len()
    );
}

#[test]
fn no_text_contains_a_forbidden_pronoun() {
    let mut places = Vec::new();
    let folders = ["crates", "examples", "tests", "docs"].map(|name| files(&root().join(name)));
    let single = ["README.md", "CHANGELOG.md"].map(|name| root().join(name));
    for file in folders.into_iter().flatten().chain(single) {
        // Pictures and fonts are no text.
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        for (line, text) in text.lines().enumerate() {
            let found = words::find(text, &words::forbidden());
            places.extend(
                found
                    .iter()
                    .map(|it| format!("{}:{}: {it}", shown(&file), line + 1)),
            );
        }
    }
    assert!(
        places.is_empty(),
        "{} places:\n{}",
        places.len(),
        places.join("\n")
    );
}

fn portcullis() -> Crate {
    Crate::read("portcullis", &root().join("crates/portcullis/src/lib.rs"))
}

/// Returns the packages below `crates/` that are published, and their public items.
fn published() -> Vec<(String, Vec<PublicItem>)> {
    let folders = fs::read_dir(root().join("crates")).expect("the folder of the crates");
    let mut packages: Vec<_> = folders
        .map(|folder| folder.expect("a crate").path())
        .filter(|folder| {
            let manifest = fs::read_to_string(folder.join("Cargo.toml"));
            manifest.is_ok_and(|text| !text.contains("publish = false"))
        })
        .map(|folder| {
            let package = folder.file_name().expect("a name").display().to_string();
            let krate = Crate::read(&package.replace('-', "_"), &folder.join("src/lib.rs"));
            (package, public_items(&krate))
        })
        .collect();
    packages.sort_by(|one, other| one.0.cmp(&other.0));
    assert!(packages.len() > 3, "found only {} packages", packages.len());
    packages
}

fn is_source(file: &Path) -> bool {
    let is_rust = file.extension().is_some_and(|it| it == "rs");
    is_rust && file.components().any(|part| part.as_os_str() == "src")
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Makes the paths in a text begin at the root of the repository.
fn relative(text: &str) -> String {
    text.replace(&format!("{}/", root().display()), "")
}

/// Returns the path of a file from the root of the repository.
fn shown(file: &Path) -> String {
    file.strip_prefix(root())
        .unwrap_or(file)
        .display()
        .to_string()
}

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("the tests are in a folder of the repository")
        .to_path_buf()
}
