use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use portcullis_core::{Clock, Credential, Identity, Verify, VerifyError};
use portcullis_redis::{Redis, RedisVerifications, VerificationKey};

use crate::proxy::{Mode, Proxy};
use crate::server::RedisServer;
use crate::{with_default_deadline, with_long_deadline};

/// A verifier that counts its calls. The secret selects the result.
#[derive(Clone, Default)]
struct Backend {
    calls: Arc<AtomicUsize>,
    needs_handshake: bool,
    is_immediate: bool,
}

impl Backend {
    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn result_of(credential: &Credential) -> Result<Identity, VerifyError> {
        let name = credential
            .username()
            .unwrap_or(credential.carrier().as_str());
        let identity = Identity::builder("alice").claims(name.to_owned());
        match credential.expose_secret() {
            "good" => Ok(identity.scopes(["chat"]).build()),
            "short" => Ok(identity.expires_at(at(5)).build()),
            "once" => Ok(identity.single_use().build()),
            "unavailable" => Err(VerifyError::unavailable()),
            "forbidden" => Err(VerifyError::Forbidden),
            _ => Err(VerifyError::Invalid),
        }
    }
}

impl Verify for Backend {
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Self::result_of(credential)
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        self.is_immediate.then(|| Self::result_of(credential))
    }

    fn needs_handshake(&self) -> bool {
        self.needs_handshake
    }
}

/// Returns a time some seconds after a fixed one, far from the current time.
fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + second)
}

#[derive(Clone, Debug)]
struct ManualClock(Arc<Mutex<SystemTime>>);

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

impl ManualClock {
    fn set(&self, second: u64) {
        *self.0.lock().unwrap() = at(second);
    }
}

struct Machines {
    backend: Backend,
    clock: ManualClock,
    one: RedisVerifications<Backend>,
    other: RedisVerifications<Backend>,
}

