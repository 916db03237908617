//! The contract of `tower::Service`: readiness is that of the inner service, and the instance that
//! was polled ready is the one that is called. The mock of `tower-test` panics otherwise.

use std::task::Poll;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use portcullis::testing::{Accepting, Refusing, Silent};
use portcullis::{AuthLayer, Identity, RequireScopeLayer, VerifyError};
use tower::Layer;
use tower_test::mock::{self, Handle, Mock, Spawn};

use crate::support::deferred;

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

    // The inner service wakes the task.
    inner.allow(1);
    assert!(service.is_woken());
    assert!(matches!(service.poll_ready(), Poll::Ready(Ok(()))));

    inner.send_error("the inner service is broken");
    match service.poll_ready() {
        Poll::Ready(Err(error)) => assert_eq!(error.to_string(), "the inner service is broken"),
        other => panic!("expected the error, got {other:?}"),
    }
}

/// The verifier answers immediately.
#[tokio::test]
async fn ready_instance_is_called_immediately() {
    let auth = AuthLayer::new(Accepting::token("t0k", Identity::new("alice")));
    let (mut service, mut inner): (_, InnerHandle) = mock::spawn_layer(auth);
    for _ in 0..3 {
        inner.allow(1);
        assert!(matches!(service.poll_ready(), Poll::Ready(Ok(()))));
        let response = service.call(request("t0k"));
        let (received, responder) = inner.next_request().await.unwrap();
        let identity = received.extensions().get::<Identity>().unwrap();
        assert_eq!(identity.subject(), "alice");
        responder.send_response(Response::new(Bytes::from_static(b"hello")));
        assert_eq!(response.await.unwrap().body(), "hello");
    }
}

/// The future of the response owns the ready instance. The service needs a new permit.
#[tokio::test]
async fn ready_instance_is_called_after_a_deferred_verification() {
    let auth = AuthLayer::new(deferred(Accepting::everything(Identity::new("alice"))));
    let (mut service, mut inner): (_, InnerHandle) = mock::spawn_layer(auth);
    for _ in 0..3 {
        inner.allow(1);
        assert!(matches!(service.poll_ready(), Poll::Ready(Ok(()))));
        let response = service.call(request("t0k"));
        assert!(
            inner.next_request().now_or_never().is_none(),
            "called before the verification"
        );
        let respond = async {
            let (_, responder) = inner.next_request().await.unwrap();
            responder.send_response(Response::new(Bytes::from_static(b"hello")));
        };
        let (response, ()) = tokio::join!(response, respond);
        assert_eq!(response.unwrap().body(), "hello");
        assert!(service.poll_ready().is_pending(), "one permit, one call");
    }
}

/// Each request has its own instance of the inner service.
#[tokio::test]
async fn two_requests_are_verified_concurrently() {
    let auth = AuthLayer::new(deferred(Accepting::everything(Identity::new("alice"))));
    let (mut service, mut inner): (_, InnerHandle) = mock::spawn_layer(auth);
    inner.allow(2);
    assert!(service.poll_ready().is_ready());
    let first = service.call(request("t0k"));
    assert!(service.poll_ready().is_ready());
    let second = service.call(request("t0k"));
    let respond = async {
        for _ in 0..2 {
            let (_, responder) = inner.next_request().await.unwrap();
            responder.send_response(Response::new(Bytes::new()));
        }
    };
    let (first, second, ()) = tokio::join!(first, second, respond);
    assert!(first.is_ok() && second.is_ok());
}

#[tokio::test]
async fn error_of_the_inner_service_is_forwarded() {
    let auth = AuthLayer::new(Accepting::everything(Identity::new("alice")));
    let (mut service, mut inner): (_, InnerHandle) = mock::spawn_layer(auth);
    inner.allow(1);
    assert!(service.poll_ready().is_ready());
    let response = service.call(request("t0k"));
    inner.next_request().await.unwrap().1.send_error("broken");
    assert_eq!(response.await.unwrap_err().to_string(), "broken");
}

/// The verification is immediate or deferred, or the scope layer refuses.
#[tokio::test]
async fn refused_request_does_not_call_the_inner_service() {
    let immediate = AuthLayer::new(Accepting::token("t0k", Identity::new("alice")));
    let (mut service, mut inner): (_, InnerHandle) = mock::spawn_layer(immediate);
    inner.allow(1);
    for token in ["wrong", "not a token"] {
        assert!(service.poll_ready().is_ready());
        let response = service.call(request(token)).await.unwrap();
        assert!(response.status().is_client_error());
        assert!(inner.next_request().now_or_never().is_none());
    }

    let refusing = deferred(Refusing::because(VerifyError::Invalid));
    let refusing = AuthLayer::new(refusing);
    let (mut service, mut inner): (_, InnerHandle) = mock::spawn_layer(refusing);
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
