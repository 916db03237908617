use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::StoreError;
use redis::{Cmd, Value};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::address::Address;
use crate::node::Node;
use crate::servers::Servers;

/// A client for a Redis server or cluster. Clones share the connections.
///
/// ```
/// use portcullis_redis::{Redis, RedisTickets};
///
/// let redis = Redis::open("redis://127.0.0.1:6379")?;
/// let tickets = RedisTickets::new(&redis);
/// # Ok::<_, portcullis_redis::ConfigError>(())
/// ```
///
/// # URLs
///
/// | URL | connects to |
/// |---|---|
/// | `redis://host:port`, `redis://user:password@host:port/database` | one server |
/// | `redis+cluster://host:port,host:port`, with `user:password@` in front of the first host | a cluster; name at least one of its servers, and several for availability |
/// | `rediss://…`, `rediss+cluster://…` | the same with TLS; requires the feature `tls` |
/// | `unix:///path` | one server, through a Unix socket |
///
/// `valkey` is an alias of `redis`, and `valkeys` of `rediss`.
///
/// # Connections
///
/// The first command connects, so a program can start while Redis is unavailable. Call
/// [`check`](Self::check) to find out at start. If a connection is lost, the next command opens a
/// new one.
///
/// # Panics
///
/// All asynchronous methods, and those of the stores, panic outside a Tokio runtime.
#[derive(Clone)]
pub struct Redis {
    shared: Arc<Shared>,
}

struct Shared {
    servers: Servers,
    prefix: Box<str>,
    deadline: Duration,
    permits: Semaphore,
}

impl Redis {
    /// Creates a client for the server or cluster at `url`, with the defaults of [`RedisBuilder`].
    ///
    /// It does not connect.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError::Url`] if the [URL](Self#urls) is invalid.
    pub fn open(url: &str) -> Result<Self, ConfigError> {
        Self::builder(url).build()
    }

    /// Starts to build a client with other settings than the defaults.
    pub fn builder(url: &str) -> RedisBuilder {
        RedisBuilder {
            url: url.to_owned(),
            prefix: "portcullis:".to_owned(),
            deadline: Duration::from_secs(1),
            max_commands: 256,
            #[cfg(feature = "tls")]
            root_certificate: None,
        }
    }

    /// Checks that Redis responds and grants access.
    ///
    /// Call it at start if the program should not run without Redis.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::Unavailable`] if Redis does not respond before the deadline, or refuses
    /// access.
    pub async fn check(&self) -> Result<(), StoreError> {
        let key = self.key("check");
        let mut command = redis::cmd("GET");
        command.arg(&key);
        self.send(&key, &[command]).await.map(drop)
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.shared.prefix)
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.shared.deadline
    }

    /// Returns the command that waits until `replicas` have the preceding writes, for three quarters
    /// of the deadline.
    pub(crate) fn wait_for(&self, replicas: usize) -> Cmd {
        let mut wait = redis::cmd("WAIT");
        let limit = self.deadline() * 3 / 4;
        // Zero would wait without a limit.
        wait.arg(replicas).arg(limit.as_millis().max(1) as u64);
        wait
    }

    /// Sends `commands`, which all use `key`. Returns one response for each, none of them an error.
    pub(crate) async fn send(&self, key: &str, commands: &[Cmd]) -> Result<Vec<Value>, StoreError> {
        self.send_within(self.shared.deadline, key, commands).await
    }

    pub(crate) async fn send_within(
        &self,
        limit: Duration,
        key: &str,
        commands: &[Cmd],
    ) -> Result<Vec<Value>, StoreError> {
        let (_, responses) = self.send_to_owner(limit, key, commands).await?;
        Ok(responses)
    }

    /// Sends `commands` like [`send`](Self::send), and also returns the server that owns `key`.
    pub(crate) async fn send_to_owner(
        &self,
        limit: Duration,
        key: &str,
        commands: &[Cmd],
    ) -> Result<(Arc<Node>, Vec<Value>), StoreError> {
        let end = Instant::now() + limit;
        let permit = timeout_at(end, self.shared.permits.acquire());
        let Ok(Ok(_permit)) = permit.await else {
            return Err(StoreError::Unavailable);
        };
        self.shared.servers.send(key, commands, end).await
    }
}

/// Omits the user and the password.
impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("servers", &self.shared.servers)
            .field("prefix", &self.shared.prefix)
            .field("deadline", &self.shared.deadline)
            .finish_non_exhaustive()
    }
}

