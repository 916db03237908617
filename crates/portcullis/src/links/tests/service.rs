//! How the layer calls the inner service.

use std::task::Poll;

use http::StatusCode;
use tower::Service;
use tower_test::{assert_request_eq, mock};

use super::*;

/// The mock panics if it is called before it is ready. A clone of it is not ready.
#[tokio::test]
async fn service_that_was_ready_is_called() {
    for slow in [false, true] {
        let server = Server::with(slow, |layer| layer);
        let layer = PersistTokenLayer::new(server.verifier.clone(), server.cookie.clone());
        let (mut service, mut inner) =
            mock::spawn_with(|mock: mock::Mock<Target, Response<Bytes>>| {
                layer.layer(Targets(mock))
            });
        for (token, calls) in [("mallory", true), ("down", true), ("alice-1", false)] {
            inner.allow(0);
            assert!(service.poll_ready().is_pending(), "{token}");
            inner.allow(1);
            assert!(
                matches!(service.poll_ready(), Poll::Ready(Ok(()))),
                "{token}"
            );
            let target = format!("/?token={token}");
            let answer = service.call(request("GET", &target, TYPED, &Jar::default()));
            if calls {
                let answer = tokio::spawn(answer);
                assert_request_eq!(inner, Target(target)).send_response(Response::default());
                assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::OK);
            } else {
                assert_eq!(answer.await.unwrap().status(), StatusCode::SEE_OTHER);
            }
        }
    }
}

#[derive(Debug, PartialEq)]
struct Target(String);

/// Passes only the target of a request to a mock, because requests cannot be compared.
#[derive(Clone)]
struct Targets(mock::Mock<Target, Response<Bytes>>);

impl Service<Request<String>> for Targets {
    type Response = Response<Bytes>;
    type Error = <mock::Mock<Target, Response<Bytes>> as Service<Target>>::Error;
    type Future = <mock::Mock<Target, Response<Bytes>> as Service<Target>>::Future;

    fn poll_ready(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<String>) -> Self::Future {
        self.0.call(Target(request.uri().to_string()))
    }
}

#[tokio::test]
async fn error_of_the_service_is_returned() {
    let server = Server::new();
    let layer = PersistTokenLayer::new(server.verifier.clone(), server.cookie.clone());
    let inner = tower::service_fn(async |_: Request<String>| Err::<Response<Bytes>, _>("broken"));
    for jar in [Jar::default(), server.jar("alice-1")] {
        let answer = layer
            .layer(inner)
            .oneshot(request("GET", "/", TYPED, &jar))
            .await;
        assert_eq!(answer.unwrap_err(), "broken");
    }
}

#[tokio::test(start_paused = true)]
async fn verifier_that_hangs_times_out() {
    let server = Server::with(true, |layer| layer.verify_timeout(Duration::from_secs(1)));
    let response = server.open("/?token=hang", TYPED, &Jar::default()).await;
    assert_eq!(outcome(&response), "pass 503");
    let response = server
        .open("/?token=alice-1", TYPED, &server.jar("hang"))
        .await;
    assert_eq!(outcome(&response), "pass 200");
}

/// Checks the bounds of `axum::serve` and of a multi-threaded runtime.
#[test]
fn service_is_send_and_cloneable() {
    fn check<S: Service<Request<String>, Future: Send> + Clone + Send + Sync + 'static>(_: &S) {}
    let server = Server::new();
    check(&server.app);
}
