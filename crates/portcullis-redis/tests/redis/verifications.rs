use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use portcullis_core::{Clock, Credential, Identity, Verify, VerifyError};
use portcullis_redis::{Redis, RedisVerifications, VerificationKey};

use crate::proxy::{Mode, Proxy};
use crate::server::RedisServer;
use crate::{hasty, patient};

/// Counts how often it is asked. The secret says what it answers.
#[derive(Clone, Default)]
struct Backend {
    asked: Arc<AtomicUsize>,
    needs_handshake: bool,
    answers_now: bool,
}

impl Backend {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn answer(credential: &Credential) -> Result<Identity<String>, VerifyError> {
        let name = credential
            .username()
            .unwrap_or(credential.carrier().as_str());
        let identity = Identity::builder("alice").claims(name.to_owned());
        match credential.expose_secret() {
            "good" => Ok(identity.scopes(["chat"]).build()),
            "short" => Ok(identity.expires_at(at(5)).build()),
            "once" => Ok(identity.single_use().build()),
            "away" => Err(VerifyError::unavailable()),
            "forbidden" => Err(VerifyError::Forbidden),
            _ => Err(VerifyError::Invalid),
        }
    }
}

impl Verify for Backend {
    type Claims = String;

    async fn verify(&self, credential: &Credential) -> Result<Identity<String>, VerifyError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Self::answer(credential)
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity<String>, VerifyError>> {
        self.answers_now.then(|| Self::answer(credential))
    }

    fn needs_handshake(&self) -> bool {
        self.needs_handshake
    }
}

/// Seconds after some moment that is not now.
fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + second)
}

#[derive(Clone, Debug)]
struct Turned(Arc<Mutex<SystemTime>>);

