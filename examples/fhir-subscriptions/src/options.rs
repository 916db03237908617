use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;

/// FHIR R5 subscriptions over WebSocket, and FHIRcast.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// The port to listen on, on 127.0.0.1; 0 for any that is free.
    #[arg(long, default_value_t = 9100)]
    pub(crate) port: u16,

    /// Somebody who may come in: `name=token`, or `name=token:scope,scope`. Repeatable.
    #[arg(
        long = "user",
        value_name = "NAME=TOKEN[:SCOPE,SCOPE]",
        required = true
    )]
    pub(crate) users: Vec<User>,

    /// How long a binding token is good for, and the longest lease of FHIRcast.
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    pub(crate) token_lifetime: NonZeroU32,

    /// How many notifications may wait for a client that reads slowly, before its socket is closed.
    #[arg(long, value_name = "COUNT", default_value = "256")]
    pub(crate) queue: NonZeroU32,
}

impl Options {
    pub(crate) fn token_lifetime(&self) -> Duration {
        Duration::from_secs(self.token_lifetime.get().into())
    }
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
        let user: User = "bob=h=unter:2:fhircast/*.read,fhircast/*.write"
            .parse()
            .unwrap();
        assert_eq!((&*user.name, &*user.token), ("bob", "h=unter:2"));
        assert_eq!(user.scopes, ["fhircast/*.read", "fhircast/*.write"]);
        assert!(!format!("{user:?}").contains("unter"));
        for wrong in ["", "alice", "=s3cret", "alice=", "alice=:chat"] {
            assert!(wrong.parse::<User>().is_err(), "{wrong:?}");
        }
    }
}