/// Builds a [`Redis`] client; see [`Redis::builder`].
///
/// ```
/// use std::time::Duration;
/// use portcullis_redis::Redis;
///
/// let redis = Redis::builder("redis+cluster://10.0.0.1:6379,10.0.0.2:6379")
///     .deadline(Duration::from_millis(500))
///     .prefix("chat:")
///     .build()?;
/// # Ok::<_, portcullis_redis::ConfigError>(())
/// ```
#[must_use = "nothing is built before `build`"]
pub struct RedisBuilder {
    url: String,
    prefix: String,
    deadline: Duration,
    max_commands: usize,
    #[cfg(feature = "tls")]
    root_certificate: Option<Vec<u8>>,
}

impl RedisBuilder {
    /// Limits the time for a command: one second by default. It includes connecting and
    /// [waiting](Self::max_commands) for other commands.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = limit;
        self
    }

    /// Sets the prefix of all keys and channels: `portcullis:` by default.
    ///
    /// Deployments that share a Redis server need different prefixes. A prefix with braces is an
    /// error, since a cluster distributes keys by the text in braces.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Limits the number of concurrent commands: 256 by default, at least one. Further commands
    /// wait, at most until their [deadline](Self::deadline).
    pub fn max_commands(mut self, max: usize) -> Self {
        self.max_commands = max.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Trusts only server certificates that are signed by this root certificate, in PEM. By
    /// default, the root certificates of the operating system are trusted.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificate = Some(pem.into());
        self
    }

    /// Builds the client. It does not connect.
    ///
    /// # Errors
    ///
    /// Returns an error if the URL is invalid, if the prefix contains braces, or if the root
    /// certificate is not PEM or the URL does not use TLS.
    pub fn build(self) -> Result<Redis, ConfigError> {
        install_crypto_provider();
        if self.prefix.contains(['{', '}']) {
            return Err(ConfigError::Prefix);
        }
        let address = Address::parse(&self.url)?;
        #[cfg(feature = "tls")]
        let address = match &self.root_certificate {
            Some(pem) => address.trusting(pem)?,
            None => address,
        };
        Ok(Redis {
            shared: Arc::new(Shared {
                // Half of the deadline, so that there is time to try another server of a cluster.
                servers: Servers::new(address, self.deadline / 2)?,
                prefix: self.prefix.into(),
                deadline: self.deadline,
                permits: Semaphore::new(self.max_commands),
            }),
        })
    }
}

/// Omits the URL, which may contain a password.
impl fmt::Debug for RedisBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBuilder")
            .field("prefix", &self.prefix)
            .field("deadline", &self.deadline)
            .field("max_commands", &self.max_commands)
            .finish_non_exhaustive()
    }
}

/// An invalid setting of a client or of a key.
///
/// The message does not repeat the value, which may contain a password.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ConfigError {
    /// The root certificate is not PEM, or the URL does not use TLS.
    Certificate,

    /// The text of a [`VerificationKey`](crate::VerificationKey) is not 32 bytes in unpadded
    /// base64url.
    Key,

    /// The prefix contains braces.
    Prefix,

    /// The URL is invalid; see [`Redis`].
    Url,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => {
                "the root certificate is not PEM, or the URL does not start with rediss"
            }
            Self::Key => {
                "the verification key is not 32 bytes in unpadded base64url: generate one with \
                 `head -c 32 /dev/urandom | basenc --base64url | tr -d =`"
            }
            Self::Prefix => "the prefix contains braces: remove them",
            Self::Url if cfg!(feature = "tls") => {
                "not a Redis URL: use redis://host:port or redis+cluster://host:port,host:port, or \
                 rediss for TLS"
            }
            Self::Url => {
                "not a Redis URL: use redis://host:port or redis+cluster://host:port,host:port \
                 (rediss requires the feature `tls`)"
            }
        })
    }
}

impl Error for ConfigError {}

/// Installs a crypto provider for rustls, which panics without one. A provider that the application
/// has installed stays.
fn install_crypto_provider() {
    #[cfg(feature = "tls")]
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_omits_the_password() {
        let url = "redis+cluster://alice:s3cret@127.0.0.1:1,127.0.0.1:2";
        let builder = Redis::builder(url);
        assert!(!format!("{builder:?}").contains("s3cret"));
        let redis = builder.build().unwrap();
        assert!(!format!("{redis:?}").contains("s3cret"));
        assert!(format!("{redis:?}").contains("127.0.0.1:2"));
    }

    #[test]
    fn invalid_settings_are_refused() {
        assert_eq!(Redis::open("localhost").unwrap_err(), ConfigError::Url);
        let braces = Redis::builder("redis://localhost").prefix("{a}:").build();
        assert_eq!(braces.unwrap_err(), ConfigError::Prefix);
    }
}
