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

/// A Redis server or cluster. A clone is the same one.
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
/// | URL | is |
/// |---|---|
/// | `redis://host:port`, `redis://user:password@host:port/database` | one server |
/// | `redis+cluster://host:port,host:port`, with `user:password@` before the first | a cluster; any of its servers will do, and more than one is better |
/// | `rediss://…`, `rediss+cluster://…` | the same with TLS; needs the feature `tls` |
/// | `unix:///path` | one server on this machine |
///
/// `valkey` does for `redis`, and `valkeys` for `rediss`.
///
/// Nothing connects before the first call, so a server that is away at start keeps nobody from
/// starting; [`check`](Self::check) is for those who want to know. A connection that is lost is
/// made again by the call that needs it.
///
/// # Panics
///
/// Every call panics outside of a Tokio runtime.
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
    /// The server or the cluster at `url`, with the defaults of [`RedisBuilder`].
    ///
    /// # Errors
    ///
    /// If the URL is none.
    pub fn open(url: &str) -> Result<Self, ConfigError> {
        Self::builder(url).build()
    }

    /// The same, with other than the defaults.
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

    /// Whether it answers, for a server that would rather not start without.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if it does not answer in time, or refuses us.
    pub async fn check(&self) -> Result<(), StoreError> {
        let key = self.key("check");
        let mut command = redis::cmd("GET");
        command.arg(&key);
        self.ask(&key, &[command]).await.map(drop)
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.shared.prefix)
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.shared.deadline
    }

    /// Waits until so many replicas have what was written before, for three quarters of the deadline.
    pub(crate) fn wait_for(&self, replicas: usize) -> Cmd {
        let mut wait = redis::cmd("WAIT");
        let limit = self.deadline() * 3 / 4;
        // Zero would be for ever.
        wait.arg(replicas).arg(limit.as_millis().max(1) as u64);
        wait
    }

    /// Sends `commands`, all about `key`, and gets as many answers, none of them an error.
    pub(crate) async fn ask(&self, key: &str, commands: &[Cmd]) -> Result<Vec<Value>, StoreError> {
        self.ask_within(self.shared.deadline, key, commands).await
    }

    pub(crate) async fn ask_within(
        &self,
        limit: Duration,
        key: &str,
        commands: &[Cmd],
    ) -> Result<Vec<Value>, StoreError> {
        let (_, answers) = self.ask_owner(limit, key, commands).await?;
        Ok(answers)
    }

    /// The same, and who has the key.
    pub(crate) async fn ask_owner(
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
        self.shared.servers.ask(key, commands, end).await
    }
}

/// Prints neither the user nor the password.
impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("servers", &self.shared.servers)
            .field("prefix", &self.shared.prefix)
            .field("deadline", &self.shared.deadline)
            .finish_non_exhaustive()
    }
}

/// How to talk to Redis; see [`Redis::builder`].
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
    /// How long a call may take, connecting and waiting for its turn included; one second by
    /// default.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = limit;
        self
    }

    /// What all keys and channels begin with; `portcullis:` by default. Deployments that share a
    /// Redis need one each. Braces mean something to a cluster and are refused.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How many commands may be under way at once; 256 by default, and at least one. Those beyond
    /// wait for their turn.
    pub fn max_commands(mut self, max: usize) -> Self {
        self.max_commands = max.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Trusts the servers that this authority vouches for, and no others; its certificate in PEM.
    /// By default those are trusted that this machine trusts.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificate = Some(pem.into());
        self
    }

    /// Done. It does not connect.
    ///
    /// # Errors
    ///
    /// If the URL is none, the prefix has braces, or the certificate is none or has no use.
    pub fn build(self) -> Result<Redis, ConfigError> {
        install_cryptography();
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
                // Half of the time, so that another server of a cluster can be tried in the other.
                servers: Servers::new(address, self.deadline / 2)?,
                prefix: self.prefix.into(),
                deadline: self.deadline,
                permits: Semaphore::new(self.max_commands),
            }),
        })
    }
}

/// Leaves out the URL, which may have a password.
impl fmt::Debug for RedisBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBuilder")
            .field("prefix", &self.prefix)
            .field("deadline", &self.deadline)
            .field("max_commands", &self.max_commands)
            .finish_non_exhaustive()
    }
}

/// Why there is no [`Redis`]. It does not repeat the URL, which may have a password.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ConfigError {
    /// The certificate is not PEM, or the URL is not one with TLS.
    Certificate,

    /// The key is not 32 bytes in unpadded base64url.
    Key,

    /// The prefix has braces.
    Prefix,

    /// The URL is none that we know; see [`Redis`].
    Url,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => {
                "a root certificate is written in PEM, and is for URLs with rediss"
            }
            Self::Key => {
                "a key is 32 random bytes in unpadded base64url; make one with \
                 `head -c 32 /dev/urandom | basenc --base64url | tr -d =`"
            }
            Self::Prefix => "the prefix of the keys has braces",
            Self::Url if cfg!(feature = "tls") => {
                "not the URL of a Redis: redis://host:port, redis+cluster://host:port,host:port, \
                 or with rediss"
            }
            Self::Url => {
                "not the URL of a Redis: redis://host:port or redis+cluster://host:port,host:port \
                 (rediss needs the feature `tls`)"
            }
        })
    }
}

impl Error for ConfigError {}

/// TLS takes its cryptography from the process, and panics if there is none. A choice that the
/// application has made stays.
fn install_cryptography() {
    #[cfg(feature = "tls")]
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_no_password() {
        let url = "redis+cluster://alice:s3cret@127.0.0.1:1,127.0.0.1:2";
        let builder = Redis::builder(url);
        assert!(!format!("{builder:?}").contains("s3cret"));
        let redis = builder.build().unwrap();
        assert!(!format!("{redis:?}").contains("s3cret"));
        assert!(format!("{redis:?}").contains("127.0.0.1:2"));
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(Redis::open("localhost").unwrap_err(), ConfigError::Url);
        let braces = Redis::builder("redis://localhost").prefix("{a}:").build();
        assert_eq!(braces.unwrap_err(), ConfigError::Prefix);
    }
}
