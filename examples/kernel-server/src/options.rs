//! The command line.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io};

use axum::http::HeaderValue;
use clap::{Parser, ValueEnum};

use crate::kernel::Choice;

/// A Jupyter-like kernel server.
// No `Debug`: it would print the token.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Options {
    /// The address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) ip: IpAddr,

    /// The port to listen on; 0 selects a free one
    #[arg(long, default_value_t = 8888)]
    pub(crate) port: u16,

    /// The token of the owner; random by default
    #[arg(
        long,
        value_name = "TOKEN",
        env = "JUPYTER_TOKEN",
        hide_env_values = true
    )]
    pub(crate) token: Option<String>,

    /// A file that contains the token; ignored if --token is set
    #[arg(long, value_name = "FILE", env = "JUPYTER_TOKEN_FILE")]
    token_file: Option<PathBuf>,

    /// An origin that may use this server, for example `https://example.org` (repeatable)
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) allow_origin: Vec<HeaderValue>,

    /// How strictly credentials are checked
    #[arg(long, value_enum, default_value_t = Profile::Strict)]
    pub(crate) profile: Profile,

    /// The kernels to offer: `auto`, `embedded`, or the name of the default kernelspec
    #[arg(long, default_value = "auto")]
    pub(crate) kernel: Choice,

    /// A file with the keys that encrypt cookies; created if it does not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) cookie_key_file: Option<PathBuf>,

    /// How long a socket stays open unless its client renews it; a day by default
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) session_lifetime: Option<Duration>,

    /// A Redis through which servers share tickets and revocations, for example
    /// `redis://127.0.0.1:6379`
    #[arg(long, value_name = "URL")]
    pub(crate) redis: Option<String>,

    /// A file to which the server appends a line of JSON for each session that is opened, renewed
    /// or closed, and for each link that is shared or revoked
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_log: Option<PathBuf>,
}

/// How strictly credentials are checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Profile {
    /// Refuse an invalid token even if the request also contains a valid cookie
    Strict,

    /// Decide like Jupyter Server, which accepts a valid cookie next to an invalid token
    Compat,
}

/// The token of the owner.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) secret: String,
    /// Whether the server generated the token and has to print it.
    pub(crate) is_generated: bool,
}

impl Options {
    /// Returns the token of `--token` or `--token-file`, or generates a random one.
    pub(crate) fn token(&self) -> io::Result<Token> {
        let given = match (&self.token, &self.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(file)) => Some(fs::read_to_string(file)?),
            (None, None) => None,
        };
        // Text files usually end with a newline.
        match given.map(|token| token.trim().to_owned()) {
            Some(secret) if secret.is_empty() => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the token is empty; set --token or --token-file to a secret",
            )),
            Some(secret) => Ok(Token {
                secret,
                is_generated: false,
            }),
            None => Ok(Token {
                secret: random_hex()?,
                is_generated: true,
            }),
        }
    }

    /// Returns the values of `--allow-origin` as strings.
    pub(crate) fn origins(&self) -> Result<Vec<String>, axum::http::header::ToStrError> {
        self.allow_origin
            .iter()
            .map(|origin| origin.to_str().map(Into::into))
            .collect()
    }
}

fn seconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    let seconds: NonZeroU32 = text.parse()?;
    Ok(Duration::from_secs(seconds.get().into()))
}

/// Generates 192 random bits, like Jupyter's tokens.
pub(crate) fn random_hex() -> io::Result<String> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn parse(arguments: &[&str]) -> Options {
        Options::parse_from([&["kernel-server"], arguments].concat())
    }

    #[test]
    fn all_options_are_parsed() {
        let options = parse(&[
            "--ip=::1",
            "--port=0",
            "--token=t",
            "--allow-origin=https://a.example",
            "--allow-origin=https://b.example",
            "--profile=compat",
            "--kernel=embedded",
            "--cookie-key-file=keys",
            "--session-lifetime=60",
            "--redis=redis://127.0.0.1",
            "--audit-log=audit.jsonl",
        ]);
        assert!(options.ip.is_ipv6());
        assert_eq!(options.port, 0);
        assert_eq!(options.allow_origin.len(), 2);
        assert_eq!(options.profile, Profile::Compat);
        assert_eq!(options.kernel, Choice::Embedded);
        assert_eq!(options.session_lifetime, Some(Duration::from_secs(60)));
        assert_eq!(options.redis.as_deref(), Some("redis://127.0.0.1"));
        assert_eq!(options.audit_log, Some("audit.jsonl".into()));
    }

    #[test]
    fn generated_tokens_are_long_and_differ() {
        let [a, b] = [parse(&[]), parse(&[])].map(|options| options.token().unwrap());
        assert!(a.is_generated);
        assert_eq!(a.secret.len(), 48);
        assert_ne!(a.secret, b.secret);
    }

    #[test]
    fn whitespace_around_the_token_in_a_file_is_removed() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b" s3cret\r\n").unwrap();
        let path = file.path().to_str().unwrap();
        let token = parse(&["--token-file", path]).token().unwrap();
        assert_eq!(token.secret, "s3cret");
        assert!(!token.is_generated);
    }

    #[test]
    fn empty_token_and_missing_file_are_errors() {
        assert!(parse(&["--token= "]).token().is_err());
        assert!(parse(&["--token-file=/no/such/file"]).token().is_err());
    }
}
