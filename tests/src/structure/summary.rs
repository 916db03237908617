//! Checks the first paragraph of the documentation of an item: rustdoc shows it alone in lists.

use super::words;

/// Returns the reason why a summary does not stand alone.
pub(super) fn fault(documentation: &str) -> Option<String> {
    let lines = documentation.lines().map(str::trim);
    let lines = lines.skip_while(|line| line.is_empty());
    let summary: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    let summary = summary.join(" ");
    let begins = |prefix: &&&str| summary.starts_with(**prefix);
    let found = words::find(&summary, &words::riddles());
    if summary.is_empty() {
        Some("has no summary".to_owned())
    } else if summary.starts_with('#') {
        Some("begins with a heading".to_owned())
    } else if !summary.ends_with(['.', '!', '?']) {
        Some(format!("does not end with a full stop: {summary}"))
    } else if !begins_a_sentence(&summary) {
        Some(format!("does not begin with a capital letter: {summary}"))
    } else if let Some(prefix) = DEPENDENT.iter().find(begins) {
        Some(format!("begins with `{}`: {summary}", prefix.trim()))
    } else if summary.split_whitespace().count() < 3 {
        Some(format!("has fewer than three words: {summary}"))
    } else {
        let word = found.into_iter().next()?;
        Some(format!("contains `{word}`: {summary}"))
    }
}

/// Returns whether the text begins with a capital letter or with code, which can be a link.
fn begins_a_sentence(text: &str) -> bool {
    let mut letters = text.trim_start_matches('[').chars();
    letters
        .next()
        .is_some_and(|first| first == '`' || first.is_uppercase())
}

/// Beginnings that need the documentation of another item to be understood.
const DEPENDENT: &[&str] = &["The same", "One more", "Done", "Its ", "See "];
