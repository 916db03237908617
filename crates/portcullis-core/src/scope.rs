use std::fmt;

/// What an identity may do, in words of the application (RFC 6749 §3.3).
///
/// ```
/// use portcullis_core::Scopes;
///
/// let scopes = Scopes::parse("chat:read chat:write");
/// assert!(scopes.contains("chat:read"));
/// assert!(!scopes.contains("chat"));
/// assert_eq!(scopes.to_string(), "chat:read chat:write");
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(transparent)
)]
pub struct Scopes(Box<[Box<str>]>);

impl Scopes {
    /// The scopes of a list separated by spaces, as OAuth writes it.
    pub fn parse(list: &str) -> Self {
        list.split_ascii_whitespace().collect()
    }

    /// Whether `scope` is among them. No scope implies another; there are no wildcards.
    pub fn contains(&self, scope: &str) -> bool {
        self.iter().any(|have| have == scope)
    }

    /// Each scope once, in order of the alphabet.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|scope| &**scope)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<S: Into<Box<str>>> FromIterator<S> for Scopes {
    fn from_iter<I: IntoIterator<Item = S>>(scopes: I) -> Self {
        let mut scopes: Vec<Box<str>> = scopes.into_iter().map(Into::into).collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes.into())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { " " };
            write!(f, "{separator}{scope}")?;
        }
        Ok(())
    }
}
