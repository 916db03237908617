//! `RequireScopeLayer`: what an identity may do, asked of a route.

use axum::Router;
use axum::routing::any;
use portcullis::testing::{Accepting, TestClient};
use portcullis::{AuthLayer, Identity, RequireScopeLayer};

use crate::site::Over;
use crate::table::Table;

type Make = fn() -> RequireScopeLayer;

/// The layer, the scopes of the identity, and what comes of them.
#[rustfmt::skip]
const ROWS: &[(Make, &str, &str)] = &[
    (|| RequireScopeLayer::all(["a"]), "a", "200"),
    (|| RequireScopeLayer::all(["a"]), "b a", "200"),
    (|| RequireScopeLayer::all(["a"]), "", "403, scope a"),
    (|| RequireScopeLayer::all(["a"]), "b", "403, scope a"),
    // No scope implies another, and there are no patterns.
    (|| RequireScopeLayer::all(["a"]), "A", "403, scope a"),
    (|| RequireScopeLayer::all(["a:read"]), "a", "403, scope a:read"),
    (|| RequireScopeLayer::all(["a"]), "a:read", "403, scope a"),
    (|| RequireScopeLayer::all(["a"]), "*", "403, scope a"),
    (|| RequireScopeLayer::all(["*"]), "a", "403, scope *"),
    (|| RequireScopeLayer::all(["a", "b"]), "a b c", "200"),
    (|| RequireScopeLayer::all(["b", "a"]), "a", "403, scope a b"),
    (|| RequireScopeLayer::all(["a", "b"]), "c", "403, scope a b"),
    (|| RequireScopeLayer::any(["a", "b"]), "a", "200"),
    (|| RequireScopeLayer::any(["a", "b"]), "b", "200"),
    (|| RequireScopeLayer::any(["a", "b"]), "a b", "200"),
    (|| RequireScopeLayer::any(["a", "b"]), "c", "403, scope a b"),
    (|| RequireScopeLayer::any(["a", "b"]), "", "403, scope a b"),
    // All of none is nothing asked; of none, nobody has one.
    (|| RequireScopeLayer::all([""; 0]), "", "200"),
    (|| RequireScopeLayer::any([""; 0]), "a", "403, scope "),
];

#[tokio::test]
async fn table() {
    let mut table = Table::new();
    for (layer, scopes, expected) in ROWS {
        let alice = Identity::builder("alice").scopes(scopes.split_whitespace());
        let app = Router::new()
            .route("/", any(|| async {}))
            .layer(layer())
            .layer(AuthLayer::new(Accepting::everything(alice.build())));
        for over in Over::BOTH {
            let client = over.client(app.clone());
            let response = client.get("/").bearer("t0k").send().await;
            let status = response.status().as_u16();
            let actual = match response.header("www-authenticate") {
                None => status.to_string(),
                Some(challenge) => {
                    let scope = challenge
                        .strip_prefix(r#"Bearer error="insufficient_scope", scope=""#)
                        .and_then(|rest| rest.strip_suffix('"'));
                    format!("{status}, scope {}", scope.unwrap_or(challenge))
                }
            };
            table.row((layer(), scopes, over), expected, actual);
        }
    }
    table.finish();
}

/// A scope of many: the route asks for its own, and an upgrade is refused like any other.
#[tokio::test]
async fn a_handshake_without_the_scope() {
    let reader = Identity::builder("alice").scopes(["chat:read"]).build();
    let app = Router::new()
        .route(
            "/read",
            any(|| async {}).layer(RequireScopeLayer::all(["chat:read"])),
        )
        .route(
            "/write",
            any(unreachable).layer(RequireScopeLayer::all(["chat:write"])),
        )
        .route_layer(AuthLayer::new(Accepting::token("t0k", reader)));
    for over in Over::BOTH {
        let client = over.client(app.clone());
        assert_eq!(client.get("/read").bearer("t0k").send().await.status(), 200);
        let refused = client
            .websocket("/write")
            .bearer("t0k")
            .connect()
            .await
            .unwrap_err();
        assert_eq!(refused.status(), 403);
        assert_eq!(refused.header("cache-control"), Some("no-store"));
        let close = (over == Over::Http1).then_some("close");
        assert_eq!(refused.header("connection"), close);
        // Who has no token at all is told that, and not what it is for.
        let stranger = client.websocket("/write").connect().await.unwrap_err();
        assert_eq!(stranger.status(), 401);
        assert_eq!(stranger.header("www-authenticate"), Some("Bearer"));
    }
}

/// Without `AuthLayer` around it, and behind one whose claims are others, there is no identity; so
/// nobody passes.
#[tokio::test]
async fn without_an_identity() {
    let route = || any(unreachable).layer(RequireScopeLayer::all(["a"]));
    let alice = Identity::builder("alice")
        .scopes(["a"])
        .claims(7_u8)
        .build();
    let bare = Router::new().route("/", route());
    let other = Router::new()
        .route("/", route())
        .layer(AuthLayer::new(Accepting::everything(alice.clone())));
    for app in [bare, other] {
        let response = TestClient::new(app).get("/").bearer("t0k").send().await;
        assert_eq!(response.status(), 401);
    }
    let right = Router::new()
        .route("/", any(|| async {}))
        .layer(RequireScopeLayer::all(["a"]).claims::<u8>())
        .layer(AuthLayer::new(Accepting::everything(alice)));
    let response = TestClient::new(right).get("/").bearer("t0k").send().await;
    assert_eq!(response.status(), 200);
}

async fn unreachable() {
    unreachable!("nobody was admitted")
}
