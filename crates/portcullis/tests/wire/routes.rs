//! One layer, every way to put a route into a router, every method: nobody gets in without a
//! credential, and with one everybody gets where they would without the layer.

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

use crate::site::Over;
use crate::table::Table;

/// The address, and the methods that its route is for.
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
async fn no_way_in_without_a_credential() {
    let (site, mut table) = (Site::new(), Table::new());
    for over in Over::BOTH {
        let client = over.client(site.around_everything());
        for (address, methods) in ROUTES {
            for (name, request, method) in requests(over, &client, address) {
                let sent = (address, name, over);
                let stranger = request(&client, address).send().await;
                let status = stranger.status().as_u16();
                // Over HTTP/1.1 a handshake is a GET, so anything else is not even one.
                let expected = if name == "POST with Upgrade" {
                    400
                } else {
                    401
                };
                table.row((sent, "stranger"), expected, status);
                table.row((sent, "hits"), "0 asked, 0 called", site.counts());

                let known = request(&client, address).bearer("t0k").send().await;
                let expected = match (name, methods.contains(&method)) {
                    ("POST with Upgrade", _) => "400, 0 asked, 0 called",
                    (_, true) => "200, 1 asked, 1 called",
                    (_, false) => "405, 1 asked, 0 called",
                };
                let actual = format!("{}, {}", known.status().as_u16(), site.counts());
                table.row((sent, "known"), expected, actual);
            }
        }
    }
    table.finish();
}

/// With `route_layer` an address that does not exist stays a 404, for everybody.
#[tokio::test]
async fn route_layer_leaves_the_fallback_alone() {
    let (site, mut table) = (Site::new(), Table::new());
    for over in Over::BOTH {
        let client = over.client(site.around_routes());
        for (address, _) in ROUTES {
            for (name, request, _) in requests(over, &client, address) {
                let stranger = request(&client, address).send().await;
                let expected = match (*address, name) {
                    ("/nowhere", _) => 404,
                    (_, "POST with Upgrade") => 400,
                    _ => 401,
                };
                table.row((address, name, over), expected, stranger.status().as_u16());
                table.row((address, "hits"), "0 asked, 0 called", site.counts());
            }
        }
    }
    table.finish();
}

/// Other spellings of an address: none leads to a handler without a question.
#[tokio::test]
async fn spellings_of_an_address() {
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
    let (site, mut table) = (Site::new(), Table::new());
    for over in Over::BOTH {
        for (app, fallback) in [(site.around_everything(), 401), (site.around_routes(), 404)] {
            let client = over.client(app);
            for address in spellings {
                let stranger = client.get(address).send().await;
                let refused =
                    matches!(stranger.status().as_u16(), 401) || stranger.status() == fallback;
                table.row((address, over, stranger.status()), true, refused);
                table.row((address, over), "0 asked, 0 called", site.counts());
                client.get(address).bearer("t0k").send().await;
                let counts = site.counts();
                let fine = [
                    "0 asked, 0 called",
                    "1 asked, 0 called",
                    "1 asked, 1 called",
                ];
                table.row((address, over, &counts), true, fine.contains(&&*counts));
            }
        }
    }
    table.finish();
}

/// A preflight bears no credential, so it belongs to a layer outside of ours, and never reaches the
/// handler from here.
#[tokio::test]
async fn a_preflight_is_no_exception() {
    let site = Site::new();
    for over in Over::BOTH {
        let client = over.client(site.around_everything());
        let preflight = client
            .request(Method::OPTIONS, "/any")
            .origin("http://evil.com")
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "authorization");
        assert_eq!(preflight.send().await.status(), 401);
        assert_eq!(site.counts(), "0 asked, 0 called");
    }
}

type Make = fn(&TestClient, &str) -> TestRequest;

/// Every method, and the handshakes of this version of HTTP.
fn requests(over: Over, _: &TestClient, _: &str) -> Vec<(&'static str, Make, Method)> {
    let mut requests: Vec<(&str, Make, Method)> = vec![
        ("GET", |client, address| client.get(address), Method::GET),
        (
            "HEAD",
            |client, address| client.request(Method::HEAD, address),
            Method::HEAD,
        ),
        ("POST", |client, address| client.post(address), Method::POST),
        (
            "PUT",
            |client, address| client.request(Method::PUT, address),
            Method::PUT,
        ),
        (
            "PATCH",
            |client, address| client.request(Method::PATCH, address),
            Method::PATCH,
        ),
        (
            "DELETE",
            |client, address| client.request(Method::DELETE, address),
            Method::DELETE,
        ),
        (
            "OPTIONS",
            |client, address| client.request(Method::OPTIONS, address),
            Method::OPTIONS,
        ),
    ];
    match over {
        Over::Http1 => {
            requests.push((
                "handshake",
                |client, address| client.websocket(address),
                Method::GET,
            ));
            requests.push((
                "POST with Upgrade",
                |client, address| client.post(address).header("upgrade", "websocket"),
                Method::POST,
            ));
        }
        Over::Http2 => requests.push((
            "handshake",
            |client, address| client.websocket(address),
            Method::CONNECT,
        )),
    }
    requests
}

/// A router with every kind of route, and counters behind and in front of it.
struct Site {
    verifier: Counting<Accepting>,
    hits: Arc<AtomicUsize>,
    asked: AtomicUsize,
}

impl Site {
    fn new() -> Self {
        Self {
            verifier: Counting::new(Accepting::token("t0k", Identity::new("alice"))),
            hits: Arc::default(),
            asked: AtomicUsize::new(0),
        }
    }

    fn around_everything(&self) -> Router {
        let hit = self.handler();
        self.router()
            .fallback(hit)
            .layer(AuthLayer::new(self.verifier.clone()))
    }

    fn around_routes(&self) -> Router {
        self.router()
            .route_layer(AuthLayer::new(self.verifier.clone()))
    }

    fn router(&self) -> Router {
        let hit = || self.handler();
        let service = || {
            let hit = hit();
            service_fn(move |_: Request| {
                hit().map(|()| Ok::<_, Infallible>(Response::new(Body::empty())))
            })
        };
        let deep = Router::new().route("/inner", any(hit()));
        let nest = Router::new()
            .route("/inner", any(hit()))
            .nest("/deep", deep);
        let merged = Router::new().route("/merged", any(hit()));
        Router::new()
            .route("/get", get(hit()))
            .route("/post", post(hit()))
            .route("/any", any(hit()))
            .route("/connect", on(MethodFilter::CONNECT, hit()))
            .route_service("/service", service())
            .nest("/nest", nest)
            .merge(merged)
            .route("/wild/{*rest}", any(hit()))
            .nest_service("/nested-service", service())
    }

    fn handler(&self) -> impl Fn() -> std::future::Ready<()> + Clone + Send + Sync + 'static {
        let hits = Arc::clone(&self.hits);
        move || {
            hits.fetch_add(1, Ordering::SeqCst);
            std::future::ready(())
        }
    }

    /// How often the verifier was asked and a handler called since the last time.
    fn counts(&self) -> String {
        let hits = self.hits.swap(0, Ordering::SeqCst);
        let asked = self.verifier.calls();
        let before = self.asked.swap(asked, Ordering::SeqCst);
        format!("{} asked, {hits} called", asked - before)
    }
}
