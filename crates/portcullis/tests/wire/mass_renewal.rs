//! Many sessions renew at the same time. The number of concurrent lookups stays limited.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::{any, post};
use futures_util::future::join_all;
use portcullis::testing::FakeClock;
use portcullis::{
    AuthLayer, Credential, Identity, Session, Sessions, Verify, VerifyError, clock::Clock,
    ws::renewal_handler,
};
use portcullis::{VerifyExt, verify::CacheConfig};

use crate::support::{HOUR, HttpVersion, SECOND, renew_request};

const SESSIONS: usize = 2_000;

const MAX_LOOKUPS: usize = 500;

#[tokio::test(start_paused = true)]
async fn lookups_of_different_credentials_are_limited() {
    let server = Server::new();
    for number in 0..SESSIONS {
        server.open(&format!("first-{number}")).await;
    }
    let mut remaining: Vec<_> = (0..SESSIONS).collect();
    let mut rounds = 0;
    while !remaining.is_empty() {
        let renewals = remaining
            .iter()
            .map(|number| server.renew(*number, format!("second-{number}")));
        let statuses = join_all(renewals).await;
        let mut refused = Vec::new();
        for (number, status) in remaining.into_iter().zip(statuses) {
            match status {
                200 => {}
                503 => refused.push(number),
                other => panic!("{other}"),
            }
        }
        remaining = refused;
        rounds += 1;
    }
    let most = server.backend.counts.max_concurrent.load(Ordering::SeqCst);
    assert_eq!(most, MAX_LOOKUPS);
    assert_eq!(rounds, SESSIONS / MAX_LOOKUPS);
    // Each credential was looked up once, and no session closed because of a 503.
    assert_eq!(server.lookups(), 2 * SESSIONS);
    assert_eq!(server.sessions.len(), SESSIONS);
}

#[tokio::test(start_paused = true)]
async fn renewals_with_one_credential_share_one_lookup() {
    let server = Server::new();
    for _ in 0..SESSIONS {
        server.open("first-0").await;
    }
    let renewals = (0..SESSIONS).map(|number| server.renew(number, "second-0".to_owned()));
    assert!(join_all(renewals).await.iter().all(|status| *status == 200));
    assert_eq!(server.lookups(), 2);
    assert_eq!(server.sessions.len(), SESSIONS);
}

/// An application that keeps every session, with a cached verifier.
struct Server {
    app: Router,
    sessions: Sessions,
    backend: Backend,
    kept: Arc<Mutex<Vec<Session>>>,
}

impl Server {
    fn new() -> Self {
        let backend = Backend::default();
        let kept: Arc<Mutex<Vec<Session>>> = Arc::default();
        // The clock stands still, so that cached results do not expire on a slow machine.
        let clock = backend.clock.clone();
        let sessions = Sessions::builder().clock(clock.clone()).build();
        let cache = CacheConfig::default().max_lookups(MAX_LOOKUPS);
        let verifier = backend.clone().cached(cache.clock(clock.clone()));
        let auth = AuthLayer::new(verifier).clock(clock).sessions(&sessions);
        let list = Arc::clone(&kept);
        let keep = async move |session: Session| {
            list.lock().unwrap().push(session);
        };
        let app = Router::new()
            .route("/keep", any(keep))
            .route("/renew", post(renewal_handler(&sessions)))
            .route_layer(auth);
        Self {
            app,
            sessions,
            backend,
            kept,
        }
    }

    async fn open(&self, token: &str) {
        let handshake = HttpVersion::Http1
            .client(self.app.clone())
            .websocket("/keep");
        let response = handshake.bearer(token).connect().await.unwrap_err();
        assert_eq!(response.status(), 200);
    }

    fn lookups(&self) -> usize {
        self.backend.counts.total.load(Ordering::SeqCst)
    }

    async fn renew(&self, number: usize, token: String) -> u16 {
        let session = self.kept.lock().unwrap()[number].id();
        let client = HttpVersion::Http1.client(self.app.clone());
        let response = renew_request(&client, &token, session).send().await;
        response.status().as_u16()
    }
}

/// Takes one second for each lookup, and counts them.
#[derive(Clone, Debug, Default)]
struct Backend {
    counts: Arc<Counts>,
    clock: FakeClock,
}

#[derive(Debug, Default)]
struct Counts {
    total: AtomicUsize,
    concurrent: AtomicUsize,
    max_concurrent: AtomicUsize,
}

impl Verify for Backend {
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        self.counts.total.fetch_add(1, Ordering::SeqCst);
        let concurrent = self.counts.concurrent.fetch_add(1, Ordering::SeqCst) + 1;
        let max = &self.counts.max_concurrent;
        max.fetch_max(concurrent, Ordering::SeqCst);
        tokio::time::sleep(SECOND).await;
        self.counts.concurrent.fetch_sub(1, Ordering::SeqCst);
        let (name, number) = credential.expose_secret().split_once('-').unwrap();
        let lifetime = if name == "first" { HOUR } else { 2 * HOUR };
        let end = self.clock.now() + lifetime;
        let identity = Identity::builder(format!("user-{number}")).expires_at(end);
        Ok(identity.build())
    }
}
