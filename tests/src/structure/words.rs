//! Words that the project does not use in its texts.

/// Returns the pronouns that no text contains.
///
/// The list is in parts, so that this file does not contain them either.
pub(super) fn forbidden() -> Vec<String> {
    let persons = ["no", "some", "every"].map(|quantity| format!("{quantity}body"));
    let others = ["ever", "m"].map(|ending| format!("who{ending}"));
    persons.into_iter().chain(others).collect()
}

/// Returns the pronouns that no summary contains.
pub(super) fn riddles() -> Vec<String> {
    let mut words = forbidden();
    words.push(format!("who{}", "se"));
    words
}

/// Returns those of `words` that `text` contains as whole words, in any case.
pub(super) fn find(text: &str, words: &[String]) -> Vec<String> {
    let text = text.to_lowercase();
    let mut found: Vec<_> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| words.iter().any(|it| it == word))
        .map(str::to_owned)
        .collect();
    found.dedup();
    found
}
