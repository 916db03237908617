use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use portcullis_core::{Clock, Credential, Identity, Scheme, SystemClock, Verify, VerifyError};
use zeroize::Zeroizing;

use crate::carrier::MAX_CREDENTIAL;

/// Tokens that are known when the server starts: for service accounts, for a server with a handful
/// of users, and for tests.
///
/// ```
/// use portcullis::{verify::StaticToken, StaticTokens};
///
/// let tokens = StaticTokens::new([
///     StaticToken::new("alice", "s3cret")?.scopes(["chat:read", "chat:write"]),
///     StaticToken::new("bob", "hunter2")?,
/// ])?;
/// # Ok::<_, portcullis::verify::StaticTokenError>(())
/// ```
///
/// Only digests are kept, under a random key. A token is compared with every one of them, in
/// constant time, so neither a match nor a length can be told from the time it takes. That is
/// linear work: thousands of tokens belong into a database, behind a verifier of your own.
///
/// A token that came with a name (`Basic`) is accepted only if the name is its subject.
#[derive(Clone)]
pub struct StaticTokens {
    key: [u8; 32],
    tokens: Arc<[Known]>,
    clock: Arc<dyn Clock>,
}

impl StaticTokens {
    /// These tokens, and no others. Pairs of a subject and a token are fine.
    ///
    /// # Errors
    ///
    /// If there is none, if one is empty or longer than 8 KiB, or if two are equal.
    pub fn new<T>(tokens: impl IntoIterator<Item = T>) -> Result<Self, StaticTokenError>
    where
        T: TryInto<StaticToken>,
        StaticTokenError: From<T::Error>,
    {
        let mut key = [0; 32];
        getrandom::fill(&mut key).expect("the operating system gives randomness");
        let mut known: Vec<Known> = Vec::new();
        for token in tokens {
            let StaticToken { secret, identity } = token.try_into()?;
            let digest = blake3::keyed_hash(&key, secret.as_bytes());
            if let Some(other) = known.iter().find(|other| other.digest == digest) {
                let subjects = [other.identity.subject(), identity.subject()].map(Into::into);
                return Err(StaticTokenError::Equal { subjects });
            }
            known.push(Known { digest, identity });
        }
        if known.is_empty() {
            return Err(StaticTokenError::None);
        }
        Ok(Self {
            key,
            tokens: known.into(),
            clock: Arc::new(SystemClock),
        })
    }

    /// Takes the time from `clock` instead of the machine.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    fn find(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        let digest = blake3::keyed_hash(&self.key, credential.expose_secret().as_bytes());
        // `blake3::Hash` compares in constant time, and all are compared, whichever matches.
        let matching = self.tokens.iter().fold(None, |found, known| {
            if known.digest == digest {
                Some(&known.identity)
            } else {
                found
            }
        });
        let identity = matching.ok_or(VerifyError::Invalid)?;
        if credential.scheme() == Scheme::Basic && credential.username() != Some(identity.subject())
        {
            return Err(VerifyError::Invalid);
        }
        match identity.expires_at().is_some() && identity.is_expired(self.clock.now()) {
            true => Err(VerifyError::Expired),
            false => Ok(identity.clone()),
        }
    }
}

impl Verify for StaticTokens {
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        self.find(credential)
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        Some(self.find(credential))
    }
}

impl fmt::Debug for StaticTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subjects = self.tokens.iter().map(|known| known.identity.subject());
        f.debug_list().entries(subjects).finish()
    }
}

/// One token of [`StaticTokens`], and whose it is.
#[derive(Clone)]
pub struct StaticToken {
    secret: Zeroizing<String>,
    identity: Identity,
}

impl StaticToken {
    /// A token of `subject`.
    ///
    /// Make it of at least 128 random bits: `openssl rand -hex 24`.
    ///
    /// # Errors
    ///
    /// If the token is empty or longer than 8 KiB.
    pub fn new(
        subject: impl Into<Box<str>>,
        token: impl Into<String>,
    ) -> Result<Self, StaticTokenError> {
        let (subject, secret) = (subject.into(), Zeroizing::new(token.into()));
        match secret.len() {
            0 => Err(StaticTokenError::Empty { subject }),
            1..=MAX_CREDENTIAL => Ok(Self {
                secret,
                identity: Identity::new(subject),
            }),
            _ => Err(StaticTokenError::TooLong { subject }),
        }
    }

    /// The token in the environment variable `variable`, without the white space around it.
    ///
    /// # Errors
    ///
    /// If the variable is not set, or as for [`new`](Self::new).
    pub fn from_env(
        subject: impl Into<Box<str>>,
        variable: &str,
    ) -> Result<Self, StaticTokenError> {
        let text =
            std::env::var(variable)
                .map(Zeroizing::new)
                .map_err(|_| StaticTokenError::NotSet {
                    variable: variable.into(),
                })?;
        Self::new(subject, text.trim())
    }

