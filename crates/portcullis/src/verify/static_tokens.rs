use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use portcullis_core::{
    Clock, Credential, Identity, IdentityBuilder, Scheme, SystemClock, Verify, VerifyError,
};
use zeroize::Zeroizing;

use crate::carrier::MAX_CREDENTIAL;

/// A verifier for a fixed list of tokens, for service accounts, small servers and tests.
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
/// It stores only digests of the tokens, under a random key. Every token is compared in constant
/// time, so the response time reveals neither a match nor a length. The time grows with the number
/// of tokens: for thousands of them, use a database and your own verifier.
///
/// A token that comes with a user name (`Basic`) is accepted only if the user name is its subject.
#[derive(Clone)]
pub struct StaticTokens {
    key: [u8; 32],
    tokens: Arc<[StoredToken]>,
    clock: Arc<dyn Clock>,
}

impl StaticTokens {
    /// Creates a verifier that accepts these tokens. A pair of a subject and a token is a
    /// [`StaticToken`], too.
    ///
    /// The result is a `Result`, which is not a verifier. Use `?` to get the verifier:
    ///
    /// ```compile_fail,E0277
    /// use portcullis::{AuthLayer, StaticTokens};
    ///
    /// let auth = AuthLayer::new(StaticTokens::new([("alice", "s3cret")])); // error: add `?`
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if there are no tokens, if a token is empty or longer than 8 KiB, or if two
    /// tokens are equal.
    pub fn new<T>(tokens: impl IntoIterator<Item = T>) -> Result<Self, StaticTokenError>
    where
        T: TryInto<StaticToken>,
        StaticTokenError: From<T::Error>,
    {
        let mut key = [0; 32];
        getrandom::fill(&mut key).expect("the operating system provides random bytes");
        let mut stored: Vec<StoredToken> = Vec::new();
        for token in tokens {
            let StaticToken { secret, identity } = token.try_into()?;
            let digest = blake3::keyed_hash(&key, secret.as_bytes());
            if let Some(other) = stored.iter().find(|other| other.digest == digest) {
                let subjects = [other.identity.subject(), identity.subject()].map(Into::into);
                return Err(StaticTokenError::Equal { subjects });
            }
            stored.push(StoredToken { digest, identity });
        }
        if stored.is_empty() {
            return Err(StaticTokenError::None);
        }
        Ok(Self {
            key,
            tokens: stored.into(),
            clock: Arc::new(SystemClock),
        })
    }

