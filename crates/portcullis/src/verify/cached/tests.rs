use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use portcullis_core::{Carrier, Clock, Scheme};
use tokio::sync::Semaphore;

use super::*;
use crate::verify::VerifyExt;

const INVALID: VerifyError = VerifyError::Invalid;
const UNAVAILABLE: VerifyError = VerifyError::unavailable();
const SECOND: Duration = Duration::from_secs(1);

/// A clock that moves when it is told to.
#[derive(Clone, Debug, Default)]
struct Hand(Arc<Mutex<Duration>>);

impl Hand {
    fn turn(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for Hand {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + *self.0.lock().unwrap()
    }
}

type Answers = fn(&Credential) -> Result<Identity, VerifyError>;

/// Asks a function, counts how often, and lets answers out through a gate.
struct Backend {
    answer: Mutex<Answers>,
    asked: AtomicUsize,
    gate: Semaphore,
    at_once: bool,
}

impl Backend {
    fn open(answer: Answers) -> Arc<Self> {
        let backend = Self::gated(answer);
        backend.let_out(10_000_000);
        backend
    }

    fn gated(answer: Answers) -> Arc<Self> {
        Arc::new(Self {
            answer: Mutex::new(answer),
            asked: AtomicUsize::new(0),
            gate: Semaphore::new(0),
            at_once: false,
        })
    }

    fn at_once(answer: Answers) -> Arc<Self> {
        Arc::new(Self {
            answer: Mutex::new(answer),
            asked: AtomicUsize::new(0),
            gate: Semaphore::new(0),
            at_once: true,
        })
    }

    fn say(&self, answer: Answers) {
        *self.answer.lock().unwrap() = answer;
    }

    fn let_out(&self, answers: usize) {
        self.gate.add_permits(answers);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn ask(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = *self.answer.lock().unwrap();
        answer(credential)
    }
}

impl Verify for Backend {
    type Claims = ();

    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        let answer = self.ask(credential);
        self.gate.acquire().await.unwrap().forget();
        answer
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        self.at_once.then(|| self.ask(credential))
    }
}

fn knows_everybody(credential: &Credential) -> Result<Identity, VerifyError> {
    Ok(Identity::new(credential.expose_secret()))
}

fn knows_nobody(_: &Credential) -> Result<Identity, VerifyError> {
    Err(INVALID)
}

/// The subject of an answer, or the failure.
fn subject(answer: Result<Identity, VerifyError>) -> Result<String, VerifyError> {
    answer.map(|identity| identity.subject().to_owned())
}

fn good(subject: &str) -> Result<String, VerifyError> {
    Ok(subject.to_owned())
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn cached(backend: &Arc<Backend>, config: CacheConfig) -> Cached<Arc<Backend>> {
    Arc::clone(backend).cached(config)
}

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
        let asks: Vec<_> = (0..1_000)
            .map(|_| {
                let cached = cached.clone();
                tokio::spawn(async move { cached.verify(&Credential::bearer("alice")).await })
            })
            .collect();
        for ask in asks {
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
        type Claims = ();

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
        let asks: Vec<_> = (0..10)
            .map(|_| {
                let cached = cached.clone();
                tokio::spawn(async move { cached.verify(&Credential::bearer("alice")).await })
            })
            .collect();
        for ask in asks {
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
        type Claims = ();

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

#[test]
fn garbage_pushes_nobody_out() {
    let only_users: Answers = |credential| match credential.username() {
        Some(user) => Ok(Identity::new(user)),
        None => Err(INVALID),
    };
    let users: Vec<_> = (0..500)
        .map(|n| Credential::basic(n.to_string(), ""))
        .collect();
    let remembers = CacheConfig::default().remember_failures(60 * SECOND);
    for (config, failures) in [(CacheConfig::default(), 0), (remembers, 1_000)] {
        let backend = Backend::at_once(only_users);
        let config = config.max_entries(1_000).clock(Hand::default());
        let cached = cached(&backend, config);
        for user in &users {
            assert!(cached.verify_now(user).is_some_and(|answer| answer.is_ok()));
        }
        for number in 0..100_000 {
            let garbage = Credential::bearer(number.to_string());
            let answer = cached.verify_now(&garbage);
            assert_eq!(answer.map(subject), Some(Err(INVALID)));
        }
        assert_eq!(backend.asked(), 100_500);
        for user in &users {
            assert!(cached.verify_now(user).is_some_and(|answer| answer.is_ok()));
        }
        assert_eq!(backend.asked(), 100_500, "no user was forgotten");
        assert_eq!(cached.shared.identities.len(), 500);
        let remembered = cached.shared.failures.as_ref().map_or(0, Table::len);
        assert!(remembered <= failures, "{remembered}");
    }
}

#[test]
fn good_credentials_are_bounded_too() {
    let backend = Backend::at_once(knows_everybody);
    let config = CacheConfig::default()
        .max_entries(1_000)
        .clock(Hand::default());
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
async fn answers_are_never_mixed() {
    /// Says everything that it can see.
    fn describe(who: &str, credential: &Credential) -> String {
        let (carrier, scheme) = (credential.carrier(), credential.scheme());
        let (name, secret) = (credential.username(), credential.expose_secret());
        format!("{who} {carrier} {scheme} {name:?} {secret:?}")
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

    // Fewer entries than credentials, so that there is always something to push out.
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
                    let (who, answer) = match random & 0x100 {
                        0 => ("one", one.verify(&credential).await),
                        _ => ("other", other.verify(&credential).await),
                    };
                    assert_eq!(subject(answer), Ok(describe(who, &credential)));
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

/// A ticket is one of the kind: good for one time, and only with the request that brings it.
#[tokio::test]
async fn what_is_good_for_one_time_is_asked_about_each_time() {
    struct LooksAtTheHandshake(Arc<Backend>);

    impl Verify for LooksAtTheHandshake {
        type Claims = ();

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
