//! Refusals by parts inside of the layer: they have the layer's responder, the status of its profile
//! and the headers of every refusal.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::Response;
use axum::routing::{any, post};
use http::StatusCode;
use http::request::Parts;
use hyper::upgrade::OnUpgrade;
use portcullis::refusal::{Refusal, RefusalKind};
use portcullis::testing::{Accepting, TestClient, TestRequest, TestResponse};
use portcullis::ws::{mint_handler, renewal_handler};
use portcullis::{
    AuthLayer, GuardedUpgrade, Identity, Profile, RequireScopeLayer, Session, Sessions, Tickets,
};

use crate::support::{HttpVersion, Table};

type Send = fn(&TestClient) -> TestRequest;

/// What is sent, and the text of the responder with the status of the profile.
const HANDSHAKES: &[(Send, &str)] = &[
    (
        |client| client.websocket("/guarded"),
        "429 too-many-sessions at /guarded",
    ),
    (
        |client| client.websocket("/session"),
        "429 too-many-sessions at /session",
    ),
    (
        |client| client.websocket("/scope"),
        "418 insufficient-scope at /scope",
    ),
];

const REQUESTS: &[(Send, &str)] = &[
    (
        |client| client.get("/scope"),
        "418 insufficient-scope at /scope",
    ),
    (
        |client| client.post("/renew"),
        "400 malformed-request at /renew",
    ),
    (
        |client| client.post("/renew").body(r#"{"session":"x"}"#),
        "410 unknown-session at /renew",
    ),
    (
        |client| client.post("/mint").body("{"),
        "400 malformed-request at /mint",
    ),
    (
        |client| client.post("/mint").body(r#"{"path":"/other"}"#),
        "400 malformed-request at /mint",
    ),
];

#[tokio::test]
async fn inner_refusals_have_the_responder_and_the_status_of_the_layer() {
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        let sessions = Sessions::builder().max_sessions_per_subject(1).build();
        let client = version.client(app(&sessions));
        // It reaches the limit.
        let _open = client
            .websocket("/guarded")
            .bearer("t0k")
            .connect()
            .await
            .unwrap();
        for (row, (send, expected)) in HANDSHAKES.iter().enumerate() {
            let refused = send(&client).bearer("t0k").connect().await.unwrap_err();
            table.row((version, "handshake", row), *expected, refused.text());
            assert_eq!(refused.status().as_u16().to_string(), expected[..3]);
            let close = (version == HttpVersion::Http1).then_some("close");
            assert_eq!(refused.header("connection"), close, "{expected}");
            let retry = expected.starts_with("429").then_some("5");
            assert_eq!(refused.header("retry-after"), retry, "{expected}");
            has_headers_of_a_refusal(&refused);
        }
        for (row, (send, expected)) in REQUESTS.iter().enumerate() {
            let refused = send(&client).bearer("t0k").send().await;
            table.row((version, "request", row), *expected, refused.text());
            assert_eq!(refused.status().as_u16().to_string(), expected[..3]);
            assert_eq!(refused.header("connection"), None, "{expected}");
            has_headers_of_a_refusal(&refused);
        }
    }
    table.finish();
}

/// `RequireScopeLayer` answers itself if the application sets its responder.
#[tokio::test]
async fn responder_of_the_scope_layer_has_precedence() {
    let respond = |refusal: &Refusal, _: &Parts| {
        let mut response = Response::new(Body::from("of the scope layer"));
        *response.status_mut() = refusal.status();
        response
    };
    let layer = RequireScopeLayer::all(["admin"]).respond(respond);
    let app = Router::new()
        .route("/", any(unreachable).layer(layer))
        .route_layer(auth().respond(answer));
    let refused = TestClient::new(app).get("/").bearer("t0k").send().await;
    assert_eq!(
        (refused.status().as_u16(), refused.text()),
        (403, "of the scope layer")
    );
}

/// The challenge of a missing scope names the scope, whichever schemes the profile accepts.
#[tokio::test]
async fn challenge_names_the_missing_scope() {
    let refused = TestClient::new(app(&Sessions::default()))
        .get("/scope")
        .bearer("t0k")
        .send()
        .await;
    let challenges: Vec<_> = refused
        .headers()
        .get_all("www-authenticate")
        .iter()
        .collect();
    assert_eq!(
        challenges,
        [r#"Bearer error="insufficient_scope", scope="admin""#]
    );
}

/// Without a responder, the body is a problem.
#[tokio::test]
async fn problem_of_an_inner_refusal_has_its_kind() {
    let app = Router::new()
        .route(
            "/",
            any(unreachable).layer(RequireScopeLayer::all(["admin"])),
        )
        .route_layer(auth());
    let refused = TestClient::new(app).get("/").bearer("t0k").send().await;
    assert_eq!(
        refused.header("content-type"),
        Some("application/problem+json")
    );
    assert!(
        refused.text().contains(r#""kind":"insufficient-scope""#),
        "{}",
        refused.text()
    );
}

fn has_headers_of_a_refusal(refused: &TestResponse) {
    assert_eq!(refused.header("cache-control"), Some("no-store"));
    let refusal = refused.header("x-refusal");
    assert_eq!(refusal, Some("true"), "an outer layer sees the refusal");
}

fn app(sessions: &Sessions) -> Router {
    let tickets = Arc::new(Tickets::in_memory(["/guarded"]));
    let profile = Profile::default()
        .status(RefusalKind::InsufficientScope, StatusCode::IM_A_TEAPOT)
        .status(RefusalKind::UnknownSession, StatusCode::GONE);
    let auth = auth().profile(profile).sessions(sessions).respond(answer);
    Router::new()
        .route("/guarded", any(guarded))
        .route("/session", any(with_session))
        .route(
            "/scope",
            any(unreachable).layer(RequireScopeLayer::all(["admin"])),
        )
        .route("/renew", post(renewal_handler(sessions)))
        .route("/mint", post(mint_handler(&tickets)))
        .route_layer(auth)
        .layer(axum::middleware::map_response(
            async |mut response: Response| {
                if response.extensions().get::<Refusal>().is_some() {
                    let value = http::HeaderValue::from_static("true");
                    response.headers_mut().insert("x-refusal", value);
                }
                response
            },
        ))
}

fn auth() -> AuthLayer<Accepting> {
    AuthLayer::new(Accepting::token("t0k", Identity::new("alice")))
}

/// Responds with everything that a responder learns.
fn answer(refusal: &Refusal, request: &Parts) -> Response {
    assert!(!request.headers.contains_key("authorization"));
    assert!(request.extensions.get::<OnUpgrade>().is_none());
    let status = refusal.status();
    let text = format!(
        "{} {} at {}",
        status.as_u16(),
        refusal.kind(),
        request.uri.path()
    );
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

async fn guarded(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| while let Some(Ok(_)) = socket.recv().await {})
}

async fn with_session(_: Session, _: WebSocketUpgrade) {
    unreachable!("the limit of sessions is reached")
}

async fn unreachable() {
    unreachable!("the request is refused")
}
