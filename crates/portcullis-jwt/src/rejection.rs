use std::fmt::{self, Write as _};

use crate::{JwtError, Key, KeySet};

/// A [`JwtError`] with the values to compare, for the operator's log.
///
/// The values are formatted only if the event is enabled, so that refusing a token stays cheap.
pub(crate) struct Rejection {
    error: JwtError,
    values: Option<Box<Values>>,
}

#[derive(Default)]
struct Values {
    expected: Option<String>,
    found: Option<String>,
}

impl Rejection {
    /// Adds the message of a JSON error, which may quote a value of the token.
    pub(crate) fn of_json(error: JwtError, cause: &serde_json::Error) -> Self {
        match is_logged() {
            true => Self::from(error).found(Quoted(&cause.to_string())),
            false => error.into(),
        }
    }

    /// Adds the configured value.
    pub(crate) fn expected(mut self, value: impl fmt::Display) -> Self {
        if is_logged() {
            self.values.get_or_insert_default().expected = Some(value.to_string());
        }
        self
    }

    /// Adds the value of the token. Strings come from its sender: wrap them in [`Quoted`].
    pub(crate) fn found(mut self, value: impl fmt::Display) -> Self {
        if is_logged() {
            self.values.get_or_insert_default().found = Some(value.to_string());
        }
        self
    }

    /// Writes the DEBUG event, and returns the error without the values.
    pub(crate) fn log(self) -> JwtError {
        let values = self.values.unwrap_or_default();
        tracing::debug!(
            target: "portcullis",
            reason = %self.error,
            expected = values.expected,
            found = values.found,
            "JWT refused"
        );
        self.error
    }
}

impl From<JwtError> for Rejection {
    fn from(error: JwtError) -> Self {
        Self {
            error,
            values: None,
        }
    }
}

fn is_logged() -> bool {
    tracing::enabled!(target: "portcullis", tracing::Level::DEBUG)
}

/// A string from a token: in quotes, control characters escaped, at most [`MAX_SHOWN`] characters.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

const MAX_SHOWN: usize = 100;

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, is_cut) = match self.0.char_indices().nth(MAX_SHOWN) {
            Some((end, _)) => (&self.0[..end], true),
            None => (self.0, false),
        };
        write!(f, "{shown:?}")?;
        match is_cut {
            true => f.write_char('…'),
            false => Ok(()),
        }
    }
}

/// A claim or header member that may be missing.
pub(crate) struct QuotedOrMissing<'a>(pub(crate) Option<&'a str>);

impl fmt::Display for QuotedOrMissing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(text) => Quoted(text).fmt(f),
            None => f.write_str("missing"),
        }
    }
}

/// Strings from a token, separated by commas; at most [`MAX_LISTED`] of them.
pub(crate) struct QuotedList<I>(pub(crate) I);

const MAX_LISTED: usize = 8;

impl<'a, I: Iterator<Item = &'a str> + Clone> fmt::Display for QuotedList<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, self.0.clone().map(Quoted))
    }
}

/// Algorithm and id of a key.
pub(crate) struct KeyName<'a>(pub(crate) &'a Key);

impl fmt::Display for KeyName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(key) = self;
        match key.id() {
            Some(id) => write!(f, "{} with the kid {}", key.algorithm(), Quoted(id)),
            None => write!(f, "{} without a kid", key.algorithm()),
        }
    }
}

/// The names of keys, separated by commas; at most [`MAX_LISTED`] of them.
pub(crate) struct KeyNames<'a>(pub(crate) &'a KeySet);

impl fmt::Display for KeyNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, self.0.iter().map(KeyName))
    }
}

fn list(
    f: &mut fmt::Formatter<'_>,
    mut items: impl Iterator<Item = impl fmt::Display>,
) -> fmt::Result {
    match items.next() {
        Some(first) => first.fmt(f)?,
        None => return f.write_str("none"),
    }
    for item in items.by_ref().take(MAX_LISTED - 1) {
        write!(f, ", {item}")?;
    }
    match items.next() {
        Some(_) => f.write_str(", …"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_strings_are_escaped_and_short() {
        assert_eq!(Quoted("a\"b\n\u{202e}").to_string(), r#""a\"b\n\u{202e}""#);
        let long = Quoted(&"é".repeat(MAX_SHOWN + 1)).to_string();
        assert_eq!(long, format!("\"{}\"…", "é".repeat(MAX_SHOWN)));
        let exact = Quoted(&"é".repeat(MAX_SHOWN)).to_string();
        assert!(exact.ends_with('"'), "{exact}");
    }

    #[test]
    fn lists_are_short() {
        assert_eq!(
            QuotedList(["a", "b"].into_iter()).to_string(),
            r#""a", "b""#
        );
        assert_eq!(QuotedList([].into_iter()).to_string(), "none");
        let many = QuotedList(["a"; 1000].into_iter()).to_string();
        assert!(many.ends_with(", …") && many.len() < 60, "{many}");
    }
}
