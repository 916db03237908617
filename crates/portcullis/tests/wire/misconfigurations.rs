//! Mistakes in the set-up of an application: the log names the method to call, once.

use async_graphql::{EmptyMutation, EmptySubscription, Object, Schema};
use async_graphql_axum::GraphQLSubscription;
use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::Response;
use axum::routing::{any, get};
use portcullis::carrier::CookieCarrier;
use portcullis::testing::{Accepting, TestClient, TestRequest};
use portcullis::{
    AuthLayer, GuardedUpgrade, Identity, Profile, RequireScopeLayer, Session, Verify,
};

use crate::support::{CapturedLog, HttpVersion, Table};

type Layer = AuthLayer<Accepting>;

/// A request to an application.
enum Sent {
    Handshake(TestRequest),
    Page(TestRequest),
}

type Send = fn(&TestClient) -> Sent;

type App = fn() -> Router;

/// An application, a request that is sent three times, and a line of the log.
struct Row {
    name: &'static str,
    app: App,
    send: Send,
    level: &'static str,
    expected: &'static str,
    /// How often the log contains the line.
    times: usize,
}

const ROWS: &[Row] = &[
    Row {
        name: "no https",
        app: || app(by_cookie()),
        send: |client| from("https://app.example", client),
        level: "WARN",
        expected: "origin `https://app.example` is not allowed; expected `http://app.example`. If \
                   browsers use HTTPS, call `.https()`",
        times: 1,
    },
    Row {
        name: "https without TLS",
        app: || app(by_cookie().https()),
        send: |client| from("http://app.example", client),
        level: "WARN",
        expected: "origin `http://app.example` is not allowed; expected `https://app.example`. If \
                   browsers do not use HTTPS, do not call `.https()`",
        times: 1,
    },
    Row {
        name: "the origin of each refusal",
        app: || app(by_cookie()),
        send: |client| from("https://app.example", client),
        level: "DEBUG",
        expected: "call `.https()`",
        times: 3,
    },
    // It may be an attack, so it is not a warning.
    Row {
        name: "another origin",
        app: || app(by_cookie()),
        send: |client| from("http://evil.example", client),
        level: "DEBUG",
        expected: "origin `http://evil.example` is not allowed; expected `http://app.example`. To \
                   allow it, call `.allow_origins(",
        times: 3,
    },
    Row {
        name: "no origin",
        app: || app(by_cookie()),
        send: |client| Sent::Handshake(with_cookie(client)),
        level: "DEBUG",
        expected: "the request has no `Origin`; expected `http://app.example`",
        times: 3,
    },
    Row {
        name: "another host",
        app: || app(by_header().hosts(["localhost"]).unwrap()),
        send: handshake,
        level: "DEBUG",
        expected: "host `app.example` is not allowed; add it to `.hosts([..])`",
        times: 3,
    },
    Row {
        name: "no layer",
        app: || Router::new().route("/ws", any(guarded)),
        send: handshake,
        level: "ERROR",
        expected: NO_LAYER,
        times: 3,
    },
    Row {
        name: "a route that is added after the layer",
        app: || {
            let covered = Router::new().route("/other", any(guarded));
            covered.route_layer(by_header()).route("/ws", any(guarded))
        },
        send: handshake,
        level: "ERROR",
        expected: NO_LAYER,
        times: 3,
    },
    Row {
        name: "an Identity without a layer",
        app: || Router::new().route("/ws", any(async |_: Identity| "page")),
        send: |client| Sent::Page(client.get("/ws")),
        level: "ERROR",
        expected: NO_LAYER,
        times: 3,
    },
    Row {
        name: "a Session without a layer",
        app: || Router::new().route("/ws", any(with_session)),
        send: handshake,
        level: "ERROR",
        expected: NO_LAYER,
        times: 3,
    },
    // Any client can send it, so it is neither a warning nor an error.
    Row {
        name: "a Session of a request that is not an upgrade",
        app: || {
            Router::new()
                .route("/ws", any(async |_: Session| "page"))
                .route_layer(by_header())
        },
        send: |client| Sent::Page(client.get("/ws").bearer("t0k")),
        level: "DEBUG",
        expected: "use `Session` only in handlers that open a socket",
        times: 3,
    },
    Row {
        name: "two layers",
        app: || app(by_header()).layer(by_header()),
        send: handshake,
        level: "ERROR",
        expected: "a request passes two `AuthLayer`s",
        times: 1,
    },
    Row {
        name: "a scope layer without an AuthLayer",
        app: || Router::new().route("/ws", any(guarded).layer(RequireScopeLayer::all(["a"]))),
        send: handshake,
        level: "ERROR",
        expected: "`RequireScopeLayer` refuses a request that no `AuthLayer` has admitted",
        times: 1,
    },
    Row {
        name: "a scope layer around the AuthLayer",
        app: || app(by_header()).layer(RequireScopeLayer::all(["a"])),
        send: handshake,
        level: "ERROR",
        expected: "`RequireScopeLayer` refuses a request that no `AuthLayer` has admitted",
        times: 1,
    },
    Row {
        name: "a plain WebSocketUpgrade",
        app: || {
            Router::new()
                .route("/ws", any(plain))
                .route_layer(by_header())
        },
        send: handshake,
        level: "WARN",
        expected: "a handler opened a WebSocket that is admitted but not guarded",
        times: 1,
    },
    Row {
        name: "the service of async-graphql",
        app: || {
            let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
            Router::new()
                .route_service("/ws", GraphQLSubscription::new(schema))
                .route_layer(by_header())
        },
        send: |client| {
            let handshake = client.websocket("/ws").bearer("t0k");
            Sent::Handshake(handshake.protocols(["graphql-transport-ws"]))
        },
        level: "WARN",
        expected: "a handler opened a WebSocket that is admitted but not guarded",
        times: 1,
    },
    Row {
        name: "a fallback under the layer",
        app: || Router::new().route("/ws", any(guarded)).layer(by_header()),
        send: |client| Sent::Page(client.get("/nowhere")),
        level: "DEBUG",
        expected: "if no route matches the path, use `.route_layer(auth)` instead of `.layer(auth)`",
        times: 3,
    },
];

