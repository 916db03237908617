//! Tests of the book, README and CONTRIBUTING. `cargo test --doc` compiles and runs their Rust code;
//! the unit tests check the table of contents and the links.

/// Declares one module for each file, so that a failure names the file.
macro_rules! book {
    ($($chapter:ident: $file:literal,)*) => {
        #[cfg(doctest)]
        mod chapters {
            $(
                #[doc = include_str!(concat!("../../", $file))]
                mod $chapter {}
            )*
        }

        #[cfg(test)]
        const FILES: &[&str] = &[$($file),*];
    };
}

book! {
    readme: "README.md",
    contributing: "CONTRIBUTING.md",
    architecture: "docs/architecture.md",
    behind_a_proxy: "docs/behind-a-proxy.md",
    benchmarks: "docs/benchmarks.md",
    compatibility: "docs/compatibility.md",
    cors: "docs/cors.md",
    dialects: "docs/dialects.md",
    existing_login: "docs/existing-login.md",
    fhir: "docs/fhir.md",
    getting_started: "docs/getting-started.md",
    jupyter: "docs/jupyter.md",
    kubernetes: "docs/kubernetes.md",
    limits: "docs/limits.md",
    links_and_cookies: "docs/links-and-cookies.md",
    load: "docs/load.md",
    more_than_one_machine: "docs/more-than-one-machine.md",
    order_of_layers: "docs/order-of-layers.md",
    sessions: "docs/sessions.md",
    testing: "docs/testing.md",
    threat_model: "docs/threat-model.md",
    verifiers: "docs/verifiers.md",
    which_carrier: "docs/which-carrier.md",
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::FILES;

    const CONTENTS: &str = "docs/SUMMARY.md";

    #[test]
    fn every_chapter_is_compiled_and_in_the_table_of_contents() {
        let compiled: BTreeSet<_> = FILES.iter().copied().map(String::from).collect();
        let linked: BTreeSet<_> = links(&read(CONTENTS))
            .map(|link| format!("docs/{link}"))
            .collect();
        let chapters = chapters();
        let not_compiled: Vec<_> = chapters.difference(&compiled).collect();
        let not_linked: Vec<_> = chapters.difference(&linked).collect();
        assert_eq!(not_compiled, [""; 0], "missing from the list in this file");
        assert_eq!(not_linked, [""; 0], "missing from {CONTENTS}");
    }

    #[test]
    fn every_link_within_the_repository_has_a_target() {
        let mut count = 0;
        let mut dead = Vec::new();
        for file in FILES.iter().copied().chain([CONTENTS]) {
            let text = read(file);
            for link in links(&text).filter(|link| !link.contains("://")) {
                let (path, heading) = link.split_once('#').unwrap_or((link, ""));
                let target = match path {
                    "" => root().join(file),
                    _ => root().join(file).with_file_name("").join(path),
                };
                let exists = match heading {
                    "" => target.exists(),
                    _ => fs::read_to_string(&target)
                        .is_ok_and(|text| headings(&text).any(|found| found == heading)),
                };
                count += 1;
                if !exists {
                    dead.push(format!("{file}: {link}"));
                }
            }
        }
        assert!(count > FILES.len(), "found only {count} links");
        assert_eq!(dead, [""; 0]);
    }

    /// Returns the Markdown files of `docs/` without the table of contents.
    fn chapters() -> BTreeSet<String> {
        let files = fs::read_dir(root().join("docs")).unwrap();
        files
            .map(|file| format!("docs/{}", file.unwrap().file_name().display()))
            .filter(|file| file.ends_with(".md") && file != CONTENTS)
            .collect()
    }

    /// Returns the targets of the links in a Markdown text, without those in code.
    fn links(text: &str) -> impl Iterator<Item = &str> {
        prose(text).flat_map(|line| {
            let line = line.split('`').step_by(2);
            line.flat_map(|text| text.split("](").skip(1))
                .filter_map(|rest| Some(rest.split_once(')')?.0))
        })
    }

    /// Returns the anchors of the headings.
    fn headings(text: &str) -> impl Iterator<Item = String> {
        let titles = prose(text).filter(|line| line.starts_with('#'));
        titles.map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = |c: char| c.is_alphanumeric() || " -_".contains(c);
            title
                .chars()
                .filter(|&c| kept(c))
                .collect::<String>()
                .replace(' ', "-")
        })
    }

    fn prose(text: &str) -> impl Iterator<Item = &str> {
        let mut in_code = false;
        text.lines().filter(move |line| {
            let is_fence = line.trim_start().starts_with("```");
            in_code ^= is_fence;
            !in_code && !is_fence
        })
    }

    fn read(file: &str) -> String {
        fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }
}
