//! Invalidation, also during a lookup.

use super::*;

#[tokio::test]
async fn invalidation_removes_matching_identities_only() {
    let backend = Backend::open(accept_all);
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
async fn clear_removes_failures() {
    let backend = Backend::open(refuse_all);
    let cached = cached(&backend, CacheConfig::default().remember_failures(SECOND));
    let alice = Credential::bearer("alice");
    assert_eq!(subject(cached.verify(&alice).await), Err(INVALID));
    backend.set_answer(accept_all);
    assert_eq!(cached.verify_now(&alice).map(subject), Some(Err(INVALID)));
    cached.clear();
    assert_eq!(subject(cached.verify(&alice).await), accepted("alice"));
}

#[tokio::test]
async fn request_after_an_invalidation_joins_no_earlier_lookup() {
    let backend = Backend::gated(accept_all);
    let cached = cached(&backend, CacheConfig::default());
    let alice = Credential::bearer("alice");
    let mut before = Box::pin(cached.verify(&alice));
    assert!(poll_once(before.as_mut()).is_pending());
    while backend.calls() == 0 {
        tokio::task::yield_now().await;
    }

    backend.set_answer(refuse_all);
    cached.invalidate(|identity| identity.subject() == "alice");
    let mut after = Box::pin(cached.verify(&alice));
    assert!(poll_once(after.as_mut()).is_pending());
    backend.release(2);
    assert_eq!(subject(after.await), Err(INVALID));
    assert_eq!(subject(before.await), accepted("alice"));
    assert!(
        cached.verify_now(&alice).is_none(),
        "the earlier result is not cached"
    );
    assert_eq!(backend.calls(), 2);
}

#[test]
fn result_of_verify_now_during_an_invalidation_is_not_cached() {
    // The invalidation happens while the verifier runs.
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
    assert_eq!(
        cached.verify_now(&alice).map(subject),
        Some(accepted("alice"))
    );
    assert!(cached.verify_now(&alice).is_none());
}
