//! The contract of `tower::Service`: readiness goes through to the inner service, and the instance
//! that was polled ready is the one that is called. `tower-test`'s mock panics if it is not.

use std::task::Poll;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use portcullis::testing::{Accepting, Silent};
use portcullis::{AuthLayer, Credential, Identity, RequireScopeLayer};
use tower::Layer;
use tower_test::mock::{self, Handle, Mock, Spawn};

type Inner = Mock<Request<()>, Response<Bytes>>;
type InnerHandle = Handle<Request<()>, Response<Bytes>>;

#[test]
fn auth_forwards_readiness() {
    forwards_readiness(AuthLayer::new(Silent));
}

#[test]
fn require_scope_forwards_readiness() {
    forwards_readiness(RequireScopeLayer::all(["a"]));
}

fn forwards_readiness<L>(layer: L)
where
    L: Layer<Inner>,
    L::Service: tower::Service<Request<()>, Error = tower::BoxError>,
{
    let (mut service, mut inner): (Spawn<L::Service>, InnerHandle) = mock::spawn_layer(layer);
    inner.allow(0);
    assert!(service.poll_ready().is_pending());
    assert!(!service.is_woken());

    // It is told, and not asked again and again.
    inner.allow(1);
    assert!(service.is_woken());
    assert!(matches!(service.poll_ready(), Poll::Ready(Ok(()))));

    inner.send_error("the inner service is broken");
    match service.poll_ready() {
        Poll::Ready(Err(error)) => assert_eq!(error.to_string(), "the inner service is broken"),
        other => panic!("expected the error, got {other:?}"),
    }
}

/// A verifier that answers at once: the service itself is called, at once.
#[tokio::test]
async fn the_ready_instance_is_called_at_once() {
    let auth = AuthLayer::new(Accepting::token("t0k", Identity::new("alice")));
    let (mut service, mut inner): (_, InnerHandle) = mock::spawn_layer(auth);
    for _ in 0..3 {
        inner.allow(1);
        assert!(matches!(service.poll_ready(), Poll::Ready(Ok(()))));
        let response = service.call(request("t0k"));
        let (seen, answer) = inner.next_request().await.unwrap();
        assert_eq!(
            seen.extensions().get::<Identity>().unwrap().subject(),
            "alice"
        );
        answer.send_response(Response::new(Bytes::from_static(b"hello")));
        assert_eq!(response.await.unwrap().body(), "hello");
    }
}

/// A verifier that has to be waited for: the ready instance goes with the future, and what stays
/// behind asks for readiness again.
#[tokio::test]
async fn the_ready_instance_is_called_later() {
    let auth = AuthLayer::new(async |_: Credential| {
        tokio::task::yield_now().await;
        Ok(Identity::new("alice"))
    });
    let (mut service, mut inner): (_, InnerHandle) = mock::spawn_layer(auth);
    for _ in 0..3 {
        inner.allow(1);
        assert!(matches!(service.poll_ready(), Poll::Ready(Ok(()))));
        let response = service.call(request("t0k"));
        assert!(
            inner.next_request().now_or_never().is_none(),
            "not before it is verified"
        );
        let answer = async {
            let (_, answer) = inner.next_request().await.unwrap();
            answer.send_response(Response::new(Bytes::from_static(b"hello")));
        };
        let (response, ()) = tokio::join!(response, answer);
        assert_eq!(response.unwrap().body(), "hello");
        assert!(service.poll_ready().is_pending(), "one permit, one call");
    }
}

/// Two requests at once, each with an instance of its own.
#[tokio::test]
async fn two_are_verified_at_once() {
    let auth = AuthLayer::new(async |_: Credential| {
        tokio::task::yield_now().await;
        Ok(Identity::new("alice"))
    });
    let (mut service, mut inner): (_, InnerHandle) = mock::spawn_layer(auth);
    inner.allow(2);
    assert!(service.poll_ready().is_ready());
    let first = service.call(request("t0k"));
    assert!(service.poll_ready().is_ready());
    let second = service.call(request("t0k"));
    let answers = async {
        for _ in 0..2 {
            let (_, answer) = inner.next_request().await.unwrap();
            answer.send_response(Response::new(Bytes::new()));
        }
    };
    let (first, second, ()) = tokio::join!(first, second, answers);
    assert!(first.is_ok() && second.is_ok());
}

/// An error of the inner service is handed on as it is.
#[tokio::test]
async fn an_error_is_handed_on() {
    let auth = AuthLayer::new(Accepting::everything(Identity::new("alice")));
    let (mut service, mut inner): (_, InnerHandle) = mock::spawn_layer(auth);
    inner.allow(1);
    assert!(service.poll_ready().is_ready());
    let response = service.call(request("t0k"));
    inner.next_request().await.unwrap().1.send_error("broken");
    assert_eq!(response.await.unwrap_err().to_string(), "broken");
}

/// What is refused costs the inner service nothing, at once or later.
#[tokio::test]
async fn a_refusal_calls_nobody() {
    let at_once = AuthLayer::new(Accepting::token("t0k", Identity::new("alice")));
    let (mut service, mut inner): (_, InnerHandle) = mock::spawn_layer(at_once);
    inner.allow(1);
    for token in ["wrong", "not a token"] {
        assert!(service.poll_ready().is_ready());
        let response = service.call(request(token)).await.unwrap();
        assert!(response.status().is_client_error());
        assert!(inner.next_request().now_or_never().is_none());
    }

    let later = AuthLayer::new(async |_: Credential| {
        tokio::task::yield_now().await;
        Err::<Identity, _>(portcullis::VerifyError::Invalid)
    });
    let (mut service, mut inner): (_, InnerHandle) = mock::spawn_layer(later);
    inner.allow(1);
    assert!(service.poll_ready().is_ready());
    let response = service.call(request("t0k")).await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(inner.next_request().now_or_never().is_none());

    let scope = RequireScopeLayer::all(["a"]);
    let (mut service, mut inner): (_, InnerHandle) = mock::spawn_layer(scope);
    inner.allow(1);
    assert!(service.poll_ready().is_ready());
    let mut unscoped = request("t0k");
    unscoped.extensions_mut().insert(Identity::new("alice"));
    assert_eq!(service.call(unscoped).await.unwrap().status(), 403);
    assert!(inner.next_request().now_or_never().is_none());
}

fn request(token: &str) -> Request<()> {
    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    request.body(()).unwrap()
}
