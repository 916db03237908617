use std::fmt;
use std::str::FromStr;

use portcullis::verify::{StaticToken, StaticTokenError};

/// A user from the command line: `name=token` or `name=token:scope,scope`.
///
/// `StaticTokens::new` accepts a list of users.
#[non_exhaustive]
#[derive(Clone)]
pub struct User {
    /// The name, which becomes the subject of the identity.
    pub name: String,

    /// The secret token.
    pub token: String,

    /// The scopes that the token grants.
    pub scopes: Vec<String>,
}

impl FromStr for User {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, rest) = text
            .split_once('=')
            .ok_or("expected `name=token` or `name=token:scope,scope`")?;
        let (token, scopes) = rest.rsplit_once(':').unwrap_or((rest, ""));
        if name.is_empty() || token.is_empty() {
            return Err("the name and the token must not be empty");
        }
        let scopes = scopes.split(',').filter(|scope| !scope.is_empty());
        Ok(Self {
            name: name.into(),
            token: token.into(),
            scopes: scopes.map(Into::into).collect(),
        })
    }
}

impl TryFrom<&User> for StaticToken {
    type Error = StaticTokenError;

    fn try_from(user: &User) -> Result<Self, StaticTokenError> {
        let token = Self::new(user.name.as_str(), user.token.as_str())?;
        Ok(token.scopes(user.scopes.iter().map(String::as_str)))
    }
}

/// Leaves out the token.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_name_a_token_and_optional_scopes() {
        let user: User = "alice=s3cret".parse().unwrap();
        assert_eq!((&*user.name, &*user.token), ("alice", "s3cret"));
        assert!(user.scopes.is_empty());

        let user: User = "bob=h=unter:2:fhircast/*.read,admin".parse().unwrap();
        assert_eq!((&*user.name, &*user.token), ("bob", "h=unter:2"));
        assert_eq!(user.scopes, ["fhircast/*.read", "admin"]);
    }

    #[test]
    fn debug_output_hides_the_token() {
        let user: User = "bob=hunter2:admin".parse().unwrap();
        assert!(!format!("{user:?}").contains("hunter2"));
    }

    #[test]
    fn incomplete_users_are_rejected() {
        for text in ["", "alice", "=s3cret", "alice=", "alice=:chat"] {
            assert!(text.parse::<User>().is_err(), "{text:?}");
        }
    }
}
