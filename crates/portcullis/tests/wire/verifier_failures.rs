//! Verifiers that fail. An unavailable verifier is a 503, which differs from a refused credential.
//! A failure is not cached and admits no request.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use portcullis::testing::{Accepting, FakeClock, Refusing, Silent};
use portcullis::{AuthLayer, Credential, Identity, Verify, VerifyError, clock::Clock};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::support::{HOUR, HttpVersion, MINUTE, SECOND, Table, deferred};

/// Each row has the behavior of the verifier, the status and the `Retry-After`.
#[tokio::test(start_paused = true)]
async fn failing_verifier_is_a_503_and_panicking_verifier_is_a_500() {
    let mut table = Table::new();
    let mut row = |name, expected, actual: [String; 2]| {
        for (version, actual) in HttpVersion::ALL.into_iter().zip(actual) {
            table.row((name, version), expected, actual);
        }
    };
    let unavailable = VerifyError::unavailable();
    let wait = |seconds| VerifyError::Unavailable {
        retry_after: Some(Duration::from_secs(seconds)),
    };
    row(
        "unavailable",
        "503, retry after 5",
        status_with(Refusing::because(unavailable)).await,
    );
    row(
        "unavailable for a minute",
        "503, retry after 60",
        status_with(Refusing::because(wait(60))).await,
    );
    row(
        "unavailable for zero seconds",
        "503, retry after 1",
        status_with(Refusing::because(wait(0))).await,
    );
    row(
        "unavailable, deferred",
        "503, retry after 5",
        status_with(deferred(Refusing::because(unavailable))).await,
    );
    row(
        "does not answer",
        "503, retry after 5",
        status_with(Silent).await,
    );
    row(
        "panics in `verify_now`",
        "500",
        status_with(Panics::VerifyNow).await,
    );
    row(
        "panics in the first poll",
        "500",
        status_with(Panics::FirstPoll).await,
    );
    row(
        "panics in a later poll",
        "500",
        status_with(Panics::LaterPoll).await,
    );
    row(
        "panics in a function that returns a future",
        "500",
        status_with(panics as fn(Credential) -> Never).await,
    );
    // The control.
    row(
        "accepts",
        "200",
        status_with(Accepting::everything(Identity::new("alice"))).await,
    );
    row(
        "accepts, deferred",
        "200",
        status_with(deferred(Accepting::everything(Identity::new("alice")))).await,
    );
    table.finish();
}

#[tokio::test]
async fn verifier_failure_does_not_affect_the_next_request() {
    for failure in [VerifyError::unavailable(), VerifyError::Invalid] {
        let calls = Arc::new(AtomicUsize::new(0));
        let verifier = move |_: Credential| {
            let call = calls.fetch_add(1, Ordering::SeqCst);
            async move {
                match call % 3 {
                    0 => Err(failure),
                    1 => panic!("the verifier is broken"),
                    _ => Ok(Identity::new("alice")),
                }
            }
        };
        let app = Router::new()
            .route("/", any(|| async {}))
            .layer(AuthLayer::new(verifier));
        for version in HttpVersion::ALL {
            let client = version.client(app.clone());
            let mut statuses = Vec::new();
            for _ in 0..3 {
                statuses.push(client.get("/").bearer("t0k").send().await.status().as_u16());
            }
            let first = if failure == VerifyError::Invalid {
                401
            } else {
                503
            };
            assert_eq!(statuses, [first, 500, 200]);
        }
    }
}

/// The default of `verify_timeout` is ten seconds.
#[tokio::test(start_paused = true)]
async fn admission_ends_at_the_verify_timeout() {
    let limits = [None, Some(Duration::from_millis(1)), Some(MINUTE)];
    for limit in limits {
        let auth = match limit {
            Some(limit) => AuthLayer::new(Silent).verify_timeout(limit),
            None => AuthLayer::new(Silent),
        };
        let app = Router::new().route("/ws", any(|| async {})).layer(auth);
        for version in HttpVersion::ALL {
            // Tokio's paused clock only advances when every task waits.
            let start = Instant::now();
            let handshake = version.client(app.clone()).websocket("/ws").bearer("t0k");
            assert_eq!(handshake.connect().await.unwrap_err().status(), 503);
            let limit = limit.unwrap_or(10 * SECOND);
            let granularity = Duration::from_millis(1);
            assert!(
                (limit..=limit + granularity).contains(&start.elapsed()),
                "{limit:?}"
            );
        }
    }
}

