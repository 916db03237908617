use std::fmt;

/// The scopes of an identity: what it may do, in names of the application (RFC 6749 §3.3).
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
    /// Parses a list of scopes that are separated by spaces, as in OAuth.
    pub fn parse(list: &str) -> Self {
        list.split_ascii_whitespace().collect()
    }

    /// Returns whether `scope` is in the list. There are no wildcards, and no scope implies another.
    pub fn contains(&self, scope: &str) -> bool {
        self.iter().any(|have| have == scope)
    }

    /// Returns each scope once, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|scope| &**scope)
    }

    /// Returns whether the list is empty.
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
