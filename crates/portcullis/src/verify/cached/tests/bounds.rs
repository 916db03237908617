//! The limits of the cache, and the separation of its entries.

use super::*;

#[test]
fn invalid_credentials_evict_no_identity() {
    let only_users: Answer = |credential| match credential.username() {
        Some(user) => Ok(Identity::new(user)),
        None => Err(INVALID),
    };
    let users: Vec<_> = (0..500)
        .map(|n| Credential::basic(n.to_string(), ""))
        .collect();
    let with_failures = CacheConfig::default().remember_failures(60 * SECOND);
    for (config, failures) in [(CacheConfig::default(), 0), (with_failures, 1_000)] {
        let backend = Backend::without_waiting(only_users);
        let config = config.max_entries(1_000).clock(TestClock::default());
        let cached = cached(&backend, config);
        for user in &users {
            assert!(cached.verify_now(user).is_some_and(|result| result.is_ok()));
        }
        for number in 0..100_000 {
            let invalid = Credential::bearer(number.to_string());
            let result = cached.verify_now(&invalid);
            assert_eq!(result.map(subject), Some(Err(INVALID)));
        }
        assert_eq!(backend.calls(), 100_500);
        for user in &users {
            assert!(cached.verify_now(user).is_some_and(|result| result.is_ok()));
        }
        assert_eq!(backend.calls(), 100_500, "no user was evicted");
        assert_eq!(cached.shared.identities.len(), 500);
        let cached_failures = cached.shared.failures.as_ref().map_or(0, Table::len);
        assert!(cached_failures <= failures, "{cached_failures}");
    }
}

#[test]
fn number_of_identities_is_limited() {
    let backend = Backend::without_waiting(accept_all);
    let config = CacheConfig::default()
        .max_entries(1_000)
        .clock(TestClock::default());
    let cached = cached(&backend, config);
    for number in 0..100_000 {
        let credential = Credential::bearer(number.to_string());
        assert!(cached.verify_now(&credential).is_some());
        if number % 100 == 0 {
            assert!(cached.shared.identities.len() <= 1_000);
        }
    }
    assert!(cached.shared.identities.len() <= 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn credentials_and_caches_never_share_an_entry() {
    /// Describes everything that a verifier can see.
    fn describe(cache: &str, credential: &Credential) -> String {
        let (carrier, scheme) = (credential.carrier(), credential.scheme());
        let (name, secret) = (credential.username(), credential.expose_secret());
        format!("{cache} {carrier} {scheme} {name:?} {secret:?}")
    }

    fn any_credential(random: &mut u64) -> Credential {
        let mut one_of = |among: usize| {
            *random ^= *random << 13;
            *random ^= *random >> 7;
            *random ^= *random << 17;
            usize::try_from(*random % among as u64).unwrap()
        };
        let secret = ["", "c", "bc", "abc"][one_of(4)];
        match one_of(2) {
            0 => Credential::basic(["", "a", "ab", "abc"][one_of(4)], secret),
            _ => {
                let carriers = [
                    Carrier::Authorization,
                    Carrier::Cookie,
                    Carrier::Query,
                    Carrier::Subprotocol,
                ];
                let schemes = [Scheme::Basic, Scheme::Bearer, Scheme::Token];
                Credential::new(carriers[one_of(4)], schemes[one_of(3)], secret)
            }
        }
    }

    // Fewer entries than credentials, so that entries are evicted all the time.
    let config = || CacheConfig::default().max_entries(40);
    let one = (async |credential: Credential| Ok(Identity::new(describe("one", &credential))))
        .cached(config());
    let other = (async |credential: Credential| Ok(Identity::new(describe("other", &credential))))
        .cached(config());
    let tasks: Vec<_> = (1..=4_u64)
        .map(|task| {
            let (one, other) = (one.clone(), other.clone());
            tokio::spawn(async move {
                let mut random: u64 = 0x9e37_79b9_7f4a_7c15 ^ task;
                for step in 0..25_000 {
                    let credential = any_credential(&mut random);
                    let (cache, result) = match random & 0x100 {
                        0 => ("one", one.verify(&credential).await),
                        _ => ("other", other.verify(&credential).await),
                    };
                    assert_eq!(subject(result), Ok(describe(cache, &credential)));
                    if step % 1_000 == 0 {
                        one.clear();
                        other.invalidate(|identity| identity.subject().contains("query"));
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
