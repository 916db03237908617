//! One lookup for all who ask the same, however it ends.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::task::JoinHandle;

use super::*;

#[tokio::test]
async fn a_thousand_who_ask_at_once_cost_one_lookup() {
    let backend = Backend::gated(knows_everybody);
    let cached = cached(&backend, CacheConfig::default());
    let alice = Credential::bearer("alice");
    let mut waiting: Vec<_> = (0..1_000)
        .map(|_| Box::pin(cached.verify(&alice)))
        .collect();
    for verification in &mut waiting {
        assert!(poll_once(verification.as_mut()).is_pending());
    }
    assert_eq!(cached.shared.lookups.len(), 1);

    backend.let_out(1);
    for verification in waiting {
        assert_eq!(subject(verification.await), good("alice"));
    }
    assert_eq!(backend.asked(), 1);
    assert_eq!(cached.shared.lookups.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn so_do_a_thousand_on_several_threads() {
    for _ in 0..20 {
        let backend = Backend::open(knows_everybody);
        let cached = cached(&backend, CacheConfig::default());
        for ask in ask_for_alice(&cached, 1_000) {
            assert_eq!(subject(ask.await.unwrap()), good("alice"));
        }
        assert_eq!(backend.asked(), 1);
    }
}

#[tokio::test]
async fn a_lookup_looks_again_before_it_asks() {
    // Another lookup ends between the look into the cache and the start of this one.
    struct Overtaken(Mutex<Option<Cached<Arc<Self>>>>);

    impl Verify for Overtaken {
        async fn verify(&self, _: &Credential) -> Result<Identity, VerifyError> {
            Err(INVALID)
        }

        fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
            let Cached { shared } = self.0.lock().unwrap().take()?;
            let (key, epoch) = (shared.keys.key_of(credential), shared.epoch());
            let answer = Ok(Identity::new("alice"));
            shared.remember(Question { key, epoch }, SystemTime::now(), &answer);
            None
        }
    }

    let verifier = Arc::new(Overtaken(Mutex::new(None)));
    let cached = Arc::clone(&verifier).cached(CacheConfig::default());
    *verifier.0.lock().unwrap() = Some(cached.clone());
    let answer = cached.verify(&Credential::bearer("alice")).await;
    assert_eq!(subject(answer), good("alice"));
}

#[tokio::test]
async fn a_lookup_goes_on_without_who_came_first() {
    let backend = Backend::gated(knows_everybody);
    let cached = cached(&backend, CacheConfig::default());
    let alice = Credential::bearer("alice");
    let mut first = Box::pin(cached.verify(&alice));
    let mut second = Box::pin(cached.verify(&alice));
    assert!(poll_once(first.as_mut()).is_pending());
    assert!(poll_once(second.as_mut()).is_pending());

    drop(first);
    backend.let_out(1);
    assert_eq!(subject(second.await), good("alice"));
    assert_eq!(backend.asked(), 1);
}

#[tokio::test]
async fn a_lookup_nobody_waits_for_is_remembered() {
    let backend = Backend::gated(knows_everybody);
    let cached = cached(&backend, CacheConfig::default());
    let alice = Credential::bearer("alice");
    let mut only = Box::pin(cached.verify(&alice));
    assert!(poll_once(only.as_mut()).is_pending());
    drop(only);

    backend.let_out(1);
    while cached.shared.lookups.len() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(cached.verify_now(&alice).map(subject), Some(good("alice")));
}

#[tokio::test]
async fn a_panic_reaches_everybody_who_waits_and_nobody_after() {
    let backend = Backend::gated(knows_everybody);
    backend.gate.close();
    let cached = cached(&backend, CacheConfig::default());
    for round in 1..=3 {
        // The gate is closed for good, so the backend panics at its `unwrap`.
        for ask in ask_for_alice(&cached, 10) {
            let error = ask.await.unwrap_err();
            assert!(error.is_panic());
        }
        assert_eq!(backend.asked(), round, "one panic for all");
        assert_eq!(cached.shared.lookups.len(), 0);
    }
}

#[test]
fn a_panic_at_once_leaves_nothing_behind() {
    let backend = Backend::at_once(|_| panic!("on purpose"));
    let cached = cached(&backend, CacheConfig::default());
    let alice = Credential::bearer("alice");
    catch_unwind(AssertUnwindSafe(|| cached.verify_now(&alice))).unwrap_err();
    backend.say(knows_everybody);
    assert_eq!(cached.verify_now(&alice).map(subject), Some(good("alice")));
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_takes_too_long_is_given_up() {
    let backend = Backend::gated(knows_everybody);
    let config = CacheConfig::default()
        .lookup_timeout(5 * SECOND)
        .remember_failures(SECOND);
    let cached = cached(&backend, config);
    let alice = Credential::bearer("alice");

    let started = tokio::time::Instant::now();
    assert_eq!(subject(cached.verify(&alice).await), Err(UNAVAILABLE));
    assert_eq!(started.elapsed().as_secs(), 5);
    assert_eq!(cached.shared.lookups.len(), 0);

    backend.let_out(1);
    assert_eq!(subject(cached.verify(&alice).await), good("alice"));
    assert_eq!(backend.asked(), 2);
}

#[tokio::test]
async fn the_number_of_lookups_is_bounded() {
    let backend = Backend::gated(knows_everybody);
    let cached = cached(&backend, CacheConfig::default().max_lookups(2));
    let ask = |token: &'static str| {
        let cached = cached.clone();
        Box::pin(async move { subject(cached.verify(&Credential::bearer(token)).await) })
    };
    let (mut a, mut b) = (ask("a"), ask("b"));
    let mut a_too = ask("a");
    assert!(poll_once(a.as_mut()).is_pending());
    assert!(poll_once(b.as_mut()).is_pending());
    assert!(poll_once(a_too.as_mut()).is_pending());
    assert_eq!(ask("c").await, Err(UNAVAILABLE));
    assert_eq!(backend.asked(), 0, "lookups wait for their turn to run");

    backend.let_out(3);
    assert_eq!(
        (a.await, b.await, a_too.await),
        (good("a"), good("b"), good("a"))
    );
    assert_eq!(ask("c").await, good("c"));
    assert_eq!(backend.asked(), 3);
}

#[test]
fn who_waits_outlives_the_runtime_of_the_lookup() {
    let runtime = || tokio::runtime::Builder::new_current_thread().build();
    let (first, second) = (runtime().unwrap(), runtime().unwrap());
    let backend = Backend::gated(knows_everybody);
    let cached = cached(&backend, CacheConfig::default());
    let alice = Credential::bearer("alice");
    let mut leader = Box::pin(cached.verify(&alice));
    let mut follower = Box::pin(cached.verify(&alice));
    first.block_on(async { assert!(poll_once(leader.as_mut()).is_pending()) });
    second.block_on(async { assert!(poll_once(follower.as_mut()).is_pending()) });

    drop(first);
    assert_eq!(subject(second.block_on(follower)), Err(UNAVAILABLE));
    assert_eq!(cached.shared.lookups.len(), 0);
}

/// So many tasks that ask about the same credential.
fn ask_for_alice(
    cached: &Cached<Arc<Backend>>,
    tasks: usize,
) -> Vec<JoinHandle<Result<Identity, VerifyError>>> {
    let ask = |_| {
        let cached = cached.clone();
        tokio::spawn(async move { cached.verify(&Credential::bearer("alice")).await })
    };
    (0..tasks).map(ask).collect()
}