impl Clock for Turned {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

impl Turned {
    fn to(&self, second: u64) {
        *self.0.lock().unwrap() = at(second);
    }
}

struct Machines {
    backend: Backend,
    clock: Turned,
    one: RedisVerifications<Backend>,
    other: RedisVerifications<Backend>,
}

fn machines(redis: &Redis, backend: Backend) -> Machines {
    let clock = Turned(Arc::new(Mutex::new(at(0))));
    let key = VerificationKey::new([7; 32]);
    let machine = || {
        RedisVerifications::new(redis, backend.clone(), &key, "test")
            .lookup_limit(Duration::from_secs(20))
            .time_to_live(Duration::from_secs(60))
            .clock(clock.clone())
    };
    Machines {
        one: machine(),
        other: machine(),
        backend,
        clock,
    }
}

#[tokio::test]
async fn what_one_machine_asked_for_no_other_does() {
    let server = RedisServer::start();
    let machines = machines(&patient(&server.url()), Backend::default());
    let good = Credential::bearer("good");
    let asked = machines.one.verify(&good).await.unwrap();
    let shared = machines.other.verify(&good).await.unwrap();
    assert_eq!(machines.backend.asked(), 1);
    assert_eq!(shared.subject(), asked.subject());
    assert_eq!(shared.claims(), asked.claims());
    assert_eq!(shared.scopes(), asked.scopes());
    assert!(shared.proof().is_none());

    // Another carrier or name is another question.
    let named = machines
        .other
        .verify(&Credential::basic("bob", "good"))
        .await
        .unwrap();
    assert_eq!(named.claims(), "bob");
    assert_eq!(machines.backend.asked(), 2);

    machines.clock.to(59);
    machines.other.verify(&good).await.unwrap();
    assert_eq!(machines.backend.asked(), 2);
    machines.clock.to(60);
    machines.other.verify(&good).await.unwrap();
    assert_eq!(machines.backend.asked(), 3, "its time to live is over");
}

#[tokio::test]
async fn what_is_not_kept() {
    let server = RedisServer::start();
    let redis = patient(&server.url());
    let machines = machines(&redis, Backend::default());
    let refusals = [
        ("bad", VerifyError::Invalid),
        ("away", VerifyError::unavailable()),
        ("forbidden", VerifyError::Forbidden),
    ];
    for (secret, refusal) in refusals {
        let asked = machines.one.verify(&Credential::bearer(secret)).await;
        assert_eq!(asked.unwrap_err(), refusal);
    }
    let once = Credential::bearer("once");
    assert!(machines.one.verify(&once).await.unwrap().is_single_use());
    machines.clock.to(5);
    assert!(
        machines
            .one
            .verify(&Credential::bearer("short"))
            .await
            .is_ok()
    );
    assert_eq!(server.command(&["DBSIZE"]), "0");
    assert_eq!(machines.backend.asked(), 5);

    // Not beyond its own expiry.
    machines.clock.to(0);
    let short = Credential::bearer("short");
    machines.one.verify(&short).await.unwrap();
    let key = server.command(&["KEYS", "*"]);
    let left: u64 = server.command(&["PTTL", &key]).parse().unwrap();
    assert!(left <= 5_000, "{left}");
    machines.clock.to(4);
    machines.other.verify(&short).await.unwrap();
    assert_eq!(machines.backend.asked(), 6);
    machines.clock.to(5);
    machines.other.verify(&short).await.unwrap();
    assert_eq!(machines.backend.asked(), 7);
}

#[tokio::test]
async fn verifiers_that_need_no_redis() {
    let server = RedisServer::start();
    let redis = patient(&server.url());
    let good = Credential::bearer("good");
    let backend = Backend {
        needs_handshake: true,
        ..Backend::default()
    };
    let handshake = machines(&redis, backend);
    assert!(handshake.one.needs_handshake());
    handshake.one.verify(&good).await.unwrap();
    handshake.one.verify(&good).await.unwrap();
    assert_eq!(handshake.backend.asked(), 2);

    let backend = Backend {
        answers_now: true,
        ..Backend::default()
    };
    let quick = machines(&redis, backend);
    assert!(quick.one.verify_now(&good).unwrap().is_ok());
    assert_eq!(server.command(&["DBSIZE"]), "0");
    assert!(
        machines(&redis, Backend::default())
            .one
            .verify_now(&good)
            .is_none()
    );
}

#[tokio::test]
async fn redis_sees_no_credential_and_makes_no_identity() {
    let server = RedisServer::start();
    let redis = patient(&server.url());
    let machines = machines(&redis, Backend::default());
    let good = Credential::basic("bob", "good");
    machines.one.verify(&good).await.unwrap();
    let key = server.command(&["KEYS", "*"]);
    let value = server.command(&["GET", &key]);
    assert!(value.contains("alice"), "{value}");
    assert!(
        !key.contains("good") && !value.contains("good"),
        "{key} {value}"
    );

    // Somebody puts bob's identity where alice's is looked for.
    let other = Credential::basic("alice", "good");
    machines.one.verify(&other).await.unwrap();
    let keys = server.command(&["KEYS", "*"]);
    let other_key = keys.lines().find(|line| *line != key).unwrap();
    server.command(&["COPY", &key, other_key, "REPLACE"]);
    let identity = machines.other.verify(&other).await.unwrap();
    assert_eq!(identity.claims(), "alice");
    assert_eq!(machines.backend.asked(), 3, "the copy is not taken");

    // Or something else, or keeps one for longer than it was meant to live.
    server.command(&[
        "SET",
        &key,
        r#"{"version":1,"until":9999999999999,"identity":{}}"#,
    ]);
    machines.other.verify(&good).await.unwrap();
    assert_eq!(machines.backend.asked(), 4);
    server.command(&["PERSIST", &key]);
    machines.clock.to(60);
    machines.other.verify(&good).await.unwrap();
    assert_eq!(machines.backend.asked(), 5);

    // One who does not have the key, or asks another verifier, does not find it either.
    for (key, namespace) in [([7; 32], "other"), ([8; 32], "test")] {
        let key = VerificationKey::new(key);
        let stranger = RedisVerifications::new(&redis, Backend::default(), &key, namespace);
        stranger.verify(&good).await.unwrap();
    }
    assert_eq!(server.command(&["DBSIZE"]), "4");
}

#[tokio::test]
async fn without_redis_the_verifier_is_asked() {
    let mut server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let redis = hasty(&proxy.url());
    let backend = Backend::default();
    let machine = || {
        let key = VerificationKey::new([7; 32]);
        RedisVerifications::new(&redis, backend.clone(), &key, "test")
    };
    let good = Credential::bearer("good");
    machine().verify(&good).await.unwrap();
    assert_eq!(backend.asked(), 1);

    // After the first call that failed, Redis is left alone for a second.
    proxy.set(Mode::Cut);
    let let_down = machine();
    let before = proxy.counts().connections;
    for _ in 0..10 {
        let_down.verify(&good).await.unwrap();
    }
    let attempts = proxy.counts().connections - before;
    assert!(attempts < 10, "{attempts}");

    // So a new one each time.
    for mode in [Mode::Cut, Mode::Silent, Mode::Slow(Duration::from_secs(5))] {
        proxy.set(mode);
        let before = backend.asked();
        let machine = machine();
        machine.verify(&good).await.unwrap();
        machine.verify(&good).await.unwrap();
        assert_eq!(backend.asked(), before + 2, "{mode:?}");
        let bad = machine.verify(&Credential::bearer("bad")).await;
        assert_eq!(bad.unwrap_err(), VerifyError::Invalid, "{mode:?}");
    }
    proxy.set(Mode::Open);
    server.kill();
    let before = backend.asked();
    machine().verify(&good).await.unwrap();
    assert_eq!(backend.asked(), before + 1);
    server.restart();
    // They take the time that a busy machine needs.
    let redis = patient(&proxy.url());
    let patient = || {
        let key = VerificationKey::new([7; 32]);
        RedisVerifications::new(&redis, backend.clone(), &key, "test")
            .lookup_limit(Duration::from_secs(20))
    };
    let before = backend.asked();
    patient().verify(&good).await.unwrap();
    patient().verify(&good).await.unwrap();
    assert!(backend.asked() <= before + 1, "it is shared again");
}