    /// The token in the file at `path`, without the white space around it: an editor's last
    /// newline is not a part of it.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or as for [`new`](Self::new).
    pub fn from_file(
        subject: impl Into<Box<str>>,
        path: impl AsRef<Path>,
    ) -> Result<Self, StaticTokenError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map(Zeroizing::new)
            .map_err(|source| StaticTokenError::File {
                path: path.into(),
                source,
            })?;
        Self::new(subject, text.trim())
    }

    /// What the subject may do with this token. Nothing by default.
    #[must_use]
    pub fn scopes<S: Into<Box<str>>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.identity = Identity::builder(self.identity.subject())
            .scopes(scopes)
            .expires_at(self.identity.expires_at())
            .build();
        self
    }

    /// When the token ends. Never by default.
    #[must_use]
    pub fn expires_at(mut self, end: SystemTime) -> Self {
        self.identity = Identity::builder(self.identity.subject())
            .scopes(self.identity.scopes().iter())
            .expires_at(end)
            .build();
        self
    }
}

impl TryFrom<(&str, &str)> for StaticToken {
    type Error = StaticTokenError;

    fn try_from((subject, token): (&str, &str)) -> Result<Self, StaticTokenError> {
        Self::new(subject, token)
    }
}

impl TryFrom<(String, String)> for StaticToken {
    type Error = StaticTokenError;

    fn try_from((subject, token): (String, String)) -> Result<Self, StaticTokenError> {
        Self::new(subject, token)
    }
}

impl fmt::Debug for StaticToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticToken")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// Why there are no [`StaticTokens`].
#[non_exhaustive]
#[derive(Debug)]
pub enum StaticTokenError {
    /// A token is empty. It would let everybody in who sends an empty password.
    Empty {
        /// Whose token it is.
        subject: Box<str>,
    },

    /// Two tokens are equal, so they would not tell who is who.
    Equal {
        /// Whose tokens they are.
        subjects: [Box<str>; 2],
    },

    /// The file cannot be read.
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },

    /// There is no token, so nobody could ever get in.
    None,

    /// The environment variable is not set, or is not UTF-8.
    NotSet {
        /// Its name.
        variable: Box<str>,
    },

    /// A token is longer than any client could send.
    TooLong {
        /// Whose token it is.
        subject: Box<str>,
    },
}

impl fmt::Display for StaticTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { subject } => write!(f, "the token of {subject} is empty"),
            Self::Equal { subjects: [a, b] } => {
                write!(
                    f,
                    "{a} and {b} have the same token; give each one of its own"
                )
            }
            Self::File { path, .. } => {
                write!(f, "the token file {} cannot be read", path.display())
            }
            Self::None => f.write_str("there is no token, so nobody could get in"),
            Self::NotSet { variable } => {
                write!(f, "the environment variable {variable} is not set")
            }
            Self::TooLong { subject } => {
                write!(
                    f,
                    "the token of {subject} is longer than {MAX_CREDENTIAL} bytes"
                )
            }
        }
    }
}

impl std::error::Error for StaticTokenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<std::convert::Infallible> for StaticTokenError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

struct Known {
    digest: blake3::Hash,
    identity: Identity,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn subject_of(tokens: &StaticTokens, credential: &Credential) -> Result<String, VerifyError> {
        let answer = tokens
            .verify_now(credential)
            .expect("static tokens answer at once");
        answer.map(|identity| identity.subject().to_owned())
    }

    #[test]
    fn tells_tokens_apart() {
        let tokens = StaticTokens::new([("alice", "s3cret"), ("bob", "hunter2")]).unwrap();
        let ask = |token: &str| subject_of(&tokens, &Credential::bearer(token));
        assert_eq!(ask("s3cret").as_deref(), Ok("alice"));
        assert_eq!(ask("hunter2").as_deref(), Ok("bob"));
        for wrong in [
            "",
            "s3cre",
            "s3cret ",
            "S3CRET",
            "s3crets3cret",
            "hunter2\0",
        ] {
            assert_eq!(ask(wrong), Err(VerifyError::Invalid), "{wrong:?}");
        }
    }

    #[test]
    fn a_name_has_to_be_the_subject() {
        let tokens = StaticTokens::new([("alice", "s3cret")]).unwrap();
        let ask = |name: &str| subject_of(&tokens, &Credential::basic(name, "s3cret"));
        assert_eq!(ask("alice").as_deref(), Ok("alice"));
        assert_eq!(ask("bob"), Err(VerifyError::Invalid));
        assert_eq!(ask(""), Err(VerifyError::Invalid));
    }

    #[test]
    fn a_token_ends() {
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        let token = StaticToken::new("alice", "s3cret")
            .unwrap()
            .expires_at(end)
            .scopes(["a"]);
        let tokens = StaticTokens::new([token]).unwrap();
        assert_eq!(
            subject_of(&tokens, &Credential::bearer("s3cret")),
            Err(VerifyError::Expired)
        );
    }

    #[test]
    fn what_would_let_everybody_in_is_refused() {
        let none: [(&str, &str); 0] = [];
        assert!(matches!(
            StaticTokens::new(none),
            Err(StaticTokenError::None)
        ));
        assert!(matches!(
            StaticToken::new("a", ""),
            Err(StaticTokenError::Empty { .. })
        ));
        assert!(matches!(
            StaticTokens::new([("a", "x"), ("b", "x")]),
            Err(StaticTokenError::Equal { .. })
        ));
    }

    #[test]
    fn debug_prints_no_token() {
        let tokens = StaticTokens::new([("alice", "s3cret")]).unwrap();
        assert_eq!(format!("{tokens:?}"), r#"["alice"]"#);
        let token = StaticToken::new("alice", "s3cret").unwrap();
        assert!(!format!("{token:?}").contains("s3cret"));
    }
}
