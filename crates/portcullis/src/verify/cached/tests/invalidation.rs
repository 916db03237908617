//! What is forgotten at once, also while somebody asks.

use super::*;

#[tokio::test]
async fn invalidation_forgets_those_it_means() {
    let backend = Backend::open(knows_everybody);
    let cached = cached(&backend, CacheConfig::default());
    let [alice, bob] = ["alice", "bob"].map(Credential::bearer);
    for credential in [&alice, &bob] {
        assert!(cached.verify(credential).await.is_ok());
    }
    cached.invalidate(|identity| identity.subject() == "alice");
    assert!(cached.verify_now(&alice).is_none());
    assert!(cached.verify_now(&bob).is_some());

    cached.clear();
    assert!(cached.verify_now(&bob).is_none());
}

#[tokio::test]
async fn clearing_forgets_failures() {
    let backend = Backend::open(knows_nobody);
    let cached = cached(&backend, CacheConfig::default().remember_failures(SECOND));
    let alice = Credential::bearer("alice");
    assert_eq!(subject(cached.verify(&alice).await), Err(INVALID));
    backend.say(knows_everybody);
    assert_eq!(cached.verify_now(&alice).map(subject), Some(Err(INVALID)));
    cached.clear();
    assert_eq!(subject(cached.verify(&alice).await), good("alice"));
}

#[tokio::test]
async fn an_answer_from_before_an_invalidation_reaches_nobody_after_it() {
    let backend = Backend::gated(knows_everybody);
    let cached = cached(&backend, CacheConfig::default());
    let alice = Credential::bearer("alice");
    let mut before = Box::pin(cached.verify(&alice));
    assert!(poll_once(before.as_mut()).is_pending());
    while backend.asked() == 0 {
        tokio::task::yield_now().await;
    }

    backend.say(knows_nobody);
    cached.invalidate(|identity| identity.subject() == "alice");
    let mut after = Box::pin(cached.verify(&alice));
    assert!(poll_once(after.as_mut()).is_pending());
    backend.let_out(2);
    assert_eq!(subject(after.await), Err(INVALID));
    assert_eq!(subject(before.await), good("alice"));
    assert!(cached.verify_now(&alice).is_none(), "it was not remembered");
    assert_eq!(backend.asked(), 2);
}

#[test]
fn nor_if_it_is_given_at_once() {
    // The invalidation happens while the verifier thinks.
    struct Revoked(Mutex<Option<Cached<Arc<Self>>>>);

    impl Verify for Revoked {
        async fn verify(&self, _: &Credential) -> Result<Identity, VerifyError> {
            Err(INVALID)
        }

        fn verify_now(&self, _: &Credential) -> Option<Result<Identity, VerifyError>> {
            let cached = self.0.lock().unwrap().take()?;
            cached.invalidate(|_| true);
            Some(Ok(Identity::new("alice")))
        }
    }

    let verifier = Arc::new(Revoked(Mutex::new(None)));
    let cached = Arc::clone(&verifier).cached(CacheConfig::default());
    *verifier.0.lock().unwrap() = Some(cached.clone());
    let alice = Credential::bearer("alice");
    assert_eq!(cached.verify_now(&alice).map(subject), Some(good("alice")));
    assert!(cached.verify_now(&alice).is_none());
}
