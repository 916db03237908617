mod config;
mod key;
mod lookup;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use portcullis_core::{Credential, Identity, Verify, VerifyError};

pub use self::config::CacheConfig;
use self::key::{DigestKey, Key};
use self::lookup::{Joined, Lookup, LookupKey, Lookups};
use self::table::{Entry, Table};

/// A verifier with a cache of accepted identities.
///
/// Use it for a verifier that calls another service, or that computes for long, for example
/// signatures. [`VerifyExt::cached`](crate::VerifyExt::cached) creates it. Clones share the cache:
/// keep a clone to [invalidate](Self::invalidate) entries.
///
/// ```
/// use portcullis::{verify::CacheConfig, VerifyExt};
/// use portcullis::{AuthLayer, Credential, Identity, VerifyError};
///
/// # async fn introspect(_: &str) -> Option<String> { None }
/// let verifier = (async |credential: Credential| {
///     match introspect(credential.expose_secret()).await {
///         Some(user) => Ok(Identity::new(user)),
///         None => Err(VerifyError::Invalid),
///     }
/// })
/// .cached(CacheConfig::default());
///
/// let auth = AuthLayer::new(verifier.clone());
/// // When alice logs out:
/// verifier.invalidate(|identity| identity.subject() == "alice");
/// ```
///
/// # Behavior
///
/// * [`verify_now`](Verify::verify_now) returns a cached identity without an allocation. The cached
///   claims are shared, not copied. A result of the verifier's own `verify_now` is cached, too.
/// * An entry is used for [`time_to_live`](CacheConfig::time_to_live), and not after the expiry of
///   its identity. Each use compares the expiry with the clock.
/// * Only identities are cached, so a flood of invalid credentials does not evict them. Failures
///   are cached separately, after [`remember_failures`](CacheConfig::remember_failures).
/// * The result of a verifier that is unavailable, times out or panics is not cached.
/// * Concurrent requests with the same credential share one lookup. It continues if the first
///   client disconnects, has its own [time limit](CacheConfig::lookup_timeout), and the [number of
///   lookups](CacheConfig::max_lookups) is limited. If the verifier panics, all requests that share
///   the lookup panic.
/// * A key is a digest of the secret under a random key, with the scheme, the user name and the
///   carrier. The cache contains no secret. A token in two carriers has two entries. Each `Cached`
///   has its own random key and its own entries.
/// * A [single-use](Identity::is_single_use) identity is not cached. A verifier that
///   [needs the handshake](Verify::needs_handshake) is called for each request.
/// * The memory is limited by [`max_entries`](CacheConfig::max_entries).
///
/// # When not to use it
///
/// * Around several verifiers if one of them needs the handshake. Write
///   `any_of((tokens.cached(…), tickets))`, because `any_of((tokens, tickets)).cached(…)` caches
///   nothing.
/// * Around a verifier that decides by more than the credential, for example by the time of day.
/// * Around a few [`StaticTokens`](crate::StaticTokens), which are as fast as the cache.
/// * If a revocation elsewhere must take effect sooner than
///   [`time_to_live`](CacheConfig::time_to_live), and the application does not call
///   [`invalidate`](Self::invalidate).
///
/// # Panics
///
/// A lookup runs in a Tokio task, so [`verify`](Verify::verify) panics outside of a Tokio runtime.
pub struct Cached<V> {
    shared: Arc<Shared<V>>,
}

struct Shared<V> {
    verifier: V,
    config: CacheConfig,
    keys: DigestKey,
    identities: Table<Identity>,
    failures: Option<Table<VerifyError>>,
    lookups: Arc<Lookups>,
    /// The number of invalidations. The result of a lookup of an earlier epoch is not cached.
    epoch: AtomicU64,
}

type VerifyResult = Result<Identity, VerifyError>;

impl<V> Cached<V> {
    pub(super) fn new(verifier: V, config: CacheConfig) -> Self {
        let failures = |time_to_live| Table::new(config.max_failures, time_to_live);
        Self {
            shared: Arc::new(Shared {
                verifier,
                keys: DigestKey::generate(),
                identities: Table::new(config.max_entries, config.time_to_live),
                failures: config.failures_live.map(failures),
                lookups: Lookups::new(config.max_lookups),
                epoch: AtomicU64::new(0),
                config,
            }),
        }
    }

