//! One layer around every kind of route and method: without a credential no request reaches a
//! handler, and with a credential routing works as without the layer.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{MethodFilter, any, get, on, post};
use futures_util::FutureExt;
use http::Method;
use portcullis::testing::{Accepting, Counting, TestClient, TestRequest};
use portcullis::{AuthLayer, Identity};
use tower::service_fn;

use crate::support::{HttpVersion, Table};

/// The path, and the methods of its route.
const ROUTES: &[(&str, &[Method])] = &[
    ("/get", &[Method::GET, Method::HEAD]),
    ("/post", &[Method::POST]),
    ("/any", EVERY),
    ("/connect", &[Method::CONNECT]),
    ("/service", EVERY),
    ("/nest/inner", EVERY),
    ("/nest/deep/inner", EVERY),
    ("/merged", EVERY),
    ("/wild/a/b", EVERY),
    ("/nested-service/x", EVERY),
    // The fallback.
    ("/nowhere", EVERY),
];

const EVERY: &[Method] = &[
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
    Method::CONNECT,
];

#[tokio::test]
async fn no_route_is_reached_without_a_credential() {
    let (app, mut table) = (App::new(), Table::new());
    for version in HttpVersion::ALL {
        let client = version.client(app.with_layer());
        for (path, methods) in ROUTES {
            for (name, request, method) in requests(version) {
                let sent = (path, name, version);
                let anonymous = request(&client, path).send().await;
                let status = anonymous.status().as_u16();
                // An HTTP/1.1 handshake is a GET, so a POST with Upgrade is malformed.
                let expected = if name == "POST with Upgrade" {
                    400
                } else {
                    401
                };
                table.row((sent, "anonymous"), expected, status);
                table.row((sent, "calls"), "0 verified, 0 handled", app.calls());

                let known = request(&client, path).bearer("t0k").send().await;
                let expected = match (name, methods.contains(&method)) {
                    ("POST with Upgrade", _) => "400, 0 verified, 0 handled",
                    (_, true) => "200, 1 verified, 1 handled",
                    (_, false) => "405, 1 verified, 0 handled",
                };
                let actual = format!("{}, {}", known.status().as_u16(), app.calls());
                table.row((sent, "known"), expected, actual);
            }
        }
    }
    table.finish();
}

/// With `route_layer` an unknown path is a 404, with and without a credential.
#[tokio::test]
async fn route_layer_leaves_the_fallback_alone() {
    let (app, mut table) = (App::new(), Table::new());
    for version in HttpVersion::ALL {
        let client = version.client(app.with_route_layer());
        for (path, _) in ROUTES {
            for (name, request, _) in requests(version) {
                let anonymous = request(&client, path).send().await;
                let expected = match (*path, name) {
                    ("/nowhere", _) => 404,
                    (_, "POST with Upgrade") => 400,
                    _ => 401,
                };
                let row = (path, name, version);
                table.row(row, expected, anonymous.status().as_u16());
                table.row((row, "calls"), "0 verified, 0 handled", app.calls());
            }
        }
    }
    table.finish();
}

#[tokio::test]
async fn no_spelling_of_a_path_bypasses_admission() {
    let spellings = [
        "/any",
        "//any",
        "/any/",
        "/./any",
        "/any/.",
        "/x/../any",
        "/../any",
        "/%61ny",
        "/%61%6e%79",
        "/ANY",
        "/any;x",
        "/any;/x",
        "/any%2f",
        "/any%00",
        "/any%20",
        "/any?/health",
        "/any?x=/get",
        "/any#x",
        "/any/%2e%2e/get",
        "/nest//inner",
        "/nest/./inner",
        "/nest/%69nner",
        "/nest/deep/../inner",
        "/wild/..%2fany",
        "http://localhost/any",
        "http://localhost//any",
        "*",
    ];
    let (app, mut table) = (App::new(), Table::new());
    for version in HttpVersion::ALL {
        for (router, fallback) in [(app.with_layer(), 401), (app.with_route_layer(), 404)] {
            let client = version.client(router);
            for path in spellings {
                let status = client.get(path).send().await.status().as_u16();
                let refused = status == 401 || status == fallback;
                table.row((path, version, status), true, refused);
                table.row((path, version), "0 verified, 0 handled", app.calls());
                client.get(path).bearer("t0k").send().await;
                let calls = app.calls();
                let expected = [
                    "0 verified, 0 handled",
                    "1 verified, 0 handled",
                    "1 verified, 1 handled",
                ];
                table.row((path, version, &calls), true, expected.contains(&&*calls));
            }
        }
    }
    table.finish();
}

