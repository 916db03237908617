//! Verifiers that fail. "Cannot tell" is not "no": it is a 503, it is not remembered, and nobody
//! gets in meanwhile.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use portcullis::testing::{Accepting, FakeClock, Refusing, Silent};
use portcullis::{AuthLayer, Clock, Credential, Identity, Verify, VerifyError};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::site::Over;
use crate::table::Table;

/// What a verifier does, and the status and the `Retry-After` that come of it.
#[tokio::test(start_paused = true)]
async fn table() {
    let mut table = Table::new();
    let mut row = |name, expected, actual: [String; 2]| {
        for (over, actual) in Over::BOTH.into_iter().zip(actual) {
            table.row((name, over), expected, actual);
        }
    };
    let down = VerifyError::unavailable();
    let wait = |seconds| VerifyError::Unavailable {
        retry_after: Some(Duration::from_secs(seconds)),
    };
    row(
        "is down",
        "503, retry after 5",
        ask(Refusing::because(down)).await,
    );
    row(
        "is down for a minute",
        "503, retry after 60",
        ask(Refusing::because(wait(60))).await,
    );
    row(
        "is down for no time",
        "503, retry after 1",
        ask(Refusing::because(wait(0))).await,
    );
    row(
        "is down, later",
        "503, retry after 5",
        ask(later(Refusing::because(down))).await,
    );
    row("does not answer", "503, retry after 5", ask(Silent).await);
    row("panics at once", "500", ask(Panics::AtOnce).await);
    row(
        "panics before it waits",
        "500",
        ask(Panics::BeforeItWaits).await,
    );
    row(
        "panics while it waits",
        "500",
        ask(Panics::WhileItWaits).await,
    );
    row(
        "panics in a closure",
        "500",
        ask(panics as fn(Credential) -> Never).await,
    );
    // The control: they are as good as any other.
    row(
        "accepts",
        "200",
        ask(Accepting::everything(Identity::new("alice"))).await,
    );
    row(
        "accepts, later",
        "200",
        ask(later(Accepting::everything(Identity::new("alice")))).await,
    );
    table.finish();
}

