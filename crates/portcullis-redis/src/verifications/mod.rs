mod kept;
mod key;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use portcullis_core::{Clock, Credential, Identity, SystemClock, Verify, VerifyError};
use redis::{Cmd, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use self::key::Keys;
pub use self::key::VerificationKey;
use crate::Redis;

/// A verifier whose results all machines share: what one was told, no other has to ask for.
///
/// It is for verifiers that ask somebody else, such as an introspection endpoint. In front of it,
/// `cached` of portcullis answers for the same machine without a way to Redis.
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
/// # What it promises
///
/// * Only identities are kept, for [`time_to_live`](Self::time_to_live) and never after their own
///   expiry. No refusal is, and nothing about a verifier that cannot tell.
/// * Redis never decides. When it is away, slow or full, the verifier is asked, as it would be
///   without. What Redis takes is [bounded](Self::lookup_limit), and after a call that failed it is
///   left alone for a second.
/// * Redis sees no credential: an entry's name is a keyed digest of the namespace, the credential,
///   its scheme, its user name and its carrier. It does see the identity, in clear.
/// * An identity is signed under the key, for its name and its end. Whoever can write to Redis can
///   delete one, but not make one, change one, or keep one for longer.
/// * What is good for one time ([`Identity::is_single_use`]) is not kept, and a verifier that
///   [looks at the handshake](Verify::needs_handshake) is asked each time.
/// * What the verifier answers at once, by [`verify_now`](Verify::verify_now), needs no Redis.
///
/// Revocations beat it: admission looks them up after its verifier has answered, wherever the
/// answer came from. A credential that was taken back at its source, and of which portcullis was
/// not told, is accepted for the time to live.
///
/// # The namespace
///
/// It names the verifier, with everything that changes its answers: issuer, audience, realm. Two
/// verifiers that may answer differently need two. The type of the claims is a part of what is
/// kept, so one that has changed is asked for anew; give a changed *meaning* a new namespace.
pub struct RedisVerifications<V> {
    redis: Redis,
    verifier: V,
    keys: Keys,
    time_to_live: Duration,
    lookup_limit: Duration,
    clock: Arc<dyn Clock>,
    /// Until when Redis is left alone.
    away_until: Mutex<Option<Instant>>,
}

impl<V> RedisVerifications<V> {
    /// Shares what `verifier` answers, under `key` and `namespace`.
    pub fn new(redis: &Redis, verifier: V, key: &VerificationKey, namespace: &str) -> Self {
        Self {
            redis: redis.clone(),
            verifier,
            keys: Keys::new(key, namespace),
            time_to_live: Duration::from_secs(10),
            lookup_limit: Duration::from_millis(100),
            clock: Arc::new(SystemClock),
            away_until: Mutex::new(None),
        }
    }

    /// How long an identity is kept, from when the verifier was asked; ten seconds by default.
    ///
    /// This is also how long a credential that was revoked at its source is still accepted.
    #[must_use]
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = time;
        self
    }

    /// How long one call to Redis may take; 100 milliseconds by default. A verification makes two:
    /// it looks the credential up, and keeps the answer.
    #[must_use]
    pub fn lookup_limit(mut self, limit: Duration) -> Self {
        self.lookup_limit = limit;
        self
    }

    /// Takes the time from `clock` instead of the machine.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    fn key(&self, name: &blake3::Hash) -> String {
        self.redis.key(&format!("verification:{}", name.to_hex()))
    }

    async fn look_up<C: DeserializeOwned>(&self, name: &blake3::Hash) -> Option<Identity<C>> {
        let key = self.key(name);
        let mut command = redis::cmd("GET");
        command.arg(&key);
        match self.ask(&key, command).await? {
            Value::BulkString(sealed) => kept::open(&self.keys, name, &sealed, self.clock.now()),
            _ => None,
        }
    }

    async fn keep<C: Serialize>(
        &self,
        name: &blake3::Hash,
        identity: &Identity<C>,
        asked_at: SystemTime,
    ) {
        if identity.is_single_use() {
            return;
        }
        // No end that a clock can show is one that nobody has to wait for.
        let Some(until) = asked_at.checked_add(self.time_to_live) else {
            return;
        };
        let until = identity.expires_at().map_or(until, |end| end.min(until));
        let left = until.duration_since(self.clock.now()).unwrap_or_default();
        let left = u64::try_from(left.as_millis()).unwrap_or(0);
        if left == 0 {
            return;
        }
        let Some(sealed) = kept::close(&self.keys, name, identity, until) else {
            return;
        };
        let key = self.key(name);
        let mut command = redis::cmd("SET");
        command.arg(&key).arg(sealed).arg("PX").arg(left);
        self.ask(&key, command).await;
    }

    /// The answer; `None` if there is none, or Redis is left alone.
    async fn ask(&self, key: &str, command: Cmd) -> Option<Value> {
        if self.away_until().is_some_and(|end| Instant::now() < end) {
            return None;
        }
        let commands = [command];
        let answers = self.redis.ask_within(self.lookup_limit, key, &commands);
        let answer = answers.await.ok().and_then(|mut answers| answers.pop());
        *self.away_until.lock().expect(NOBODY_PANICS) = match answer {
            Some(_) => None,
            None => Some(Instant::now() + PAUSE),
        };
        answer
    }

    fn away_until(&self) -> Option<Instant> {
        *self.away_until.lock().expect(NOBODY_PANICS)
    }
}

impl<V> Verify for RedisVerifications<V>
where
    V: Verify,
    V::Claims: Serialize + DeserializeOwned,
{
    type Claims = V::Claims;

    async fn verify(&self, credential: &Credential) -> Result<Identity<V::Claims>, VerifyError> {
        if self.verifier.needs_handshake() {
            return self.verifier.verify(credential).await;
        }
        let name = self.keys.name(credential);
        if let Some(identity) = self.look_up(&name).await {
            return Ok(identity);
        }
        let asked_at = self.clock.now();
        let identity = self.verifier.verify(credential).await?;
        self.keep(&name, &identity, asked_at).await;
        Ok(identity)
    }

    fn verify_now(
        &self,
        credential: &Credential,
    ) -> Option<Result<Identity<V::Claims>, VerifyError>> {
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

/// How long Redis is left alone after a call that failed.
const PAUSE: Duration = Duration::from_secs(1);
const NOBODY_PANICS: &str = "nobody panics with the lock";
