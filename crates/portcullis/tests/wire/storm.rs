//! Everybody renews in the same moment. Behind the verifier is somebody who is not to be stormed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::{any, post};
use futures_util::future::join_all;
use portcullis::session::SessionId;
use portcullis::testing::FakeClock;
use portcullis::verify::{CacheConfig, VerifyExt};
use portcullis::{
    AuthLayer, Clock, Credential, Identity, Session, Sessions, Verify, VerifyError, renewal_handler,
};

use crate::site::Over;

const SESSIONS: usize = 2_000;

/// So many questions the verifier's backend takes at once.
const AT_ONCE: usize = 500;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn of_as_many_credentials() {
    let storm = Storm::new();
    for number in 0..SESSIONS {
        storm.open(&format!("first-{number}")).await;
    }
    let mut left: Vec<_> = (0..SESSIONS).collect();
    let mut rounds = 0;
    while !left.is_empty() {
        let renewals = left
            .iter()
            .map(|number| storm.renew(*number, format!("second-{number}")));
        let statuses = join_all(renewals).await;
        let mut refused = Vec::new();
        for (number, status) in left.into_iter().zip(statuses) {
            match status {
                200 => {}
                503 => refused.push(number),
                other => panic!("{other}"),
            }
        }
        left = refused;
        rounds += 1;
    }
    assert_eq!(storm.backend.counts.most.load(Ordering::SeqCst), AT_ONCE);
    assert_eq!(rounds, SESSIONS / AT_ONCE);
    // Nobody was asked about twice, and nobody's session ended over a 503.
    assert_eq!(storm.asked(), 2 * SESSIONS);
    assert_eq!(storm.sessions.len(), SESSIONS);
}

#[tokio::test(start_paused = true)]
async fn of_one_credential() {
    let storm = Storm::new();
    for _ in 0..SESSIONS {
        storm.open("first-0").await;
    }
    let renewals = (0..SESSIONS).map(|number| storm.renew(number, "second-0".to_owned()));
    assert!(join_all(renewals).await.iter().all(|status| *status == 200));
    assert_eq!(storm.asked(), 2);
    assert_eq!(storm.sessions.len(), SESSIONS);
}

/// An application of which many hold a session.
struct Storm {
    app: Router,
    sessions: Sessions,
    backend: Backend,
    held: Arc<Mutex<Vec<Session>>>,
}

impl Storm {
    fn new() -> Self {
        let backend = Backend::default();
        let held: Arc<Mutex<Vec<Session>>> = Arc::default();
        // A clock that stands, so that what is remembered is not forgotten on a slow machine.
        let clock = backend.clock.clone();
        let sessions = Sessions::builder().clock(clock.clone()).build();
        let cache = CacheConfig::default().max_lookups(AT_ONCE);
        let verifier = backend.clone().cached(cache.clock(clock.clone()));
        let auth = AuthLayer::new(verifier).clock(clock).sessions(&sessions);
        let holding = Arc::clone(&held);
        let hold = async move |session: Session| {
            holding.lock().unwrap().push(session);
        };
        let app = Router::new()
            .route("/hold", any(hold))
            .route("/renew", post(renewal_handler(&sessions)))
            .route_layer(auth);
        Self {
            app,
            sessions,
            backend,
            held,
        }
    }

    async fn open(&self, token: &str) {
        let handshake = Over::Http1.client(self.app.clone()).websocket("/hold");
        let response = handshake.bearer(token).connect().await.unwrap_err();
        assert_eq!(response.status(), 200);
    }

    fn asked(&self) -> usize {
        self.backend.counts.asked.load(Ordering::SeqCst)
    }

    async fn renew(&self, number: usize, token: String) -> u16 {
        let session: SessionId = self.held.lock().unwrap()[number].id();
        let request = Over::Http1.client(self.app.clone()).post("/renew");
        let request = request.bearer(&token);
        let body = format!(r#"{{"session":"{session}"}}"#);
        request.body(body).send().await.status().as_u16()
    }
}

/// Takes a second for each answer, and counts.
#[derive(Clone, Debug, Default)]
struct Backend {
    counts: Arc<Counts>,
    clock: FakeClock,
}

#[derive(Debug, Default)]
struct Counts {
    asked: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Verify for Backend {
    type Claims = ();

    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        self.counts.asked.fetch_add(1, Ordering::SeqCst);
        let now = self.counts.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.counts.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(SECOND).await;
        self.counts.now.fetch_sub(1, Ordering::SeqCst);
        let (turn, number) = credential.expose_secret().split_once('-').unwrap();
        let lifetime = if turn == "first" { 3_600 } else { 7_200 };
        let end = self.clock.now() + lifetime * SECOND;
        let identity = Identity::builder(format!("user-{number}")).expires_at(end);
        Ok(identity.build())
    }
}