/// The answer of the same layer to a request after one that failed.
#[tokio::test]
async fn a_failure_is_not_remembered() {
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
        for over in Over::BOTH {
            let client = over.client(app.clone());
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

/// The limit is the one that was set, and the ten seconds of the documentation unless one was.
#[tokio::test(start_paused = true)]
async fn admission_gives_up_in_time() {
    let limits = [
        None,
        Some(Duration::from_millis(1)),
        Some(Duration::from_secs(60)),
    ];
    for limit in limits {
        let auth = match limit {
            Some(limit) => AuthLayer::new(Silent).verify_timeout(limit),
            None => AuthLayer::new(Silent),
        };
        let app = Router::new().route("/ws", any(|| async {})).layer(auth);
        for over in Over::BOTH {
            // Tokio's clock stands still while anything else can happen.
            let start = Instant::now();
            let handshake = over.client(app.clone()).websocket("/ws").bearer("t0k");
            assert_eq!(handshake.connect().await.unwrap_err().status(), 503);
            let limit = limit.unwrap_or(Duration::from_secs(10));
            let granularity = Duration::from_millis(1);
            assert!(
                (limit..=limit + granularity).contains(&start.elapsed()),
                "{limit:?}"
            );
        }
    }
}

/// A verifier that accepts what has ended long ago is overruled. It may have a leeway of its own, so
/// admission has the longest that is usual: a minute.
#[tokio::test]
async fn an_identity_ends() {
    let clock = FakeClock::new();
    let end = clock.now();
    let alice = Identity::builder("alice").expires_at(end).build();
    let verifier = Accepting::everything(alice);
    let router = || Router::new().route("/", any(|| async {}));
    let apps = [
        router().layer(AuthLayer::new(verifier.clone()).clock(clock.clone())),
        router().layer(AuthLayer::new(later(verifier)).clock(clock.clone())),
    ];
    let minute = Duration::from_secs(60);
    let moment = Duration::from_nanos(1);
    let rows = [
        (end - minute, 200),
        (end + minute - moment, 200),
        (end + minute, 401),
        (end + 60 * minute, 401),
    ];
    for app in apps {
        for over in Over::BOTH {
            let client = over.client(app.clone());
            for (now, expected) in rows {
                clock.set(now);
                let response = client.get("/").bearer("t0k").send().await;
                assert_eq!(response.status(), expected, "{now:?}");
            }
        }
    }
}

/// A client that leaves takes its question with it.
#[tokio::test]
async fn a_client_that_leaves_is_forgotten() {
    for over in Over::BOTH {
        let asked = Arc::new(Notify::new());
        let (dropped, is_dropped) = oneshot::channel::<()>();
        let verifier = {
            let (asked, dropped) = (Arc::clone(&asked), std::sync::Mutex::new(Some(dropped)));
            move |_: Credential| {
                let (asked, guard) = (Arc::clone(&asked), dropped.lock().unwrap().take());
                async move {
                    let _guard = guard;
                    asked.notify_one();
                    pending::<Result<Identity, VerifyError>>().await
                }
            }
        };
        async fn hit() {
            unreachable!("nobody was admitted")
        }
        let app = Router::new()
            .route("/", any(hit))
            .layer(AuthLayer::new(verifier));
        let client = over.client(app);
        let request = tokio::spawn(async move { client.get("/").bearer("t0k").send().await });
        asked.notified().await;
        request.abort();
        assert!(
            is_dropped.await.is_err(),
            "the verification is dropped, over {over:?}"
        );
    }
}

/// The status, and when to try again, of an upgrade that this verifier decides about.
async fn ask(verifier: impl Verify<Claims = ()>) -> [String; 2] {
    let hits = Arc::new(AtomicUsize::new(0));
    let handler = {
        let hits = Arc::clone(&hits);
        move || async move {
            hits.fetch_add(1, Ordering::SeqCst);
        }
    };
    let app = Router::new()
        .route("/", any(handler))
        .layer(AuthLayer::new(verifier));
    let mut answers = Vec::new();
    for over in Over::BOTH {
        let client = over.client(app.clone());
        // Twice, since the first one may have broken something.
        client.get("/").bearer("t0k").send().await;
        let before = hits.load(Ordering::SeqCst);
        let response = client.get("/").bearer("t0k").send().await;
        let admitted = hits.load(Ordering::SeqCst) - before;
        assert_eq!(admitted, usize::from(response.status() == 200));
        let status = response.status().as_u16();
        answers.push(match response.header("retry-after") {
            Some(delay) => format!("{status}, retry after {delay}"),
            None => status.to_string(),
        });
    }
    answers.try_into().unwrap()
}

/// The same verifier, but it has to be waited for.
fn later<V: Verify>(verifier: V) -> impl Verify<Claims = V::Claims> {
    let verifier = Arc::new(verifier);
    move |credential: Credential| {
        let verifier = Arc::clone(&verifier);
        async move {
            tokio::task::yield_now().await;
            verifier.verify(&credential).await
        }
    }
}

/// A verifier that panics.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Panics {
    AtOnce,
    BeforeItWaits,
    WhileItWaits,
}

impl Verify for Panics {
    type Claims = ();

    async fn verify(&self, _: &Credential) -> Result<Identity, VerifyError> {
        if *self == Self::WhileItWaits {
            tokio::task::yield_now().await;
        }
        panic!("the verifier is broken")
    }

    fn verify_now(&self, _: &Credential) -> Option<Result<Identity, VerifyError>> {
        match self {
            Self::AtOnce => panic!("the verifier is broken"),
            Self::BeforeItWaits | Self::WhileItWaits => None,
        }
    }
}

type Never = std::future::Pending<Result<Identity, VerifyError>>;

/// Does not even get as far as a future.
fn panics(_: Credential) -> Never {
    panic!("the verifier is broken")
}
