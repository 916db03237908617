//! Binding tokens: what `$get-ws-binding-token` hands out and `bind-with-token` brings back.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::{Credential, Identity, Verify, VerifyError};

/// How many tokens are good at a time.
const MAX: usize = 50_000;

/// The tokens that are good. A copy has the same.
///
/// The table knows a token by its digest and by its name. The token itself is known to its client
/// alone.
#[derive(Clone)]
pub(crate) struct BindingTokens {
    tables: Arc<Mutex<Tables>>,
    lifetime: Duration,
}

/// What a token allows.
#[derive(Debug)]
pub(crate) struct Grant {
    /// The token's name. It is no secret.
    pub(crate) token_id: String,
    pub(crate) subject: String,
    pub(crate) subscriptions: Vec<String>,
    pub(crate) expires_at: SystemTime,
}

#[derive(Default)]
struct Tables {
    by_digest: HashMap<blake3::Hash, Arc<Grant>>,
    by_id: HashMap<String, Arc<Grant>>,
}

/// No token can be made.
#[derive(Debug)]
pub(crate) struct NoToken;

impl BindingTokens {
    /// Each of them is good for so long.
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self {
            tables: Arc::default(),
            lifetime,
        }
    }

    /// A new token for some of somebody's subscriptions.
    pub(crate) fn mint(
        &self,
        subject: &str,
        subscriptions: Vec<String>,
    ) -> Result<(String, Arc<Grant>), NoToken> {
        let token = random().ok_or(NoToken)?;
        let now = SystemTime::now();
        let grant = Arc::new(Grant {
            token_id: uuid::Uuid::new_v4().to_string(),
            subject: subject.to_owned(),
            subscriptions,
            expires_at: now + self.lifetime,
        });
        let mut tables = self.lock();
        if tables.by_id.len() >= MAX {
            tables.forget_expired(now);
        }
        if tables.by_id.len() >= MAX {
            return Err(NoToken);
        }
        let digest = blake3::hash(token.as_bytes());
        tables.by_digest.insert(digest, Arc::clone(&grant));
        let id = grant.token_id.clone();
        tables.by_id.insert(id, Arc::clone(&grant));
        Ok((token, grant))
    }

    /// What the token of this name allows.
    pub(crate) fn grant(&self, token_id: &str) -> Option<Arc<Grant>> {
        self.lock().by_id.get(token_id).cloned()
    }

    fn look_up(&self, token: &str) -> Result<Identity, VerifyError> {
        let found = self
            .lock()
            .by_digest
            .get(&blake3::hash(token.as_bytes()))
            .cloned();
        let grant = found.ok_or(VerifyError::Invalid)?;
        if grant.expires_at <= SystemTime::now() {
            return Err(VerifyError::Expired);
        }
        Ok(Identity::builder(&*grant.subject)
            .token_id(&*grant.token_id)
            .expires_at(grant.expires_at)
            .build())
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        // Nothing panics while it is held.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn forget_expired(&mut self, now: SystemTime) {
        self.by_digest.retain(|_, grant| grant.expires_at > now);
        self.by_id.retain(|_, grant| grant.expires_at > now);
    }
}

impl Verify for BindingTokens {
    type Claims = ();

    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        self.look_up(credential.expose_secret())
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        Some(self.look_up(credential.expose_secret()))
    }
}

/// Without the digests.
impl fmt::Debug for BindingTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BindingTokens")
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// 256 random bits, fit for an address; `None` if the machine has none.
pub(crate) fn random() -> Option<String> {
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
    fn a_token_names_its_subject_and_its_grant() {
        let tokens = BindingTokens::new(Duration::from_secs(60));
        let (token, grant) = tokens.mint("alice", vec!["1".into()]).unwrap();
        let identity = verify(&tokens, &token).unwrap();
        assert_eq!(identity.subject(), "alice");
        assert_eq!(identity.expires_at(), Some(grant.expires_at));
        let id = identity.token_id().unwrap();
        assert_eq!(tokens.grant(id).unwrap().subscriptions, ["1"]);
        // Its name does not open anything, and it has no name like itself.
        assert!(matches!(verify(&tokens, id), Err(VerifyError::Invalid)));
        assert!(tokens.grant(&token).is_none());
        assert!(!format!("{tokens:?} {grant:?}").contains(&token));
    }

    #[test]
    fn a_token_ends() {
        let tokens = BindingTokens::new(Duration::ZERO);
        let (token, _) = tokens.mint("alice", Vec::new()).unwrap();
        assert!(matches!(verify(&tokens, &token), Err(VerifyError::Expired)));
    }
}
