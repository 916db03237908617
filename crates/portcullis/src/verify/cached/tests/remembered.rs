//! What is remembered, and for how long.

use super::*;

#[tokio::test]
async fn a_hit_is_answered_at_once() {
    let backend = Backend::open(knows_everybody);
    let cached = cached(&backend, CacheConfig::default());
    let alice = Credential::bearer("alice");

    assert!(cached.verify_now(&alice).is_none());
    assert_eq!(subject(cached.verify(&alice).await), good("alice"));
    assert_eq!(cached.verify_now(&alice).map(subject), Some(good("alice")));
    assert_eq!(subject(cached.verify(&alice).await), good("alice"));
    assert_eq!(backend.asked(), 1);

    assert!(cached.verify_now(&Credential::bearer("bob")).is_none());
}

#[tokio::test]
async fn what_is_answered_at_once_is_remembered_too() {
    let backend = Backend::at_once(knows_everybody);
    let cached = cached(&backend, CacheConfig::default());
    let alice = Credential::bearer("alice");
    for _ in 0..3 {
        assert_eq!(cached.verify_now(&alice).map(subject), Some(good("alice")));
        assert_eq!(subject(cached.verify(&alice).await), good("alice"));
    }
    assert_eq!(backend.asked(), 1);
}

#[tokio::test]
async fn an_answer_is_used_for_its_time_to_live() {
    let hand = Hand::default();
    let backend = Backend::open(knows_everybody);
    let config = CacheConfig::default()
        .time_to_live(10 * SECOND)
        .clock(hand.clone());
    let cached = cached(&backend, config);
    let alice = Credential::bearer("alice");
    for (turn, asked) in [(0, 1), (9, 1), (1, 2), (9, 2), (1, 3), (100, 4)] {
        hand.turn(turn * SECOND);
        assert_eq!(subject(cached.verify(&alice).await), good("alice"));
        assert_eq!(backend.asked(), asked);
    }
}

#[tokio::test]
async fn a_hit_looks_at_the_expiry() {
    let hand = Hand::default();
    let backend = Backend::open(|_| {
        let end = SystemTime::UNIX_EPOCH + 5 * SECOND;
        Ok(Identity::builder("alice").expires_at(end).build())
    });
    let cached = cached(&backend, CacheConfig::default().clock(hand.clone()));
    let alice = Credential::bearer("alice");

    assert!(cached.verify(&alice).await.is_ok());
    hand.turn(5 * SECOND - Duration::from_nanos(1));
    assert!(cached.verify_now(&alice).is_some());
    hand.turn(Duration::from_nanos(1));
    assert!(cached.verify_now(&alice).is_none());

    // The verifier decides about what has ended, and may be more patient. That is not remembered.
    assert!(cached.verify(&alice).await.is_ok());
    assert!(cached.verify_now(&alice).is_none());
    backend.say(|_| Err(VerifyError::Expired));
    let answer = cached.verify(&alice).await;
    assert_eq!(subject(answer), Err(VerifyError::Expired));
    assert_eq!(backend.asked(), 3);
}

#[tokio::test]
async fn failures_are_remembered_only_if_asked_for() {
    // A failure, how often it was asked for by default, and how often if failures are remembered.
    let table: [(Answers, VerifyError, usize, usize); 4] = [
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
    let remembers = || CacheConfig::default().remember_failures(SECOND);
    for (answer, failure, by_default, remembered) in table {
        for backend in [Backend::open, Backend::at_once] {
            for (config, expected) in [
                (CacheConfig::default(), by_default),
                (remembers(), remembered),
            ] {
                let backend = backend(answer);
                let hand = Hand::default();
                let cached = cached(&backend, config.clock(hand.clone()));
                let credential = Credential::bearer("t");
                for _ in 0..3 {
                    assert_eq!(subject(cached.verify(&credential).await), Err(failure));
                }
                assert_eq!(backend.asked(), expected, "{failure:?}");

                // And not for longer than said.
                hand.turn(SECOND);
                backend.say(knows_everybody);
                assert_eq!(subject(cached.verify(&credential).await), good("t"));
            }
        }
    }
}

/// A ticket is one of the kind: good for one time, and only with the request that brings it.
#[tokio::test]
async fn what_is_good_for_one_time_is_asked_about_each_time() {
    struct LooksAtTheHandshake(Arc<Backend>);

    impl Verify for LooksAtTheHandshake {
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

    fn for_one_time(credential: &Credential) -> Result<Identity, VerifyError> {
        let subject = credential.expose_secret();
        Ok(Identity::builder(subject).single_use().build())
    }

    let ticket = Credential::new(Carrier::Query, Scheme::Bearer, "ticket");
    for backend in [Backend::open(for_one_time), Backend::at_once(for_one_time)] {
        let cached = cached(&backend, CacheConfig::default());
        assert!(!cached.needs_handshake());
        for asked in 1..=2 {
            if cached.verify_now(&ticket).is_none() {
                cached.verify(&ticket).await.unwrap();
            }
            assert_eq!(backend.asked(), asked);
        }
    }
    for backend in [
        Backend::open(knows_everybody),
        Backend::at_once(knows_everybody),
    ] {
        let looks = LooksAtTheHandshake(Arc::clone(&backend));
        let cached = looks.cached(CacheConfig::default());
        assert!(cached.needs_handshake());
        for asked in 1..=2 {
            if cached.verify_now(&ticket).is_none() {
                cached.verify(&ticket).await.unwrap();
            }
            assert_eq!(backend.asked(), asked);
        }
    }
}

#[tokio::test]
async fn debug_prints_no_secret() {
    let backend = Backend::open(|_| Ok(Identity::new("alice")));
    let cached = cached(&backend, CacheConfig::default().remember_failures(SECOND));
    let credential = Credential::bearer("s3cret-canary");
    assert!(cached.verify(&credential).await.is_ok());
    let printed = format!("{cached:?} {:?}", cached.shared.keys);
    assert!(printed.contains("identities: 1"), "{printed}");
    assert!(!printed.contains("canary"), "{printed}");
}
