//! `RequireScopeLayer`: a route checks the scopes of the identity at the handshake, and not again.

use std::time::SystemTime;

use axum::Router;
use axum::extract::Request;
use axum::middleware::map_request;
use axum::response::Response;
use axum::routing::any;
use portcullis::dialect::{InBandRenewal, PendingLimits};
use portcullis::testing::{Accepting, TestSocket};
use portcullis::{
    AuthLayer, Credential, GuardedUpgrade, Identity, Profile, RequireScopeLayer, Sessions,
};

use crate::support::{HOUR, HttpVersion, MINUTE, Table, Tokens, settle};

type Build = fn() -> RequireScopeLayer;

/// The layer, the scopes of the identity, and the response.
#[rustfmt::skip]
const ROWS: &[(Build, &str, &str)] = &[
    (|| RequireScopeLayer::all(["a"]), "a", "200"),
    (|| RequireScopeLayer::all(["a"]), "b a", "200"),
    (|| RequireScopeLayer::all(["a"]), "", "403, scope a"),
    (|| RequireScopeLayer::all(["a"]), "b", "403, scope a"),
    // No scope implies another one, and there are no patterns.
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
    // `all` without scopes admits every identity, `any` without scopes admits none.
    (|| RequireScopeLayer::all([""; 0]), "", "200"),
    (|| RequireScopeLayer::any([""; 0]), "a", "403, scope "),
];

#[tokio::test]
async fn scopes_are_compared_exactly() {
    let mut table = Table::new();
    for (layer, scopes, expected) in ROWS {
        let alice = Identity::builder("alice").scopes(scopes.split_whitespace());
        let app = Router::new()
            .route("/", any(|| async {}))
            .layer(layer())
            .layer(AuthLayer::new(Accepting::everything(alice.build())));
        for version in HttpVersion::ALL {
            let client = version.client(app.clone());
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
            table.row((layer(), scopes, version), expected, actual);
        }
    }
    table.finish();
}

#[tokio::test]
async fn upgrade_without_the_scope_is_refused() {
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
    for version in HttpVersion::ALL {
        let client = version.client(app.clone());
        assert_eq!(client.get("/read").bearer("t0k").send().await.status(), 200);
        let refused = client
            .websocket("/write")
            .bearer("t0k")
            .connect()
            .await
            .unwrap_err();
        assert_eq!(refused.status(), 403);
        assert_eq!(refused.header("cache-control"), Some("no-store"));
        let close = (version == HttpVersion::Http1).then_some("close");
        assert_eq!(refused.header("connection"), close);
        // A request without a token does not learn which scope is required.
        let anonymous = client.websocket("/write").connect().await.unwrap_err();
        assert_eq!(anonymous.status(), 401);
        assert_eq!(anonymous.header("www-authenticate"), Some("Bearer"));
    }
}

