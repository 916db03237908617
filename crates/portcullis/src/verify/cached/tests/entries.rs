//! What is cached, and for how long.

use super::*;

#[tokio::test]
async fn cached_identity_is_returned_by_verify_now() {
    let backend = Backend::open(accept_all);
    let cached = cached(&backend, CacheConfig::default());
    let alice = Credential::bearer("alice");

    assert!(cached.verify_now(&alice).is_none());
    assert_eq!(subject(cached.verify(&alice).await), accepted("alice"));
    assert_eq!(
        cached.verify_now(&alice).map(subject),
        Some(accepted("alice"))
    );
    assert_eq!(subject(cached.verify(&alice).await), accepted("alice"));
    assert_eq!(backend.calls(), 1);

    assert!(cached.verify_now(&Credential::bearer("bob")).is_none());
}

#[tokio::test]
async fn result_of_verify_now_is_cached() {
    let backend = Backend::without_waiting(accept_all);
    let cached = cached(&backend, CacheConfig::default());
    let alice = Credential::bearer("alice");
    for _ in 0..3 {
        assert_eq!(
            cached.verify_now(&alice).map(subject),
            Some(accepted("alice"))
        );
        assert_eq!(subject(cached.verify(&alice).await), accepted("alice"));
    }
    assert_eq!(backend.calls(), 1);
}

#[tokio::test]
async fn entry_is_used_for_its_time_to_live() {
    let clock = TestClock::default();
    let backend = Backend::open(accept_all);
    let config = CacheConfig::default()
        .time_to_live(10 * SECOND)
        .clock(clock.clone());
    let cached = cached(&backend, config);
    let alice = Credential::bearer("alice");
    for (seconds, calls) in [(0, 1), (9, 1), (1, 2), (9, 2), (1, 3), (100, 4)] {
        clock.advance(seconds * SECOND);
        assert_eq!(subject(cached.verify(&alice).await), accepted("alice"));
        assert_eq!(backend.calls(), calls);
    }
}

#[tokio::test]
async fn cached_identity_is_not_used_after_its_expiry() {
    let clock = TestClock::default();
    let backend = Backend::open(|_| {
        let end = SystemTime::UNIX_EPOCH + 5 * SECOND;
        Ok(Identity::builder("alice").expires_at(end).build())
    });
    let cached = cached(&backend, CacheConfig::default().clock(clock.clone()));
    let alice = Credential::bearer("alice");

    assert!(cached.verify(&alice).await.is_ok());
    clock.advance(5 * SECOND - Duration::from_nanos(1));
    assert!(cached.verify_now(&alice).is_some());
    clock.advance(Duration::from_nanos(1));
    assert!(cached.verify_now(&alice).is_none());

    // A verifier may accept an expired identity, with leeway. This is not cached.
    assert!(cached.verify(&alice).await.is_ok());
    assert!(cached.verify_now(&alice).is_none());
    backend.set_answer(|_| Err(VerifyError::Expired));
    let result = cached.verify(&alice).await;
    assert_eq!(subject(result), Err(VerifyError::Expired));
    assert_eq!(backend.calls(), 3);
}

#[tokio::test]
async fn failures_are_cached_only_if_configured() {
    // An error, and the number of calls without and with cached failures.
    let table: [(Answer, VerifyError, usize, usize); 4] = [
        (|_| Err(INVALID), INVALID, 3, 1),
        (|_| Err(VerifyError::Expired), VerifyError::Expired, 3, 1),
        (
            |_| Err(VerifyError::Forbidden),
            VerifyError::Forbidden,
            3,
            3,
        ),
        (|_| Err(UNAVAILABLE), UNAVAILABLE, 3, 3),
    ];
    let with_failures = || CacheConfig::default().remember_failures(SECOND);
    for (answer, failure, without, with) in table {
        for backend in [Backend::open, Backend::without_waiting] {
            for (config, expected) in [(CacheConfig::default(), without), (with_failures(), with)] {
                let backend = backend(answer);
                let clock = TestClock::default();
                let cached = cached(&backend, config.clock(clock.clone()));
                let credential = Credential::bearer("t");
                for _ in 0..3 {
                    assert_eq!(subject(cached.verify(&credential).await), Err(failure));
                }
                assert_eq!(backend.calls(), expected, "{failure:?}");

                // Not for longer than configured.
                clock.advance(SECOND);
                backend.set_answer(accept_all);
                assert_eq!(subject(cached.verify(&credential).await), accepted("t"));
            }
        }
    }
}

/// A ticket is such a credential: single-use, and bound to its handshake.
#[tokio::test]
async fn single_use_credential_is_verified_each_time() {
    struct NeedsHandshake(Arc<Backend>);

    impl Verify for NeedsHandshake {
        async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
            self.0.verify(credential).await
        }

        fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
            self.0.verify_now(credential)
        }

        fn needs_handshake(&self) -> bool {
            true
        }
    }

    fn single_use(credential: &Credential) -> Result<Identity, VerifyError> {
        let subject = credential.expose_secret();
        Ok(Identity::builder(subject).single_use().build())
    }

    let ticket = Credential::new(Carrier::Query, Scheme::Bearer, "ticket");
    for backend in [
        Backend::open(single_use),
        Backend::without_waiting(single_use),
    ] {
        let cached = cached(&backend, CacheConfig::default());
        assert!(!cached.needs_handshake());
        for calls in 1..=2 {
            if cached.verify_now(&ticket).is_none() {
                cached.verify(&ticket).await.unwrap();
            }
            assert_eq!(backend.calls(), calls);
        }
    }
    for backend in [
        Backend::open(accept_all),
        Backend::without_waiting(accept_all),
    ] {
        let verifier = NeedsHandshake(Arc::clone(&backend));
        let cached = verifier.cached(CacheConfig::default());
        assert!(cached.needs_handshake());
        for calls in 1..=2 {
            if cached.verify_now(&ticket).is_none() {
                cached.verify(&ticket).await.unwrap();
            }
            assert_eq!(backend.calls(), calls);
        }
    }
}

#[tokio::test]
async fn debug_does_not_print_secrets() {
    let backend = Backend::open(|_| Ok(Identity::new("alice")));
    let cached = cached(&backend, CacheConfig::default().remember_failures(SECOND));
    let credential = Credential::bearer("s3cret-canary");
    assert!(cached.verify(&credential).await.is_ok());
    let printed = format!("{cached:?} {:?}", cached.shared.keys);
    assert!(printed.contains("identities: 1"), "{printed}");
    assert!(!printed.contains("canary"), "{printed}");
}