    /// Sets the clock; the system clock by default.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    fn find(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        let digest = blake3::keyed_hash(&self.key, credential.expose_secret().as_bytes());
        // `blake3::Hash` compares in constant time, and the loop compares all tokens.
        let matching = self.tokens.iter().fold(None, |found, stored| {
            if stored.digest == digest {
                Some(&stored.identity)
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
        let subjects = self.tokens.iter().map(|stored| stored.identity.subject());
        f.debug_list().entries(subjects).finish()
    }
}

/// One token of [`StaticTokens`], with its identity.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use portcullis::verify::StaticToken;
///
/// struct Service;
///
/// let day = Duration::from_secs(24 * 60 * 60);
/// let token = StaticToken::new("backup", "s3cret")?
///     .scopes(["files:read"])
///     .claims(Service)
///     .expires_at(SystemTime::now() + 30 * day);
/// # Ok::<_, portcullis::verify::StaticTokenError>(())
/// ```
#[derive(Clone)]
pub struct StaticToken {
    secret: Zeroizing<String>,
    identity: Identity,
}

impl StaticToken {
    /// Creates a token for `subject`.
    ///
    /// Use at least 128 random bits, for example from `openssl rand -hex 24`.
    ///
    /// # Errors
    ///
    /// Returns an error if the token is empty or longer than 8 KiB.
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

    /// Reads the token from the environment variable `variable`. White space around it is ignored.
    ///
    /// # Errors
    ///
    /// Returns an error if the variable is not set, or if the token is empty or longer than 8 KiB.
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

    /// Reads the token from the file at `path`. White space around it is ignored, for example the
    /// newline at the end.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, or if the token is empty or longer than 8 KiB.
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

    /// Sets the scopes of the identity. None by default.
    #[must_use]
    pub fn scopes<S: Into<Box<str>>>(self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.with(|identity| identity.scopes(scopes))
    }

    /// Sets the time at which the token expires. By default it does not expire.
    #[must_use]
    pub fn expires_at(self, end: SystemTime) -> Self {
        self.with(|identity| identity.expires_at(end))
    }

    /// Attaches claims to the identity: a value of any type of the application.
    #[must_use]
    pub fn claims<T: Send + Sync + 'static>(self, claims: T) -> Self {
        self.with(|identity| identity.claims(claims))
    }

    fn with(mut self, change: impl FnOnce(IdentityBuilder) -> IdentityBuilder) -> Self {
        self.identity = change(self.identity.to_builder()).build();
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

/// The error of [`StaticTokens`] and [`StaticToken`].
#[non_exhaustive]
#[derive(Debug)]
pub enum StaticTokenError {
    /// A token is empty. It would accept every client with an empty password.
    Empty {
        /// The subject of the token.
        subject: Box<str>,
    },

    /// Two subjects have the same token, so it does not identify one of them.
    Equal {
        /// The subjects of the tokens.
        subjects: [Box<str>; 2],
    },

    /// The file cannot be read.
    File {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },

    /// The list of tokens is empty, so every client would be refused.
    None,

    /// The environment variable is not set, or is not UTF-8.
    NotSet {
        /// The name of the variable.
        variable: Box<str>,
    },

    /// A token is longer than a request can contain.
    TooLong {
        /// The subject of the token.
        subject: Box<str>,
    },
}

impl fmt::Display for StaticTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { subject } => write!(
                f,
                "the token of `{subject}` is empty; generate one with `openssl rand -hex 24`"
            ),
            Self::Equal { subjects: [a, b] } => write!(
                f,
                "`{a}` and `{b}` have the same token; give each subject its own token"
            ),
            Self::File { path, .. } => {
                write!(f, "the token file {} cannot be read", path.display())
            }
            Self::None => {
                f.write_str("the list of tokens is empty; add a token, or no client is admitted")
            }
            Self::NotSet { variable } => write!(
                f,
                "the environment variable `{variable}` is not set; set it to a token"
            ),
            Self::TooLong { subject } => write!(
                f,
                "the token of `{subject}` is longer than {MAX_CREDENTIAL} bytes; use a shorter one"
            ),
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

/// A token as [`StaticTokens`] stores it.
struct StoredToken {
    digest: blake3::Hash,
    identity: Identity,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn subject_of(tokens: &StaticTokens, credential: &Credential) -> Result<String, VerifyError> {
        let result = tokens
            .verify_now(credential)
            .expect("static tokens never wait");
        result.map(|identity| identity.subject().to_owned())
    }

    #[test]
    fn only_exact_tokens_are_accepted() {
        let tokens = StaticTokens::new([("alice", "s3cret"), ("bob", "hunter2")]).unwrap();
        let verify = |token: &str| subject_of(&tokens, &Credential::bearer(token));
        assert_eq!(verify("s3cret").as_deref(), Ok("alice"));
        assert_eq!(verify("hunter2").as_deref(), Ok("bob"));
        for wrong in [
            "",
            "s3cre",
            "s3cret ",
            "S3CRET",
            "s3crets3cret",
            "hunter2\0",
        ] {
            assert_eq!(verify(wrong), Err(VerifyError::Invalid), "{wrong:?}");
        }
    }

    #[test]
    fn username_has_to_be_the_subject() {
        let tokens = StaticTokens::new([("alice", "s3cret")]).unwrap();
        let verify = |name: &str| subject_of(&tokens, &Credential::basic(name, "s3cret"));
        assert_eq!(verify("alice").as_deref(), Ok("alice"));
        assert_eq!(verify("bob"), Err(VerifyError::Invalid));
        assert_eq!(verify(""), Err(VerifyError::Invalid));
    }

    #[test]
    fn expired_token_is_refused() {
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
    fn scopes_expiry_and_claims_are_independent_of_their_order() {
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        let token = || StaticToken::new("alice", "s3cret").unwrap();
        for token in [
            token().scopes(["a"]).expires_at(end).claims(7_u8),
            token().claims(7_u8).expires_at(end).scopes(["a"]),
        ] {
            let identity = token.identity;
            assert_eq!(identity.scopes().to_string(), "a");
            assert_eq!(identity.expires_at(), Some(end));
            assert_eq!(identity.claims(), Some(&7_u8));
        }
    }

    #[test]
    fn missing_empty_and_equal_tokens_are_errors() {
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
    fn debug_does_not_print_tokens() {
        let tokens = StaticTokens::new([("alice", "s3cret")]).unwrap();
        assert_eq!(format!("{tokens:?}"), r#"["alice"]"#);
        let token = StaticToken::new("alice", "s3cret").unwrap();
        assert!(!format!("{token:?}").contains("s3cret"));
    }
}
