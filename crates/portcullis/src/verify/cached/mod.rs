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
use self::lookup::{Joined, Lookup, Lookups, Question};
use self::table::{Entry, Table};

/// A verifier that remembers whom it accepted, for a short time.
///
/// It is for verifiers that ask somebody else, and for those that calculate for long, such as
/// signatures. [`VerifyExt::cached`](super::VerifyExt::cached) makes it. A clone shares what is
/// remembered: keep one to [invalidate](Self::invalidate) it.
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
/// // … and when alice logs out:
/// verifier.invalidate(|identity| identity.subject() == "alice");
/// ```
///
/// # What it promises
///
/// * A hit is answered by [`verify_now`](Verify::verify_now), allocates nothing and copies no
///   identity. What the verifier itself answers at once is remembered as well, and answered at once.
/// * An answer is used for [`time_to_live`](CacheConfig::time_to_live) and never after the
///   identity's own expiry, which every hit compares with the clock.
/// * Only identities are remembered, so a flood of garbage pushes nobody out. Failures are if you
///   [ask for it](CacheConfig::remember_failures), in a room of their own.
/// * A verifier that cannot tell, takes too long or panics is asked again the next time.
/// * Many who bring the same credential at the same time cost one lookup. It goes on if the one
///   who came first hangs up, has a [time limit](CacheConfig::lookup_timeout) of its own, and their
///   [number](CacheConfig::max_lookups) is bounded. If the verifier panics, all who waited do.
/// * The keys are digests of credential, scheme, name and carrier under a random key, so no secret
///   is kept. (The same token in two carriers takes two entries.) Every `Cached` has its own key
///   and its own memory; two verifiers never see each other's answers.
/// * Memory is bounded by [`max_entries`](CacheConfig::max_entries).
///
/// * What is good for one time ([`Identity::is_single_use`]) is not remembered, and a verifier that
///   [looks at the handshake](Verify::needs_handshake) is asked each time.
///
/// # When not to
///
/// * Not around several verifiers of which one looks at the handshake:
///   `any_of((tickets, tokens.cached(…)))`, and not `any_of((tickets, tokens)).cached(…)`, which
///   remembers nothing.
/// * Not around a verifier that decides by something else than the credential, such as the hour.
/// * Not around [`StaticTokens`](crate::StaticTokens) of which there are few: they are as quick.
/// * Not where a revocation that happens elsewhere must be felt sooner than after
///   [`time_to_live`](CacheConfig::time_to_live), unless somebody calls
///   [`invalidate`](Self::invalidate) then.
///
/// # Panics
///
/// What has to be waited for runs as a Tokio task, so [`verify`](Verify::verify) panics outside of
/// a Tokio runtime.
pub struct Cached<V: Verify> {
    shared: Arc<Shared<V>>,
}

struct Shared<V: Verify> {
    verifier: V,
    config: CacheConfig,
    keys: DigestKey,
    identities: Table<Identity>,
    failures: Option<Table<VerifyError>>,
    lookups: Arc<Lookups>,
    /// How often something was invalidated. An answer to a question from before that is not kept.
    epoch: AtomicU64,
}

type Answer = Result<Identity, VerifyError>;

impl<V: Verify> Cached<V> {
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

    /// Forgets the identities for which `is_revoked` says so, such as those of one subject or of one
    /// [token id](Identity::token_id).
    ///
    /// Whoever asks after this returned gets an answer that the verifier was asked for after this
    /// was called: a lookup that is under way is neither joined nor remembered. So take the
    /// credential back at its source first, and then call this.
    ///
    /// It looks at every entry. Sessions that are open already are not closed by it.
    pub fn invalidate(&self, is_revoked: impl Fn(&Identity) -> bool) {
        self.shared.epoch.fetch_add(1, Ordering::SeqCst);
        self.shared.identities.remove_if(is_revoked);
    }

    /// Forgets everything, failures too: after a change of keys, or of the rules.
    pub fn clear(&self) {
        self.invalidate(|_| true);
        if let Some(failures) = &self.shared.failures {
            failures.remove_if(|_| true);
        }
    }
}

impl<V: Verify> Verify for Cached<V> {
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        if self.needs_handshake() {
            return self.shared.verifier.verify(credential).await;
        }
        let key = self.shared.keys.key_of(credential);
        if let Some(answer) = self.shared.answer_now(key, credential) {
            return answer;
        }
        let epoch = self.shared.epoch();
        match self.shared.lookups.join(Question { key, epoch }) {
            Joined::Follows(waiter) => waiter.wait().await,
            Joined::Full => Err(VerifyError::unavailable()),
            Joined::Leads(lookup, waiter) => {
                // A task of its own, so that it goes on for the others if this one hangs up.
                let shared = Arc::clone(&self.shared);
                tokio::spawn(shared.look_up(lookup, credential.clone()));
                waiter.wait().await
            }
        }
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        if self.needs_handshake() {
            return self.shared.verifier.verify_now(credential);
        }
        let key = self.shared.keys.key_of(credential);
        self.shared.answer_now(key, credential)
    }

    fn needs_handshake(&self) -> bool {
        self.shared.verifier.needs_handshake()
    }
}

impl<V: Verify> Shared<V> {
    fn answer_now(&self, key: Key, credential: &Credential) -> Option<Answer> {
        let now = self.config.clock.now();
        if let Some(answer) = self.recall(&key, now) {
            return Some(answer);
        }
        let epoch = self.epoch();
        let answer = self.verifier.verify_now(credential)?;
        self.remember(Question { key, epoch }, now, &answer);
        Some(answer)
    }

    async fn look_up(self: Arc<Self>, lookup: Lookup, credential: Credential) {
        let now = self.config.clock.now();
        let question = lookup.question();
        // Another lookup may have ended between the look into the cache and the start of this one.
        let answer = match self.recall(&question.key, now) {
            Some(answer) => answer,
            None => {
                let verification = self.verifier.verify(&credential);
                let answer = tokio::time::timeout(self.config.lookup_timeout, verification).await;
                let answer = answer.unwrap_or(Err(VerifyError::unavailable()));
                self.remember(question, now, &answer);
                answer
            }
        };
        lookup.answer(answer);
    }

    fn recall(&self, key: &Key, now: SystemTime) -> Option<Answer> {
        if let Some(identity) = self.identities.get(key, now) {
            return Some(Ok(identity));
        }
        let failure = self.failures.as_ref()?.get(key, now)?;
        Some(Err(failure))
    }

    fn remember(&self, question: Question, asked_at: SystemTime, answer: &Answer) {
        let is_current = || self.epoch() == question.epoch;
        match (answer, &self.failures) {
            (Ok(identity), _) if !identity.is_expired(asked_at) && !identity.is_single_use() => {
                let entry = Entry {
                    answer: identity.clone(),
                    asked_at,
                    ends_at: identity.expires_at(),
                };
                self.identities.insert(question.key, entry, is_current);
            }
            (Err(failure @ (VerifyError::Invalid | VerifyError::Expired)), Some(failures)) => {
                let entry = Entry {
                    answer: *failure,
                    asked_at,
                    ends_at: None,
                };
                failures.insert(question.key, entry, is_current);
            }
            _ => {}
        }
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }
}

// Written out, since a derive would ask for `V: Clone`.
impl<V: Verify> Clone for Cached<V> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<V: Verify> fmt::Debug for Cached<V> {
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