/// A middleware between the two layers may change the identity with `to_builder`. A new identity,
/// which was not admitted, cannot open a socket.
#[tokio::test]
async fn middleware_can_add_scopes_to_the_admitted_identity() {
    async fn open(upgrade: GuardedUpgrade) -> Response {
        upgrade.on_upgrade(async |mut socket| {
            let identity = socket.identity();
            let report = format!("{} {}", identity.subject(), identity.scopes());
            let _ = socket.send(report.into()).await;
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
    for version in HttpVersion::ALL {
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
            let opening = version.client(app).websocket("/ws").bearer("t0k").connect();
            let actual = match opening.await {
                Ok(mut socket) => socket.text().await,
                Err(refused) => refused.status().as_u16().to_string(),
            };
            assert_eq!(actual, expected, "{version:?}");
        }
    }
}

/// There is no identity without `AuthLayer`.
#[tokio::test]
async fn request_without_an_identity_is_refused() {
    let route = any(unreachable).layer(RequireScopeLayer::all(["a"]));
    let app = Router::new().route("/", route);
    for version in HttpVersion::ALL {
        let client = version.client(app.clone());
        let response = client.get("/").bearer("t0k").send().await;
        assert_eq!(response.status(), 401, "{version:?}");
    }
}

#[tokio::test]
async fn claims_do_not_affect_the_required_scopes() {
    let plain = Identity::builder("alice").scopes(["a"]);
    let with_claims = Identity::builder("alice").scopes(["a"]).claims(7_u8);
    for identity in [plain.build(), with_claims.build()] {
        let app = Router::new()
            .route("/", any(|| async {}))
            .layer(RequireScopeLayer::all(["a"]))
            .layer(AuthLayer::new(Accepting::everything(identity)));
        for version in HttpVersion::ALL {
            let client = version.client(app.clone());
            let response = client.get("/").bearer("t0k").send().await;
            assert_eq!(response.status(), 200, "{version:?}");
        }
    }
}

/// A pending socket has no identity, so the layer refuses it even if it requires no scope. A
/// refused socket does not count towards the limit of pending sockets.
#[tokio::test]
async fn pending_socket_is_refused() {
    let alice = || Identity::builder("alice").scopes(["chat"]).build();
    let dialect = || InBandRenewal::new().allow_pending();
    let chat = || RequireScopeLayer::all(["chat"]);
    let strict = AuthLayer::new(Accepting::token("t0k", alice()))
        .dialect(dialect())
        .pending_limits(PendingLimits::default().total(1).per_address(1));
    let in_band = strict.clone().refuse_in_band();
    let phoenix = strict.clone().profile(Profile::phoenix());
    let rows: [(Build, &AuthLayer<_>, u16); 4] = [
        (chat, &strict, 401),
        (|| RequireScopeLayer::all([""; 0]), &strict, 401),
        // The socket does not open, so it cannot close with a code.
        (chat, &in_band, 401),
        // The profile's status of a missing credential.
        (chat, &phoenix, 403),
    ];
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        for (layer, auth, expected) in &rows {
            let app = Router::new()
                .route("/ws", any(unreachable).layer(layer()))
                .route("/open", any(answer))
                .route_layer((*auth).clone());
            let client = version.client(app);
            for attempt in 1..=3 {
                let refused = client.websocket("/ws").connect().await.unwrap_err();
                let row = (version, layer(), attempt);
                table.row(row, expected, refused.status().as_u16());
                let challenge = (*expected == 401).then_some("Bearer");
                assert_eq!(refused.header("www-authenticate"), challenge);
                assert_eq!(refused.header("cache-control"), Some("no-store"));
            }
            // The limit is one pending socket, and this route requires no scope.
            let mut socket = client.websocket("/open").connect().await.unwrap();
            let auth = r#"{"type":"auth","token":"t0k"}"#;
            socket.send(auth).await.unwrap();
            assert!(socket.text().await.contains("expires_in"));
        }
        // A credential in the handshake provides an identity with scopes.
        let app = Router::new()
            .route("/ws", any(answer).layer(chat()))
            .route_layer(strict.clone());
        let client = version.client(app);
        let handshake = client.websocket("/ws").bearer("t0k");
        let mut socket = handshake.connect().await.unwrap();
        assert_eq!(has_scope(&mut socket).await, "yes");
    }
    table.finish();
}

/// The layer does not check a renewal, so the socket stays open with fewer scopes. The handler
/// reads the new scopes from the identity, and the next handshake is refused.
#[tokio::test(start_paused = true)]
async fn renewal_with_fewer_scopes_keeps_the_socket_open() {
    let tokens = Tokens::default();
    let sessions = Sessions::default();
    let auth = AuthLayer::new(tokens.clone())
        .sessions(&sessions)
        .dialect(InBandRenewal::new());
    let app = Router::new()
        .route("/ws", any(answer).layer(RequireScopeLayer::all(["chat"])))
        .route_layer(auth);
    let end = SystemTime::now() + HOUR;
    for (token, scopes, minutes) in [
        ("both", "chat read", 0),
        ("fewer", "read", 1),
        ("none", "", 2),
        ("again", "chat", 3),
    ] {
        let identity = Identity::builder("alice")
            .scopes(scopes.split_whitespace())
            .expires_at(end + minutes * MINUTE);
        tokens.set(token, Ok(identity.build()));
    }
    for version in HttpVersion::ALL {
        for in_band in [false, true] {
            let client = version.client(app.clone());
            let connect = async |token| client.websocket("/ws").bearer(token).connect().await;
            let mut socket = connect("both").await.unwrap();
            assert_eq!(has_scope(&mut socket).await, "yes");
            let id = sessions.list()[0].id;
            for (token, expected) in [("fewer", "no"), ("none", "no"), ("again", "yes")] {
                if in_band {
                    let auth = format!(r#"{{"type":"auth","token":"{token}"}}"#);
                    socket.send(auth).await.unwrap();
                    assert!(socket.text().await.contains("expires_in"), "{token}");
                } else {
                    let renewed = sessions.renew(id, Credential::bearer(token)).await;
                    assert!(renewed.is_ok(), "{token}: {renewed:?}");
                }
                let actual = has_scope(&mut socket).await;
                assert_eq!(actual, expected, "{token}, over {version:?}");
                let next = connect(token).await.map_err(|it| it.status().as_u16());
                assert_eq!(next.is_ok(), expected == "yes", "{token}: {next:?}");
                assert!(next.is_ok() || next.err() == Some(403));
            }
            socket.close().await;
            settle().await;
            assert!(sessions.is_empty(), "{:?}", sessions.list());
        }
    }
}

/// Answers each message with whether the identity has the scope `chat`.
async fn answer(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        while let Some(Ok(_)) = socket.recv().await {
            let has_scope = socket.identity().scopes().contains("chat");
            let answer = if has_scope { "yes" } else { "no" };
            if socket.send(answer.into()).await.is_err() {
                return;
            }
        }
    })
}

async fn has_scope(socket: &mut TestSocket) -> String {
    socket.send("chat?").await.unwrap();
    socket.text().await
}

async fn unreachable() {
    unreachable!("a refused request reached the handler")
}