/// A preflight contains no credential. A CORS layer outside of `AuthLayer` has to answer it.
#[tokio::test]
async fn preflight_without_a_credential_is_refused() {
    let app = App::new();
    for version in HttpVersion::ALL {
        let client = version.client(app.with_layer());
        let preflight = client
            .request(Method::OPTIONS, "/any")
            .origin("http://evil.com")
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "authorization");
        assert_eq!(preflight.send().await.status(), 401);
        assert_eq!(app.calls(), "0 verified, 0 handled");
    }
}

type Build = fn(&TestClient, &str) -> TestRequest;

/// A request with each method, and the handshakes of this version of HTTP.
fn requests(version: HttpVersion) -> Vec<(&'static str, Build, Method)> {
    let mut requests: Vec<(&str, Build, Method)> = vec![
        ("GET", |client, path| client.get(path), Method::GET),
        (
            "HEAD",
            |client, path| client.request(Method::HEAD, path),
            Method::HEAD,
        ),
        ("POST", |client, path| client.post(path), Method::POST),
        (
            "PUT",
            |client, path| client.request(Method::PUT, path),
            Method::PUT,
        ),
        (
            "PATCH",
            |client, path| client.request(Method::PATCH, path),
            Method::PATCH,
        ),
        (
            "DELETE",
            |client, path| client.request(Method::DELETE, path),
            Method::DELETE,
        ),
        (
            "OPTIONS",
            |client, path| client.request(Method::OPTIONS, path),
            Method::OPTIONS,
        ),
    ];
    match version {
        HttpVersion::Http1 => {
            requests.push((
                "handshake",
                |client, path| client.websocket(path),
                Method::GET,
            ));
            requests.push((
                "POST with Upgrade",
                |client, path| client.post(path).header("upgrade", "websocket"),
                Method::POST,
            ));
        }
        HttpVersion::Http2 => requests.push((
            "handshake",
            |client, path| client.websocket(path),
            Method::CONNECT,
        )),
    }
    requests
}

/// A router with every kind of route, and counts of the calls to the verifier and to the handlers.
struct App {
    verifier: Counting<Accepting>,
    handled: Arc<AtomicUsize>,
    verified: AtomicUsize,
}

impl App {
    fn new() -> Self {
        Self {
            verifier: Counting::new(Accepting::token("t0k", Identity::new("alice"))),
            handled: Arc::default(),
            verified: AtomicUsize::new(0),
        }
    }

    fn with_layer(&self) -> Router {
        let handler = self.handler();
        self.router()
            .fallback(handler)
            .layer(AuthLayer::new(self.verifier.clone()))
    }

    fn with_route_layer(&self) -> Router {
        self.router()
            .route_layer(AuthLayer::new(self.verifier.clone()))
    }

    fn router(&self) -> Router {
        let handler = || self.handler();
        let service = || {
            let handler = handler();
            service_fn(move |_: Request| {
                handler().map(|()| Ok::<_, Infallible>(Response::new(Body::empty())))
            })
        };
        let deep = Router::new().route("/inner", any(handler()));
        let nest = Router::new()
            .route("/inner", any(handler()))
            .nest("/deep", deep);
        let merged = Router::new().route("/merged", any(handler()));
        Router::new()
            .route("/get", get(handler()))
            .route("/post", post(handler()))
            .route("/any", any(handler()))
            .route("/connect", on(MethodFilter::CONNECT, handler()))
            .route_service("/service", service())
            .nest("/nest", nest)
            .merge(merged)
            .route("/wild/{*rest}", any(handler()))
            .nest_service("/nested-service", service())
    }

    fn handler(&self) -> impl Fn() -> std::future::Ready<()> + Clone + Send + Sync + 'static {
        let handled = Arc::clone(&self.handled);
        move || {
            handled.fetch_add(1, Ordering::SeqCst);
            std::future::ready(())
        }
    }

    /// The calls since the last call of this method.
    fn calls(&self) -> String {
        let handled = self.handled.swap(0, Ordering::SeqCst);
        let verified = self.verifier.calls();
        let before = self.verified.swap(verified, Ordering::SeqCst);
        format!("{} verified, {handled} handled", verified - before)
    }
}