const NO_LAYER: &str = "no `Identity` in the request: add an `AuthLayer` with `.route_layer(auth)` \
                        after the route (a route added later is not covered)";

struct Query;

#[Object]
impl Query {
    async fn answer(&self) -> i32 {
        42
    }
}

#[tokio::test]
async fn log_names_the_fix() {
    let mut table = Table::new();
    for row in ROWS {
        for version in HttpVersion::ALL {
            let lines = log_of((row.app)(), version, row.send).await;
            let matching = |line: &&String| {
                let level = line.split_whitespace().nth(1);
                level == Some(row.level) && line.contains(row.expected)
            };
            let found = lines.iter().filter(matching).count();
            table.row((row.name, version), row.times, found);
        }
    }
    table.finish();
}

/// Over HTTP/2 the method of a handshake is `CONNECT`, which `get` does not route.
#[tokio::test]
async fn get_for_a_websocket_is_reported_over_http2() {
    let app = || {
        Router::new()
            .route("/ws", get(guarded))
            .route_layer(by_header())
    };
    for (version, expected) in [(HttpVersion::Http1, 0), (HttpVersion::Http2, 1)] {
        let lines = log_of(app(), version, handshake).await;
        let warns = |line: &&String| line.contains("WARN") && line.contains("use `any(handler)`");
        assert_eq!(lines.iter().filter(warns).count(), expected, "{lines:?}");
    }
}

/// The response names no type and no method of the application.
#[tokio::test]
async fn session_of_a_request_that_is_not_an_upgrade_is_refused() {
    let route = any(async |_: Session| "page");
    let app = Router::new().route("/", route).route_layer(by_header());
    for version in HttpVersion::ALL {
        let request = version.client(app.clone()).get("/").bearer("t0k");
        let response = request.send().await;
        assert_eq!(response.status(), 400, "{version:?}");
        let detail = r#""detail":"This route accepts WebSocket handshakes only.""#;
        assert!(response.text().contains(detail), "{}", response.text());
    }
}

/// None of these applications has a mistake.
#[tokio::test]
async fn correct_set_ups_log_no_warning() {
    let rows: [(&str, App, Send); 6] = [
        ("a guarded socket", || app(by_header()), handshake),
        (
            "a socket of another crate with its session",
            || {
                Router::new()
                    .route("/ws", any(with_session))
                    .route_layer(by_header())
            },
            handshake,
        ),
        (
            "a page that is not found",
            || app(by_header()),
            |client| Sent::Page(client.get("/nowhere").bearer("t0k")),
        ),
        (
            "layers with different carriers",
            || app(by_cookie()).layer(by_header().allow_anonymous()),
            |client| Sent::Handshake(client.websocket("/ws")),
        ),
        (
            "an anonymous request to a scope layer",
            || {
                Router::new()
                    .route("/ws", any(guarded).layer(RequireScopeLayer::all(["a"])))
                    .route_layer(by_header().allow_anonymous())
            },
            |client| Sent::Handshake(client.websocket("/ws")),
        ),
        (
            "a page",
            || {
                Router::new()
                    .route("/ws", get(async || "page"))
                    .route_layer(by_header())
            },
            |client| Sent::Page(client.get("/ws").bearer("t0k")),
        ),
    ];
    for (name, app, send) in rows {
        for version in HttpVersion::ALL {
            let lines = log_of(app(), version, send).await;
            let warns = |line: &&String| line.contains("WARN") || line.contains("ERROR");
            let warnings: Vec<_> = lines.iter().filter(warns).collect();
            assert!(warnings.is_empty(), "{name} {version:?}: {warnings:?}");
        }
    }
}

/// Sends a request three times, and returns the lines that portcullis writes to the log.
async fn log_of(app: Router, version: HttpVersion, send: Send) -> Vec<String> {
    let log = CapturedLog::default();
    let client = version.client(app).authority("app.example");
    {
        let _guard = log.capture();
        for _ in 0..3 {
            match send(&client) {
                Sent::Handshake(request) => drop(request.connect().await),
                Sent::Page(request) => drop(request.send().await),
            }
        }
    }
    let text = log.text();
    let ours = text.lines().filter(|line| line.contains(" portcullis"));
    ours.map(str::to_owned).collect()
}

fn app<V: Verify>(auth: AuthLayer<V>) -> Router {
    Router::new().route("/ws", any(guarded)).route_layer(auth)
}

fn by_header() -> Layer {
    AuthLayer::new(Accepting::token("t0k", Identity::new("alice")))
}

fn by_cookie() -> Layer {
    by_header().profile(Profile::new("cookie").carrier(CookieCarrier::named("s")))
}

fn with_cookie(client: &TestClient) -> TestRequest {
    client.websocket("/ws").header("cookie", "s=t0k")
}

fn from(origin: &str, client: &TestClient) -> Sent {
    Sent::Handshake(with_cookie(client).origin(origin))
}

fn handshake(client: &TestClient) -> Sent {
    Sent::Handshake(client.websocket("/ws").bearer("t0k"))
}

async fn guarded(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |_| {})
}

async fn plain(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async |_| {})
}

async fn with_session(session: Session, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async move |_| drop(session))
}
