//! Requests with the same credential share one lookup.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::task::JoinHandle;

use super::*;

#[tokio::test]
async fn thousand_concurrent_requests_share_one_lookup() {
    let backend = Backend::gated(accept_all);
    let cached = cached(&backend, CacheConfig::default());
    let alice = Credential::bearer("alice");
    let mut waiting: Vec<_> = (0..1_000)
        .map(|_| Box::pin(cached.verify(&alice)))
        .collect();
    for verification in &mut waiting {
        assert!(poll_once(verification.as_mut()).is_pending());
    }
    assert_eq!(cached.shared.lookups.len(), 1);

    backend.release(1);
    for verification in waiting {
        assert_eq!(subject(verification.await), accepted("alice"));
    }
    assert_eq!(backend.calls(), 1);
    assert_eq!(cached.shared.lookups.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousand_requests_on_several_threads_share_one_lookup() {
    for _ in 0..20 {
        let backend = Backend::open(accept_all);
        let cached = cached(&backend, CacheConfig::default());
        for verification in verify_alice(&cached, 1_000) {
            assert_eq!(subject(verification.await.unwrap()), accepted("alice"));
        }
        assert_eq!(backend.calls(), 1);
    }
}

#[tokio::test]
async fn lookup_checks_the_cache_again_before_it_calls_the_verifier() {
    // Another lookup ends after this request searched the cache and before its lookup starts.
    struct Overtaken(Mutex<Option<Cached<Arc<Self>>>>);

    impl Verify for Overtaken {
        async fn verify(&self, _: &Credential) -> Result<Identity, VerifyError> {
            Err(INVALID)
        }

        fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
            let Cached { shared } = self.0.lock().unwrap().take()?;
            let (key, epoch) = (shared.keys.key_of(credential), shared.epoch());
            let result = Ok(Identity::new("alice"));
            shared.insert(LookupKey { key, epoch }, SystemTime::now(), &result);
            None
        }
    }

    let verifier = Arc::new(Overtaken(Mutex::new(None)));
    let cached = Arc::clone(&verifier).cached(CacheConfig::default());
    *verifier.0.lock().unwrap() = Some(cached.clone());
    let result = cached.verify(&Credential::bearer("alice")).await;
    assert_eq!(subject(result), accepted("alice"));
}

#[tokio::test]
async fn lookup_continues_if_the_first_request_is_dropped() {
    let backend = Backend::gated(accept_all);
    let cached = cached(&backend, CacheConfig::default());
    let alice = Credential::bearer("alice");
    let mut first = Box::pin(cached.verify(&alice));
    let mut second = Box::pin(cached.verify(&alice));
    assert!(poll_once(first.as_mut()).is_pending());
    assert!(poll_once(second.as_mut()).is_pending());

    drop(first);
    backend.release(1);
    assert_eq!(subject(second.await), accepted("alice"));
    assert_eq!(backend.calls(), 1);
}

#[tokio::test]
async fn lookup_without_waiting_requests_is_cached() {
    let backend = Backend::gated(accept_all);
    let cached = cached(&backend, CacheConfig::default());
    let alice = Credential::bearer("alice");
    let mut only = Box::pin(cached.verify(&alice));
    assert!(poll_once(only.as_mut()).is_pending());
    drop(only);

    backend.release(1);
    while cached.shared.lookups.len() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        cached.verify_now(&alice).map(subject),
        Some(accepted("alice"))
    );
}

#[tokio::test]
async fn panic_reaches_all_waiting_requests_and_no_later_one() {
    let backend = Backend::gated(accept_all);
    backend.permits.close();
    let cached = cached(&backend, CacheConfig::default());
    for round in 1..=3 {
        // The semaphore is closed, so the `unwrap` in the verifier panics.
        for verification in verify_alice(&cached, 10) {
            let error = verification.await.unwrap_err();
            assert!(error.is_panic());
        }
        assert_eq!(backend.calls(), round, "one panic for all");
        assert_eq!(cached.shared.lookups.len(), 0);
    }
}

#[test]
fn panic_in_verify_now_leaves_no_lookup() {
    let backend = Backend::without_waiting(|_| panic!("on purpose"));
    let cached = cached(&backend, CacheConfig::default());
    let alice = Credential::bearer("alice");
    catch_unwind(AssertUnwindSafe(|| cached.verify_now(&alice))).unwrap_err();
    backend.set_answer(accept_all);
    assert_eq!(
        cached.verify_now(&alice).map(subject),
        Some(accepted("alice"))
    );
}

#[tokio::test(start_paused = true)]
async fn slow_lookup_times_out() {
    let backend = Backend::gated(accept_all);
    let config = CacheConfig::default()
        .lookup_timeout(5 * SECOND)
        .remember_failures(SECOND);
    let cached = cached(&backend, config);
    let alice = Credential::bearer("alice");

    let started = tokio::time::Instant::now();
    assert_eq!(subject(cached.verify(&alice).await), Err(UNAVAILABLE));
    assert_eq!(started.elapsed().as_secs(), 5);
    assert_eq!(cached.shared.lookups.len(), 0);

    backend.release(1);
    assert_eq!(subject(cached.verify(&alice).await), accepted("alice"));
    assert_eq!(backend.calls(), 2);
}

#[tokio::test]
async fn number_of_lookups_is_limited() {
    let backend = Backend::gated(accept_all);
    let cached = cached(&backend, CacheConfig::default().max_lookups(2));
    let verify = |token: &'static str| {
        let cached = cached.clone();
        Box::pin(async move { subject(cached.verify(&Credential::bearer(token)).await) })
    };
    let (mut a, mut b) = (verify("a"), verify("b"));
    let mut a_again = verify("a");
    assert!(poll_once(a.as_mut()).is_pending());
    assert!(poll_once(b.as_mut()).is_pending());
    assert!(poll_once(a_again.as_mut()).is_pending());
    assert_eq!(verify("c").await, Err(UNAVAILABLE));
    assert_eq!(
        backend.calls(),
        0,
        "the tasks of the lookups have not run yet"
    );

    backend.release(3);
    assert_eq!(
        (a.await, b.await, a_again.await),
        (accepted("a"), accepted("b"), accepted("a"))
    );
    assert_eq!(verify("c").await, accepted("c"));
    assert_eq!(backend.calls(), 3);
}

#[test]
fn waiting_request_outlives_the_runtime_of_the_lookup() {
    let runtime = || tokio::runtime::Builder::new_current_thread().build();
    let (first, second) = (runtime().unwrap(), runtime().unwrap());
    let backend = Backend::gated(accept_all);
    let cached = cached(&backend, CacheConfig::default());
    let alice = Credential::bearer("alice");
    let mut first_request = Box::pin(cached.verify(&alice));
    let mut second_request = Box::pin(cached.verify(&alice));
    first.block_on(async { assert!(poll_once(first_request.as_mut()).is_pending()) });
    second.block_on(async { assert!(poll_once(second_request.as_mut()).is_pending()) });

    drop(first);
    assert_eq!(subject(second.block_on(second_request)), Err(UNAVAILABLE));
    assert_eq!(cached.shared.lookups.len(), 0);
}

/// Starts tasks that verify the same credential.
fn verify_alice(
    cached: &Cached<Arc<Backend>>,
    tasks: usize,
) -> Vec<JoinHandle<Result<Identity, VerifyError>>> {
    let verify = |_| {
        let cached = cached.clone();
        tokio::spawn(async move { cached.verify(&Credential::bearer("alice")).await })
    };
    (0..tasks).map(verify).collect()
}
