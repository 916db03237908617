use std::str::FromStr;

use clap::Parser;

/// Every way a credential can reach a WebSocket.
// No `Debug`: the address of Redis may hold a password.
#[derive(Parser)]
pub(crate) struct Options {
    /// The port to listen on, on 127.0.0.1; 0 for any that is free.
    #[arg(long, default_value_t = 9000)]
    pub(crate) port: u16,

    /// The port of the second origin; 0 for any that is free.
    #[arg(long, default_value_t = 0)]
    pub(crate) cross_port: u16,

    /// Somebody who may come in: `name=token`, or `name=token:scope,scope`. Repeatable.
    #[arg(
        long = "user",
        value_name = "NAME=TOKEN[:SCOPE,SCOPE]",
        required = true
    )]
    pub(crate) users: Vec<User>,

    /// An origin whose pages may use the cookie, too. Repeatable.
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    pub(crate) allowed_origins: Vec<String>,

    /// End every login this long after its admission. For as long as a session may last, unless
    /// set.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) token_lifetime: Option<u64>,

    /// Share tickets and revocations with other servers through this Redis.
    #[arg(long, value_name = "URL")]
    pub(crate) redis: Option<String>,
}

/// Somebody who may come in.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) token: String,
    pub(crate) scopes: Vec<String>,
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
impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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

        let user: User = "bob=h=unter:2:chat,admin".parse().unwrap();
        assert_eq!((&*user.name, &*user.token), ("bob", "h=unter:2"));
        assert_eq!(user.scopes, ["chat", "admin"]);
        assert!(!format!("{user:?}").contains("unter"));

        for wrong in ["", "alice", "=s3cret", "alice=", "alice=:chat"] {
            assert!(wrong.parse::<User>().is_err(), "{wrong:?}");
        }
    }
}
