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

    /// The port to listen on; 0 takes any that is free
    #[arg(long, default_value_t = 8888)]
    pub(crate) port: u16,

    /// The token that lets people in; a random one by default
    #[arg(
        long,
        value_name = "TOKEN",
        env = "JUPYTER_TOKEN",
        hide_env_values = true
    )]
    pub(crate) token: Option<String>,

    /// A file with the token, where none is given
    #[arg(long, value_name = "FILE", env = "JUPYTER_TOKEN_FILE")]
    token_file: Option<PathBuf>,

    /// An origin whose pages may use this server, such as `https://example.org` (repeatable)
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) allow_origin: Vec<HeaderValue>,

    /// How to treat clients
    #[arg(long, value_enum, default_value_t = Profile::Strict)]
    pub(crate) profile: Profile,

    /// The kernels to offer: `auto`, `embedded`, or the name of the default kernelspec
    #[arg(long, default_value = "auto", value_parser = |name: &str| Ok::<_, String>(Choice::from(name)))]
    pub(crate) kernel: Choice,

    /// A file with the keys that seal cookies; made if it does not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) cookie_key_file: Option<PathBuf>,

    /// How long a socket stays open until its client renews it; without it, a day
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) session_lifetime: Option<Duration>,

    /// The Redis whose tickets and revocations this server shares with others, such as
    /// `redis://127.0.0.1:6379`
    #[arg(long, value_name = "URL")]
    pub(crate) redis: Option<String>,

    /// A file to append a line of JSON to for each session that is opened, renewed or closed, and
    /// for each link that is shared or taken back
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_log: Option<PathBuf>,
}

/// How to treat clients.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Profile {
    /// A bad credential is refused, whatever else the client brings
    Strict,

    /// As Jupyter Server does
    Compat,
}

/// The token, and whether its owner knows it already.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) secret: String,
    pub(crate) is_generated: bool,
}

impl Options {
    /// The token that was given, else the file's, else a random one.
    pub(crate) fn token(&self) -> io::Result<Token> {
        let given = match (&self.token, &self.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(file)) => Some(fs::read_to_string(file)?),
            (None, None) => None,
        };
        // A file ends with a newline that nobody means.
        let given = given.map(|token| token.trim().to_owned());
        match given {
            Some(secret) if secret.is_empty() => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the token is empty: that would let everybody in",
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
}

impl Options {
    /// The origins whose pages may use this server.
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

/// 192 random bits, as Jupyter makes them.
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
    fn the_command_line_says_everything() {
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
    fn a_generated_token_is_long_and_never_the_same() {
        let [a, b] = [parse(&[]), parse(&[])].map(|options| options.token().unwrap());
        assert!(a.is_generated);
        assert_eq!(a.secret.len(), 48);
        assert_ne!(a.secret, b.secret);
    }

    #[test]
    fn a_file_is_trimmed() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b" s3cret\r\n").unwrap();
        let path = file.path().to_str().unwrap();
        let token = parse(&["--token-file", path]).token().unwrap();
        assert_eq!(token.secret, "s3cret");
        assert!(!token.is_generated);
    }

    #[test]
    fn an_empty_token_is_an_error() {
        assert!(parse(&["--token= "]).token().is_err());
        assert!(parse(&["--token-file=/no/such/file"]).token().is_err());
    }
}