fn machines(redis: &Redis, backend: Backend) -> Machines {
    let clock = ManualClock(Arc::new(Mutex::new(at(0))));
    let key = VerificationKey::new([7; 32]);
    let machine = || {
        RedisVerifications::new(redis, backend.clone(), &key, "test")
            .lookup_limit(Duration::from_secs(20))
            .with_claims::<String>()
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
async fn results_are_shared_between_machines() {
    let server = RedisServer::start();
    let machines = machines(&with_long_deadline(&server.url()), Backend::default());
    let good = Credential::bearer("good");
    let verified = machines.one.verify(&good).await.unwrap();
    let shared = machines.other.verify(&good).await.unwrap();
    assert_eq!(machines.backend.calls(), 1);
    assert_eq!(shared.subject(), verified.subject());
    assert_eq!(shared.claims::<String>(), verified.claims::<String>());
    assert_eq!(shared.scopes(), verified.scopes());
    assert!(shared.proof().is_none());

    // Another scheme or user name is another credential.
    let named = machines
        .other
        .verify(&Credential::basic("bob", "good"))
        .await
        .unwrap();
    assert_eq!(named.claims::<String>().unwrap(), "bob");
    assert_eq!(machines.backend.calls(), 2);

    machines.clock.set(59);
    machines.other.verify(&good).await.unwrap();
    assert_eq!(machines.backend.calls(), 2);
    machines.clock.set(60);
    machines.other.verify(&good).await.unwrap();
    assert_eq!(machines.backend.calls(), 3, "the result has expired");
}

#[tokio::test]
async fn refusals_and_single_use_identities_are_not_stored() {
    let server = RedisServer::start();
    let redis = with_long_deadline(&server.url());
    let machines = machines(&redis, Backend::default());
    let refusals = [
        ("bad", VerifyError::Invalid),
        ("unavailable", VerifyError::unavailable()),
        ("forbidden", VerifyError::Forbidden),
    ];
    for (secret, refusal) in refusals {
        let verified = machines.one.verify(&Credential::bearer(secret)).await;
        assert_eq!(verified.unwrap_err(), refusal);
    }
    let once = Credential::bearer("once");
    assert!(machines.one.verify(&once).await.unwrap().is_single_use());
    machines.clock.set(5);
    assert!(
        machines
            .one
            .verify(&Credential::bearer("short"))
            .await
            .is_ok()
    );
    assert_eq!(server.command(&["DBSIZE"]), "0");
    assert_eq!(machines.backend.calls(), 5);

    // An identity is not stored beyond its expiry.
    machines.clock.set(0);
    let short = Credential::bearer("short");
    machines.one.verify(&short).await.unwrap();
    let key = server.command(&["KEYS", "*"]);
    let left: u64 = server.command(&["PTTL", &key]).parse().unwrap();
    assert!(left <= 5_000, "{left}");
    machines.clock.set(4);
    machines.other.verify(&short).await.unwrap();
    assert_eq!(machines.backend.calls(), 6);
    machines.clock.set(5);
    machines.other.verify(&short).await.unwrap();
    assert_eq!(machines.backend.calls(), 7);
}

#[tokio::test]
async fn identities_with_unregistered_claims_are_not_shared() {
    let server = RedisServer::start();
    let backend = Backend::default();
    let key = VerificationKey::new([7; 32]);
    let redis = with_long_deadline(&server.url());
    let verifier = RedisVerifications::new(&redis, backend.clone(), &key, "test")
        .lookup_limit(Duration::from_secs(20));
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).finish();
    // With a single subscriber, a test on another thread, which has none, could disable the event
    // for all threads.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let guard = tracing::subscriber::set_default(subscriber);
    for calls in 1..3 {
        let identity = verifier.verify(&Credential::bearer("good")).await.unwrap();
        assert_eq!(identity.claims::<String>().unwrap(), "authorization");
        assert_eq!(backend.calls(), calls);
    }
    drop(guard);
    assert_eq!(server.command(&["DBSIZE"]), "0");
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(log.matches("ERROR").count(), 1, "{log}");
    assert!(
        log.contains("with_claims::<alloc::string::String>()"),
        "{log}"
    );
}

/// Collects what a subscriber writes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn some_verifiers_do_not_use_redis() {
    let server = RedisServer::start();
    let redis = with_long_deadline(&server.url());
    let good = Credential::bearer("good");
    let backend = Backend {
        needs_handshake: true,
        ..Backend::default()
    };
    let handshake = machines(&redis, backend);
    assert!(handshake.one.needs_handshake());
    handshake.one.verify(&good).await.unwrap();
    handshake.one.verify(&good).await.unwrap();
    assert_eq!(handshake.backend.calls(), 2);

    let backend = Backend {
        is_immediate: true,
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
async fn redis_receives_no_credential_and_cannot_forge_identities() {
    let server = RedisServer::start();
    let redis = with_long_deadline(&server.url());
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

    // An attacker stores the result of bob under the key of alice.
    let other = Credential::basic("alice", "good");
    machines.one.verify(&other).await.unwrap();
    let keys = server.command(&["KEYS", "*"]);
    let other_key = keys.lines().find(|line| *line != key).unwrap();
    server.command(&["COPY", &key, other_key, "REPLACE"]);
    let identity = machines.other.verify(&other).await.unwrap();
    assert_eq!(identity.claims::<String>().unwrap(), "alice");
    assert_eq!(machines.backend.calls(), 3, "the copy is not accepted");

    // An attacker stores a forged result, or extends one.
    server.command(&[
        "SET",
        &key,
        r#"{"version":1,"until":9999999999999,"identity":{}}"#,
    ]);
    machines.other.verify(&good).await.unwrap();
    assert_eq!(machines.backend.calls(), 4);
    server.command(&["PERSIST", &key]);
    machines.clock.set(60);
    machines.other.verify(&good).await.unwrap();
    assert_eq!(machines.backend.calls(), 5);

    // With another key or namespace, the result is not found.
    for (key, namespace) in [([7; 32], "other"), ([8; 32], "test")] {
        let key = VerificationKey::new(key);
        let other = RedisVerifications::new(&redis, Backend::default(), &key, namespace)
            .with_claims::<String>();
        other.verify(&good).await.unwrap();
    }
    assert_eq!(server.command(&["DBSIZE"]), "4");
}

#[tokio::test]
async fn the_verifier_is_called_if_redis_is_unavailable() {
    let mut server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let redis = with_default_deadline(&proxy.url());
    let backend = Backend::default();
    let machine = || {
        let key = VerificationKey::new([7; 32]);
        RedisVerifications::new(&redis, backend.clone(), &key, "test").with_claims::<String>()
    };
    let good = Credential::bearer("good");
    machine().verify(&good).await.unwrap();
    assert_eq!(backend.calls(), 1);

    // After a failed command, no further one is sent for a second.
    proxy.set(Mode::Cut);
    let paused = machine();
    let before = proxy.counts().connections;
    for _ in 0..10 {
        paused.verify(&good).await.unwrap();
    }
    let attempts = proxy.counts().connections - before;
    assert!(attempts < 10, "{attempts}");

    // A new verifier for each mode, without that pause.
    for mode in [Mode::Cut, Mode::Silent, Mode::Slow(Duration::from_secs(5))] {
        proxy.set(mode);
        let before = backend.calls();
        let machine = machine();
        machine.verify(&good).await.unwrap();
        machine.verify(&good).await.unwrap();
        assert_eq!(backend.calls(), before + 2, "{mode:?}");
        let bad = machine.verify(&Credential::bearer("bad")).await;
        assert_eq!(bad.unwrap_err(), VerifyError::Invalid, "{mode:?}");
    }
    proxy.set(Mode::Open);
    server.kill();
    let before = backend.calls();
    machine().verify(&good).await.unwrap();
    assert_eq!(backend.calls(), before + 1);
    server.restart();
    // With a limit for slow test machines.
    let redis = with_long_deadline(&proxy.url());
    let with_long_limit = || {
        let key = VerificationKey::new([7; 32]);
        RedisVerifications::new(&redis, backend.clone(), &key, "test")
            .with_claims::<String>()
            .lookup_limit(Duration::from_secs(20))
    };
    let before = backend.calls();
    with_long_limit().verify(&good).await.unwrap();
    with_long_limit().verify(&good).await.unwrap();
    assert!(backend.calls() <= before + 1, "results are shared again");
}
