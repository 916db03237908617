//! `RequireScopeLayer`: what an identity may do, asked of a route, at the handshake and never again.

use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::Request;
use axum::middleware::map_request;
use axum::response::Response;
use axum::routing::any;
use portcullis::dialect::InBandRenewal;
use portcullis::testing::{Accepting, TestClient, TestSocket};
use portcullis::{
    AuthLayer, Credential, GuardedUpgrade, Identity, Profile, RequireScopeLayer, Sessions,
};

use crate::live::{Tokens, settle};
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

/// Between the two layers somebody may know more of the identity. What is made of the admitted one
/// opens the socket as it is then; one that nobody has admitted opens none.
#[tokio::test]
async fn scopes_that_are_looked_up_behind_the_layer() {
    async fn open(upgrade: GuardedUpgrade) -> Response {
        upgrade.on_upgrade(async |mut socket| {
            let identity = socket.identity();
            let told = format!("{} {}", identity.subject(), identity.scopes());
            let _ = socket.send(told.into()).await;
        })
    }
    type Change = fn(&Identity) -> Identity;
    let changes: [(Change, &str); 3] = [
        (
            |alice| alice.to_builder().scopes(["chat"]).build(),
            "alice chat",
        ),
        (|alice| alice.clone(), "403"),
        (
            |_| Identity::builder("mallory").scopes(["chat"]).build(),
            "500",
        ),
    ];
    for over in Over::BOTH {
        for (change, expected) in changes {
            let look_up = map_request(move |mut request: Request| {
                let changed = request.extensions().get().map(change);
                request.extensions_mut().insert(changed.unwrap());
                async { request }
            });
            let app = Router::new()
                .route("/ws", any(open))
                .layer(RequireScopeLayer::all(["chat"]))
                .layer(look_up)
                .layer(AuthLayer::new(Accepting::everything(Identity::new(
                    "alice",
                ))));
            let opening = over.client(app).websocket("/ws").bearer("t0k").connect();
            let came_of_it = match opening.await {
                Ok(mut socket) => socket.text().await,
                Err(refused) => refused.status().as_u16().to_string(),
            };
            assert_eq!(came_of_it, expected, "{over:?}");
        }
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

/// A socket whose client has yet to say who it is has no identity, so the layer refuses it, also
/// where it asks for nothing. The place that the socket would have had is free again.
#[tokio::test]
async fn a_pending_socket() {
    let alice = || Identity::builder("alice").scopes(["chat"]).build();
    let dialect = || InBandRenewal::new().or_first();
    let chat = || RequireScopeLayer::all(["chat"]);
    let strict = AuthLayer::new(Accepting::token("t0k", alice()))
        .dialect(dialect())
        .pending_limits(1, 1);
    let in_band = strict.clone().refuse_in_band();
    let phoenix = strict.clone().profile(Profile::phoenix());
    let rows: [(Make, &AuthLayer<_>, u16); 4] = [
        (chat, &strict, 401),
        (|| RequireScopeLayer::all([""; 0]), &strict, 401),
        // Who opens no socket has none to close with a code.
        (chat, &in_band, 401),
        // It is refused as the profile refuses whoever has no credential.
        (chat, &phoenix, 403),
    ];
    let mut table = Table::new();
    for over in Over::BOTH {
        for (layer, auth, expected) in &rows {
            let app = Router::new()
                .route("/ws", any(unreachable).layer(layer()))
                .route("/open", any(careful))
                .route_layer((*auth).clone());
            let client = over.client(app);
            for time in 1..=3 {
                let refused = client.websocket("/ws").connect().await.unwrap_err();
                let row = (over, layer(), time);
                table.row(row, expected, refused.status().as_u16());
                let challenge = (*expected == 401).then_some("Bearer");
                assert_eq!(refused.header("www-authenticate"), challenge);
                assert_eq!(refused.header("cache-control"), Some("no-store"));
            }
            // The one place of this layer; without the scope asked for, the dialect lets it in.
            let mut socket = client.websocket("/open").connect().await.unwrap();
            let auth = r#"{"type":"auth","token":"t0k"}"#;
            socket.send(auth).await.unwrap();
            assert!(socket.text().await.contains("expires_in"));
        }
        // Who says so in the handshake has an identity, which is asked.
        let app = Router::new()
            .route("/ws", any(careful).layer(chat()))
            .route_layer(strict.clone());
        let client = over.client(app);
        let handshake = client.websocket("/ws").bearer("t0k");
        let mut socket = handshake.connect().await.unwrap();
        assert_eq!(may(&mut socket).await, "yes");
    }
    table.finish();
}

/// The layer does not look again at a renewal, so the socket stays open with fewer scopes. The
/// handler that looks sees those of the new credential at once; the next handshake is refused.
#[tokio::test(start_paused = true)]
async fn a_renewal_with_other_scopes() {
    let tokens = Tokens::default();
    let sessions = Sessions::default();
    let auth = AuthLayer::new(tokens.clone())
        .sessions(&sessions)
        .dialect(InBandRenewal::new());
    let app = Router::new()
        .route("/ws", any(careful).layer(RequireScopeLayer::all(["chat"])))
        .route_layer(auth);
    let end = SystemTime::now() + Duration::from_secs(3_600);
    for (token, scopes, minutes) in [
        ("both", "chat read", 0),
        ("fewer", "read", 1),
        ("none", "", 2),
        ("again", "chat", 3),
    ] {
        let identity = Identity::builder("alice")
            .scopes(scopes.split_whitespace())
            .expires_at(end + minutes * Duration::from_secs(60));
        tokens.set(token, Ok(identity.build()));
    }
    for over in Over::BOTH {
        for in_band in [false, true] {
            let client = over.client(app.clone());
            let connect = async |token| client.websocket("/ws").bearer(token).connect().await;
            let mut socket = connect("both").await.unwrap();
            assert_eq!(may(&mut socket).await, "yes");
            let id = sessions.list()[0].id;
            for (token, answer) in [("fewer", "no"), ("none", "no"), ("again", "yes")] {
                if in_band {
                    let auth = format!(r#"{{"type":"auth","token":"{token}"}}"#);
                    socket.send(auth).await.unwrap();
                    assert!(socket.text().await.contains("expires_in"), "{token}");
                } else {
                    let renewed = sessions.renew(id, Credential::bearer(token)).await;
                    assert!(renewed.is_ok(), "{token}: {renewed:?}");
                }
                assert_eq!(may(&mut socket).await, answer, "{token}, over {over:?}");
                let next = connect(token).await.map_err(|it| it.status().as_u16());
                assert_eq!(next.is_ok(), answer == "yes", "{token}: {next:?}");
                assert!(next.is_ok() || next.err() == Some(403));
            }
            socket.close().await;
            settle().await;
            assert!(sessions.is_empty(), "{:?}", sessions.list());
        }
    }
}

/// Looks at the scopes each time it is asked.
async fn careful(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        while let Some(Ok(_)) = socket.recv().await {
            let may = socket.identity().scopes().contains("chat");
            let answer = if may { "yes" } else { "no" };
            if socket.send(answer.into()).await.is_err() {
                return;
            }
        }
    })
}

async fn may(socket: &mut TestSocket) -> String {
    socket.send("may I?").await.unwrap();
    socket.text().await
}

async fn unreachable() {
    unreachable!("nobody was admitted")
}
