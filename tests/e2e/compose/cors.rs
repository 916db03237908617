//! tower-http's `CorsLayer` around `AuthLayer`. CORS decides which pages can read a response, and does
//! not apply to sockets.

use axum::http::{HeaderValue, Method, header};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{any, get};
use axum::{Router, http::StatusCode};
use portcullis::carrier::CookieCarrier;
use portcullis::testing::{Accepting, Counting, TestClient, TestRequest};
use portcullis::{AuthLayer, GuardedUpgrade, Identity, Profile};
use tower_http::cors::CorsLayer;

use super::{Probe, clients, record};

const APP: &str = "https://app.example.com";
const FOREIGN: &str = "https://evil.example";

#[tokio::test]
async fn a_preflight_needs_no_credential_and_reaches_no_handler() {
    let Site {
        routes,
        auth,
        probe,
        verifier,
    } = site();
    for client in clients(routes.route_layer(auth).layer(cors())) {
        let response = preflight(&client).send().await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.header("access-control-allow-origin"), Some(APP));
        assert_eq!(
            response.header("access-control-allow-credentials"),
            Some("true")
        );
        assert_eq!(
            response.header("access-control-allow-methods"),
            Some("GET,POST")
        );
        assert_eq!(
            response.header("access-control-allow-headers"),
            Some("authorization,content-type")
        );
        assert_eq!(response.text(), "");
    }
    assert_eq!((probe.requests(), verifier.calls()), (0, 0));
}

#[tokio::test]
async fn a_page_of_the_allowed_origin_can_use_the_cookie() {
    let Site { routes, auth, .. } = site();
    for client in clients(routes.route_layer(auth).layer(cors())) {
        for method in [Method::GET, Method::POST] {
            let call = client.request(method, "/api/me").origin(APP);
            let response = with_cookie(call).send().await;
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.text(), "alice");
            assert_eq!(response.header("access-control-allow-origin"), Some(APP));
            assert_eq!(
                response.header("access-control-allow-credentials"),
                Some("true")
            );
        }
        let handshake = with_cookie(client.websocket("/ws").origin(APP));
        assert_eq!(handshake.connect().await.unwrap().text().await, "alice");
    }
}

/// Without these headers the page would see a CORS error instead of the 401.
#[tokio::test]
async fn a_refusal_has_cors_headers() {
    let Site { routes, auth, .. } = site();
    for client in clients(routes.route_layer(auth).layer(cors())) {
        let response = client.get("/api/me").origin(APP).send().await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.header("access-control-allow-origin"), Some(APP));
    }
}

#[tokio::test]
async fn a_page_of_another_origin_cannot_open_a_socket_with_the_cookie() {
    let Site {
        routes,
        auth,
        probe,
        verifier,
    } = site();
    for client in clients(routes.route_layer(auth).layer(cors())) {
        let handshake = with_cookie(client.websocket("/ws").origin(FOREIGN));
        let refused = handshake.connect().await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);

        let call = with_cookie(client.post("/api/me").origin(FOREIGN));
        assert_eq!(call.send().await.status(), StatusCode::FORBIDDEN);
    }
    assert_eq!((probe.requests(), verifier.calls()), (0, 0));
}

/// The control of the test above: without `AuthLayer` the socket opens.
#[tokio::test]
async fn cors_alone_does_not_refuse_a_socket() {
    let open =
        any(async |upgrade: axum::extract::WebSocketUpgrade| upgrade.on_upgrade(drop_socket));
    for client in clients(Router::new().route("/ws", open).layer(cors())) {
        let handshake = with_cookie(client.websocket("/ws").origin(FOREIGN));
        handshake.connect().await.unwrap().close().await;
    }
}

/// The documented mistake: with the layers in the wrong order a preflight is refused, and the browser
/// reports a CORS error.
#[tokio::test]
async fn a_preflight_is_refused_if_cors_is_inside_admission() {
    let Site {
        routes,
        auth,
        probe,
        ..
    } = site();
    for client in clients(routes.layer(cors()).layer(auth)) {
        let response = preflight(&client).send().await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.header("access-control-allow-origin"), None);
    }
    assert_eq!(probe.requests(), 0);
}

struct Site {
    routes: Router,
    auth: AuthLayer<Verifier>,
    /// The probe in front of the handlers.
    probe: Probe,
    verifier: Verifier,
}

type Verifier = Counting<Accepting>;

fn site() -> Site {
    let probe = Probe::default();
    let verifier = Counting::new(Accepting::token("t0k", Identity::new("alice")));
    let auth = AuthLayer::new(verifier.clone())
        .profile(Profile::default().carrier(CookieCarrier::named("session")))
        .allow_origins([APP])
        .unwrap();
    let routes = Router::new()
        .route("/api/me", get(me).post(me))
        .route("/ws", any(ws))
        .route_layer(from_fn_with_state(probe.clone(), record));
    Site {
        routes,
        auth,
        probe,
        verifier,
    }
}

fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(HeaderValue::from_static(APP))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .allow_credentials(true)
}

async fn me(identity: Identity) -> String {
    identity.subject().to_owned()
}

async fn ws(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        let subject = socket.identity().subject().to_owned();
        let _ = socket.send(subject.into()).await;
    })
}

async fn drop_socket(socket: axum::extract::ws::WebSocket) {
    drop(socket);
}

fn preflight(client: &TestClient) -> TestRequest {
    client
        .request(Method::OPTIONS, "/api/me")
        .origin(APP)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization")
}

fn with_cookie(request: TestRequest) -> TestRequest {
    request.header(header::COOKIE, "session=t0k")
}
