use std::fmt;
use std::str::FromStr;

/// Somebody who may come in, as the command line says it: `name=token`, or
/// `name=token:scope,scope`.
#[non_exhaustive]
#[derive(Clone)]
pub struct User {
    /// Who it is.
    pub name: String,

    /// The secret.
    pub token: String,

    /// What it allows.
    pub scopes: Vec<String>,
}

impl FromStr for User {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = text.split_once('=').ok_or("write it as name=token")?;
        let (token, scopes) = rest.rsplit_once(':').unwrap_or((rest, ""));
        if name.is_empty() || token.is_empty() {
            return Err("neither the name nor the token may be empty".into());
        }
        let scopes = scopes
            .split(',')
            .filter(|scope| !scope.is_empty())
            .map(Into::into)
            .collect();
        Ok(Self {
            name: name.into(),
            token: token.into(),
            scopes,
        })
    }
}

/// Without the token.
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
    fn users_are_written_as_name_and_token() {
        let user: User = "alice=s3cret".parse().unwrap();
        assert_eq!((&*user.name, &*user.token), ("alice", "s3cret"));
        assert!(user.scopes.is_empty());

        let user: User = "bob=h=unter:2:fhircast/*.read,admin".parse().unwrap();
        assert_eq!((&*user.name, &*user.token), ("bob", "h=unter:2"));
        assert_eq!(user.scopes, ["fhircast/*.read", "admin"]);
        assert!(!format!("{user:?}").contains("unter"));

        for wrong in ["", "alice", "=s3cret", "alice=", "alice=:chat"] {
            assert!(wrong.parse::<User>().is_err(), "{wrong:?}");
        }
    }
}
