mod key;
mod record;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use portcullis_core::{
    ClaimsCodec, ClaimsError, Clock, Credential, Identity, SystemClock, Verify, VerifyError,
};
use redis::{Cmd, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use self::key::Keys;
pub use self::key::VerificationKey;
use crate::Redis;

/// A verifier that shares its results between machines: a credential that one machine has verified
/// is not verified again on the others.
///
/// Use it around verifiers that call another service, such as an introspection endpoint. Add
/// `cached` of portcullis in front of it, which needs no round trip to Redis for credentials that
/// the same machine has seen.
///
/// ```no_run
/// use portcullis_core::{Credential, Identity, VerifyError};
/// use portcullis_redis::{Redis, RedisVerifications, VerificationKey};
///
/// # async fn introspect(_: &str) -> Option<String> { None }
/// # fn build() -> Result<(), Box<dyn std::error::Error>> {
/// let redis = Redis::open("redis://127.0.0.1:6379")?;
/// let key = VerificationKey::parse(&std::env::var("VERIFICATION_KEY")?)?;
/// let introspection = async |credential: Credential| {
///     match introspect(credential.expose_secret()).await {
///         Some(user) => Ok(Identity::new(user)),
///         None => Err(VerifyError::Invalid),
///     }
/// };
/// let verifier = RedisVerifications::new(&redis, introspection, &key, "idp.example.com chat");
/// # Ok(())
/// # }
/// ```
///
/// # Behavior
///
/// * Only identities are stored, for the [time to live](Self::time_to_live) and not beyond their
///   expiry. Refusals and errors of the verifier are not stored.
/// * If Redis is unavailable, slow or full, the verifier is called. The time for Redis is
///   [limited](Self::lookup_limit), and after a failed command no further one is sent for a second.
/// * Redis receives no credential: the key of a result is a keyed digest of the namespace, the
///   credential, its scheme, its user name and its carrier. The identity itself is not encrypted.
/// * A result is authenticated together with its key and its end. An attacker with write access to
///   Redis can delete a result, but not forge, alter, move or extend one.
/// * [Single-use](Identity::is_single_use) identities are not stored, and a verifier that
///   [needs the handshake](Verify::needs_handshake) is called each time.
/// * A verifier that answers by [`verify_now`](Verify::verify_now) does not use Redis.
///
/// Revocations take precedence, since admission checks them after its verifier has returned. A
/// credential that was revoked at its source, without a revocation in portcullis, stays accepted
/// for the time to live.
///
/// # Namespace
///
/// The namespace names the verifier and everything that changes its results, such as issuer,
/// audience or realm. Verifiers that can return different results need different namespaces. If the
/// [claims type](Self::with_claims) changes, stored results do not deserialize, and the verifier is
/// called. If only the meaning of the claims changes, change the namespace, too.
pub struct RedisVerifications<V> {
    redis: Redis,
    verifier: V,
    keys: Keys,
    claims: ClaimsCodec,
    time_to_live: Duration,
    lookup_limit: Duration,
    clock: Arc<dyn Clock>,
    /// Until when no command is sent, after one has failed.
    paused_until: Mutex<Option<Instant>>,
    /// Whether unregistered claims have been logged.
    has_logged_claims: AtomicBool,
}

impl<V> RedisVerifications<V> {
    /// Shares the results of `verifier` under `key` and `namespace`.
    pub fn new(redis: &Redis, verifier: V, key: &VerificationKey, namespace: &str) -> Self {
        Self {
            redis: redis.clone(),
            verifier,
            keys: Keys::new(key, namespace),
            claims: ClaimsCodec::none(),
            time_to_live: Duration::from_secs(10),
            lookup_limit: Duration::from_millis(100),
            clock: Arc::new(SystemClock),
            paused_until: Mutex::new(None),
            has_logged_claims: AtomicBool::new(false),
        }
    }

    /// Registers the type of the claims that `verifier` attaches to identities.
    ///
    /// Results are stored as JSON, so their claims need a type that serde knows. Identities with
    /// claims of another type are not shared: the verifier is called on each machine, and the first
    /// such identity is an ERROR in the log.
    ///
    /// ```
    /// # use portcullis_core::Verify;
    /// # use portcullis_redis::{Redis, RedisVerifications, VerificationKey};
    /// #[derive(serde::Deserialize, serde::Serialize)]
    /// struct Member {
    ///     tenant: u32,
    /// }
    ///
    /// # fn build<V: Verify>(redis: &Redis, verifier: V, key: &VerificationKey) {
    /// let verifier = RedisVerifications::new(redis, verifier, key, "idp.example.com chat")
    ///     .with_claims::<Member>();
    /// # }
    /// ```
    #[must_use]
    pub fn with_claims<T>(mut self) -> Self
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        self.claims = ClaimsCodec::of::<T>();
        self
    }

    /// Sets how long an identity is stored, counted from the call of the verifier: ten seconds by
    /// default.
    ///
    /// A credential that was revoked at its source can stay accepted for this time.
    #[must_use]
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = time;
        self
    }

    /// Limits the time for one command to Redis: 100 milliseconds by default. A verification sends
    /// up to two, to look up the credential and to store the result.
    #[must_use]
    pub fn lookup_limit(mut self, limit: Duration) -> Self {
        self.lookup_limit = limit;
        self
    }

    /// Sets the clock that expiry is checked with. The default is [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    fn key(&self, name: &blake3::Hash) -> String {
        self.redis.key(&format!("verification:{}", name.to_hex()))
    }

    async fn look_up(&self, name: &blake3::Hash) -> Option<Identity> {
        let key = self.key(name);
        let mut command = redis::cmd("GET");
        command.arg(&key);
        match self.send(&key, command).await? {
            Value::BulkString(bytes) => {
                record::decode(&self.keys, self.claims, name, &bytes, self.clock.now())
            }
            _ => None,
        }
    }

    async fn store(&self, name: &blake3::Hash, identity: &Identity, called_at: SystemTime) {
        if identity.is_single_use() {
            return;
        }
        // An end out of range comes from a time to live that makes no sense: store nothing.
        let Some(until) = called_at.checked_add(self.time_to_live) else {
            return;
        };
        let until = identity.expires_at().map_or(until, |end| end.min(until));
        let left = until.duration_since(self.clock.now()).unwrap_or_default();
        let left = u64::try_from(left.as_millis()).unwrap_or(0);
        if left == 0 {
            return;
        }
        let bytes = match record::encode(&self.keys, self.claims, name, identity, until) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return,
            Err(error) => return self.log_claims(&error),
        };
        let key = self.key(name);
        let mut command = redis::cmd("SET");
        command.arg(&key).arg(bytes).arg("PX").arg(left);
        self.send(&key, command).await;
    }

    fn log_claims(&self, error: &ClaimsError) {
        if !self.has_logged_claims.swap(true, Ordering::Relaxed) {
            tracing::error!(target: "portcullis", "verification results are not shared: {error}");
        }
    }

    /// Returns the response, or `None` if there is none or commands are paused.
    async fn send(&self, key: &str, command: Cmd) -> Option<Value> {
        if self.paused_until().is_some_and(|end| Instant::now() < end) {
            return None;
        }
        let commands = [command];
        let responses = self.redis.send_within(self.lookup_limit, key, &commands);
        let response = responses
            .await
            .ok()
            .and_then(|mut responses| responses.pop());
        *self.paused_until.lock().expect(NOT_POISONED) = match response {
            Some(_) => None,
            None => Some(Instant::now() + PAUSE),
        };
        response
    }

    fn paused_until(&self) -> Option<Instant> {
        *self.paused_until.lock().expect(NOT_POISONED)
    }
}

impl<V: Verify> Verify for RedisVerifications<V> {
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        if self.verifier.needs_handshake() {
            return self.verifier.verify(credential).await;
        }
        let name = self.keys.name(credential);
        if let Some(identity) = self.look_up(&name).await {
            return Ok(identity);
        }
        let called_at = self.clock.now();
        let identity = self.verifier.verify(credential).await?;
        self.store(&name, &identity, called_at).await;
        Ok(identity)
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        self.verifier.verify_now(credential)
    }

    fn needs_handshake(&self) -> bool {
        self.verifier.needs_handshake()
    }
}

impl<V> fmt::Debug for RedisVerifications<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisVerifications")
            .field("redis", &self.redis)
            .field("time_to_live", &self.time_to_live)
            .field("lookup_limit", &self.lookup_limit)
            .finish_non_exhaustive()
    }
}

/// How long no command is sent after one has failed.
const PAUSE: Duration = Duration::from_secs(1);
const NOT_POISONED: &str = "no code panics while it holds the lock";