    /// Removes the identities for which `is_revoked` returns `true`, for example those of a subject
    /// or of a [token id](Identity::token_id).
    ///
    /// A request that comes after this call gets a result that the verifier produced after the
    /// call: it neither joins a running lookup nor gets its result from the cache. So revoke the
    /// credential at its source first, and call this afterwards.
    ///
    /// It visits every entry. It does not close open sessions.
    pub fn invalidate(&self, is_revoked: impl Fn(&Identity) -> bool) {
        self.shared.epoch.fetch_add(1, Ordering::SeqCst);
        self.shared.identities.remove_if(is_revoked);
    }

    /// Removes all entries, including failures, for example after a change of keys or rules.
    pub fn clear(&self) {
        self.invalidate(|_| true);
        if let Some(failures) = &self.shared.failures {
            failures.remove_if(|_| true);
        }
    }
}

impl<V: Verify> Verify for Cached<V> {
    async fn verify(&self, credential: &Credential) -> VerifyResult {
        if self.needs_handshake() {
            return self.shared.verifier.verify(credential).await;
        }
        let key = self.shared.keys.key_of(credential);
        if let Some(result) = self.shared.verify_now(key, credential) {
            return result;
        }
        let epoch = self.shared.epoch();
        match self.shared.lookups.join(LookupKey { key, epoch }) {
            Joined::Existing(waiter) => waiter.wait().await,
            Joined::Full => Err(VerifyError::unavailable()),
            Joined::New(lookup, waiter) => {
                // A task continues for the other requests if this one is dropped.
                let shared = Arc::clone(&self.shared);
                tokio::spawn(shared.look_up(lookup, credential.clone()));
                waiter.wait().await
            }
        }
    }

    fn verify_now(&self, credential: &Credential) -> Option<VerifyResult> {
        if self.needs_handshake() {
            return self.shared.verifier.verify_now(credential);
        }
        let key = self.shared.keys.key_of(credential);
        self.shared.verify_now(key, credential)
    }

    fn needs_handshake(&self) -> bool {
        self.shared.verifier.needs_handshake()
    }
}

impl<V: Verify> Shared<V> {
    /// Returns the cached result, or that of the verifier if it does not have to wait.
    fn verify_now(&self, key: Key, credential: &Credential) -> Option<VerifyResult> {
        let now = self.config.clock.now();
        if let Some(result) = self.get(&key, now) {
            return Some(result);
        }
        let epoch = self.epoch();
        let result = self.verifier.verify_now(credential)?;
        self.insert(LookupKey { key, epoch }, now, &result);
        Some(result)
    }

    async fn look_up(self: Arc<Self>, lookup: Lookup, credential: Credential) {
        let now = self.config.clock.now();
        let LookupKey { key, .. } = lookup.key();
        // Another lookup may have ended after this request searched the cache.
        let result = match self.get(&key, now) {
            Some(result) => result,
            None => {
                let verification = self.verifier.verify(&credential);
                let result = tokio::time::timeout(self.config.lookup_timeout, verification).await;
                let result = result.unwrap_or(Err(VerifyError::unavailable()));
                self.insert(lookup.key(), now, &result);
                result
            }
        };
        lookup.finish(result);
    }
}

impl<V> Shared<V> {
    fn get(&self, key: &Key, now: SystemTime) -> Option<VerifyResult> {
        if let Some(identity) = self.identities.get(key, now) {
            return Some(Ok(identity));
        }
        let failure = self.failures.as_ref()?.get(key, now)?;
        Some(Err(failure))
    }

    fn insert(&self, key: LookupKey, verified_at: SystemTime, result: &VerifyResult) {
        let is_current = || self.epoch() == key.epoch;
        match (result, &self.failures) {
            (Ok(identity), _) if !identity.is_expired(verified_at) && !identity.is_single_use() => {
                let entry = Entry {
                    value: identity.clone(),
                    verified_at,
                    ends_at: identity.expires_at(),
                };
                self.identities.insert(key.key, entry, is_current);
            }
            (Err(failure @ (VerifyError::Invalid | VerifyError::Expired)), Some(failures)) => {
                let entry = Entry {
                    value: *failure,
                    verified_at,
                    ends_at: None,
                };
                failures.insert(key.key, entry, is_current);
            }
            _ => {}
        }
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }
}

// Not derived, because a derive would require `V: Clone`.
impl<V> Clone for Cached<V> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<V> fmt::Debug for Cached<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failures = self.shared.failures.as_ref().map_or(0, Table::len);
        f.debug_struct("Cached")
            .field("config", &self.shared.config)
            .field("identities", &self.shared.identities.len())
            .field("failures", &failures)
            .field("lookups", &self.shared.lookups.len())
            .finish_non_exhaustive()
    }
}