/// Admission checks the expiry even if the verifier accepts the credential. Its leeway is a minute,
/// the longest that verifiers commonly use.
#[tokio::test]
async fn identity_that_has_expired_is_refused() {
    let clock = FakeClock::new();
    let end = clock.now();
    let alice = Identity::builder("alice").expires_at(end).build();
    let verifier = Accepting::everything(alice);
    let router = || Router::new().route("/", any(|| async {}));
    let apps = [
        router().layer(AuthLayer::new(verifier.clone()).clock(clock.clone())),
        router().layer(AuthLayer::new(deferred(verifier)).clock(clock.clone())),
    ];
    let nanosecond = Duration::from_nanos(1);
    let rows = [
        (end - MINUTE, 200),
        (end + MINUTE - nanosecond, 200),
        (end + MINUTE, 401),
        (end + HOUR, 401),
    ];
    for app in apps {
        for version in HttpVersion::ALL {
            let client = version.client(app.clone());
            for (now, expected) in rows {
                clock.set(now);
                let response = client.get("/").bearer("t0k").send().await;
                assert_eq!(response.status(), expected, "{now:?}");
            }
        }
    }
}

#[tokio::test]
async fn verification_is_dropped_when_the_client_disconnects() {
    for version in HttpVersion::ALL {
        let called = Arc::new(Notify::new());
        let (dropped, is_dropped) = oneshot::channel::<()>();
        let verifier = {
            let (called, dropped) = (Arc::clone(&called), Mutex::new(Some(dropped)));
            move |_: Credential| {
                let (called, guard) = (Arc::clone(&called), dropped.lock().unwrap().take());
                async move {
                    let _guard = guard;
                    called.notify_one();
                    pending::<Result<Identity, VerifyError>>().await
                }
            }
        };
        async fn unreachable() {
            unreachable!("the request was not admitted")
        }
        let app = Router::new()
            .route("/", any(unreachable))
            .layer(AuthLayer::new(verifier));
        let client = version.client(app);
        let request = tokio::spawn(async move { client.get("/").bearer("t0k").send().await });
        called.notified().await;
        request.abort();
        assert!(
            is_dropped.await.is_err(),
            "the verification goes on, over {version:?}"
        );
    }
}

/// The status and the `Retry-After` of a request that this verifier decides, for each HTTP version.
async fn status_with(verifier: impl Verify) -> [String; 2] {
    let calls = Arc::new(AtomicUsize::new(0));
    let handler = {
        let calls = Arc::clone(&calls);
        move || async move {
            calls.fetch_add(1, Ordering::SeqCst);
        }
    };
    let app = Router::new()
        .route("/", any(handler))
        .layer(AuthLayer::new(verifier));
    let mut answers = Vec::new();
    for version in HttpVersion::ALL {
        let client = version.client(app.clone());
        // The second request shows that the first one has not broken the layer.
        client.get("/").bearer("t0k").send().await;
        let before = calls.load(Ordering::SeqCst);
        let response = client.get("/").bearer("t0k").send().await;
        let admitted = calls.load(Ordering::SeqCst) - before;
        assert_eq!(admitted, usize::from(response.status() == 200));
        let status = response.status().as_u16();
        answers.push(match response.header("retry-after") {
            Some(delay) => format!("{status}, retry after {delay}"),
            None => status.to_string(),
        });
    }
    answers.try_into().unwrap()
}

/// A verifier that panics, in `verify_now` or in a poll of its future.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Panics {
    VerifyNow,
    FirstPoll,
    LaterPoll,
}

impl Verify for Panics {
    async fn verify(&self, _: &Credential) -> Result<Identity, VerifyError> {
        if *self == Self::LaterPoll {
            tokio::task::yield_now().await;
        }
        panic!("the verifier is broken")
    }

    fn verify_now(&self, _: &Credential) -> Option<Result<Identity, VerifyError>> {
        match self {
            Self::VerifyNow => panic!("the verifier is broken"),
            Self::FirstPoll | Self::LaterPoll => None,
        }
    }
}

type Never = std::future::Pending<Result<Identity, VerifyError>>;

/// Panics before it returns a future.
fn panics(_: Credential) -> Never {
    panic!("the verifier is broken")
}
