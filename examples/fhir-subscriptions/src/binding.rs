//! Binding tokens: `$get-ws-binding-token` issues them, and `bind-with-token` presents them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::{Credential, Identity, Verify, VerifyError};

/// The maximum number of valid tokens.
const MAX_TOKENS: usize = 50_000;

/// The valid binding tokens.
///
/// The server stores the digest of a token, and an id that is not secret. Clones share their
/// tokens.
#[derive(Clone)]
pub(crate) struct BindingTokens {
    tables: Arc<Mutex<Tables>>,
    lifetime: Duration,
}

/// The permissions of a binding token.
#[derive(Debug)]
pub(crate) struct Binding {
    /// The id of the token, which is not secret.
    pub(crate) token_id: String,
    pub(crate) subject: String,
    pub(crate) subscriptions: Vec<String>,
    pub(crate) expires_at: SystemTime,
}

#[derive(Default)]
struct Tables {
    by_digest: HashMap<blake3::Hash, Arc<Binding>>,
    by_id: HashMap<String, Arc<Binding>>,
}

/// No token can be issued: there are too many, or the system has no randomness.
#[derive(Debug)]
pub(crate) struct IssueError;

impl BindingTokens {
    /// Creates an empty set of tokens, each of which expires after `lifetime`.
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self {
            tables: Arc::default(),
            lifetime,
        }
    }

    /// Issues a token for subscriptions of `subject`.
    pub(crate) fn issue(
        &self,
        subject: &str,
        subscriptions: Vec<String>,
    ) -> Result<(String, Arc<Binding>), IssueError> {
        let token = random_token().ok_or(IssueError)?;
        let now = SystemTime::now();
        let binding = Arc::new(Binding {
            token_id: uuid::Uuid::new_v4().to_string(),
            subject: subject.to_owned(),
            subscriptions,
            expires_at: now + self.lifetime,
        });
        let mut tables = self.lock();
        if tables.by_id.len() >= MAX_TOKENS {
            tables.remove_expired(now);
        }
        if tables.by_id.len() >= MAX_TOKENS {
            return Err(IssueError);
        }
        let digest = blake3::hash(token.as_bytes());
        tables.by_digest.insert(digest, Arc::clone(&binding));
        let id = binding.token_id.clone();
        tables.by_id.insert(id, Arc::clone(&binding));
        Ok((token, binding))
    }

    /// Returns the permissions of the token with this id.
    pub(crate) fn find(&self, token_id: &str) -> Option<Arc<Binding>> {
        self.lock().by_id.get(token_id).cloned()
    }

    fn identify(&self, token: &str) -> Result<Identity, VerifyError> {
        let digest = blake3::hash(token.as_bytes());
        let binding = self.lock().by_digest.get(&digest).cloned();
        let binding = binding.ok_or(VerifyError::Invalid)?;
        if binding.expires_at <= SystemTime::now() {
            return Err(VerifyError::Expired);
        }
        Ok(Identity::builder(&*binding.subject)
            .token_id(&*binding.token_id)
            .expires_at(binding.expires_at)
            .build())
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        // No code panics while it holds the lock.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn remove_expired(&mut self, now: SystemTime) {
        self.by_digest.retain(|_, binding| binding.expires_at > now);
        self.by_id.retain(|_, binding| binding.expires_at > now);
    }
}

impl Verify for BindingTokens {
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        self.identify(credential.expose_secret())
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        Some(self.identify(credential.expose_secret()))
    }
}

/// Leaves out the digests.
impl fmt::Debug for BindingTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BindingTokens")
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// Returns 256 random bits in the URL-safe alphabet, or `None` if the system has no randomness.
pub(crate) fn random_token() -> Option<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verify(tokens: &BindingTokens, token: &str) -> Result<Identity, VerifyError> {
        tokens.verify_now(&Credential::bearer(token)).unwrap()
    }

    #[test]
    fn a_token_identifies_its_subject_and_its_subscriptions() {
        let tokens = BindingTokens::new(Duration::from_secs(60));
        let (token, binding) = tokens.issue("alice", vec!["1".into()]).unwrap();
        let identity = verify(&tokens, &token).unwrap();
        assert_eq!(identity.subject(), "alice");
        assert_eq!(identity.expires_at(), Some(binding.expires_at));
        let id = identity.token_id().unwrap();
        assert_eq!(tokens.find(id).unwrap().subscriptions, ["1"]);
    }

    #[test]
    fn the_id_of_a_token_is_not_a_credential() {
        let tokens = BindingTokens::new(Duration::from_secs(60));
        let (token, binding) = tokens.issue("alice", Vec::new()).unwrap();
        let verified = verify(&tokens, &binding.token_id);
        assert!(matches!(verified, Err(VerifyError::Invalid)));
        assert!(tokens.find(&token).is_none());
        assert!(!format!("{tokens:?} {binding:?}").contains(&token));
    }

    #[test]
    fn an_expired_token_is_refused() {
        let tokens = BindingTokens::new(Duration::ZERO);
        let (token, _) = tokens.issue("alice", Vec::new()).unwrap();
        assert!(matches!(verify(&tokens, &token), Err(VerifyError::Expired)));
    }
}
