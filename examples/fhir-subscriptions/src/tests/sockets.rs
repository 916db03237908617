use std::time::Duration;

use http::{Method, StatusCode, header};
use portcullis::{Credential, Verify};
use serde_json::{Value, json};

use super::client::{ALICE, BOB, Server, Socket, parameter};

/// A socket with a token bound on it, behind its handshake.
async fn bound(server: &Server, user: &str, id: &str) -> Socket {
    let mut socket = server.open(&server.app.websocket_url()).await;
    let token = server.token(user, id).await;
    socket.say(&format!("bind-with-token {token}")).await;
    assert_eq!(socket.status().await["type"], "handshake");
    socket
}

#[tokio::test]
async fn a_bound_socket_is_told_what_happens() {
    let server = Server::start().await;
    let id = server.subscribe(ALICE, json!({})).await;
    server.admit("Patient/1").await;
    let mut socket = server.open(&server.app.websocket_url()).await;
    let token = server.token(ALICE, &id).await;
    socket.say(&format!("bind-with-token: {token}")).await;
    let handshake = socket.status().await;
    assert_eq!(handshake["type"], "handshake");
    assert_eq!(handshake["status"], "active");
    assert_eq!(handshake["eventsSinceSubscriptionStart"], "1");
    let encounter = server.admit("Patient/2").await;
    let told = socket.hear().await;
    let status = &told["entry"][0]["resource"];
    assert_eq!(status["type"], "event-notification");
    let event = &status["notificationEvent"][0];
    assert_eq!(event["eventNumber"], "2");
    let focus = format!(
        "{}/Encounter/{}",
        server.app.base(),
        encounter["id"].as_str().unwrap()
    );
    assert_eq!(event["focus"]["reference"], *focus);
    assert_eq!(told["entry"][1]["fullUrl"], *focus);
    assert_eq!(server.app.sessions.len(), 1);
}

#[tokio::test]
async fn several_tokens_are_bound_on_one_socket() {
    let server = Server::start().await;
    let a = server.subscribe(ALICE, json!({})).await;
    let b = server.subscribe(ALICE, json!({})).await;
    let mut socket = bound(&server, ALICE, &a).await;
    server.admit("Patient/1").await;
    assert_eq!(socket.status().await["type"], "event-notification");
    let token = server.token(ALICE, &b).await;
    socket.say(&format!("bind-with-token {token}")).await;
    let handshake = socket.status().await;
    assert_eq!(handshake["type"], "handshake");
    assert_eq!(handshake["eventsSinceSubscriptionStart"], "1");
    server.admit("Patient/1").await;
    let mut told = [socket.status().await, socket.status().await];
    told.sort_by_key(|status| status["subscription"]["reference"].to_string());
    let mut expected = [&a, &b].map(|id| format!("{}/Subscription/{id}", server.app.base()));
    expected.sort();
    for (status, expected) in told.iter().zip(expected) {
        assert_eq!(status["subscription"]["reference"], *expected);
        assert_eq!(status["notificationEvent"][0]["eventNumber"], "2");
    }
}

#[tokio::test]
async fn who_has_not_bound_is_told_nothing() {
    let server = Server::start().await;
    let id = server.subscribe(ALICE, json!({})).await;
    let token = server.token(ALICE, &id).await;
    let credential = Credential::bearer(&*token);
    let identity = server.app.tokens.verify(&credential).await.unwrap();
    let name = identity.token_id().unwrap();
    for word in [
        "bind-with-token wrong",
        &format!("bind-with-token {name}"),
        "hello",
        &token,
    ] {
        let mut socket = server.open(&server.app.websocket_url()).await;
        socket.say(word).await;
        server.admit("Patient/1").await;
        assert_eq!(socket.close_code().await, 1002, "{word}");
    }
}

#[tokio::test]
async fn a_bad_second_token_is_answered_and_a_foreign_one_ends_the_socket() {
    let server = Server::start().await;
    let id = server.subscribe(ALICE, json!({})).await;
    let mut socket = bound(&server, ALICE, &id).await;
    for word in ["bind-with-token wrong", "bind-with-token", "hello"] {
        socket.say(word).await;
        let answer = socket.hear().await;
        assert_eq!(answer["resourceType"], "OperationOutcome", "{word}");
    }
    server.admit("Patient/1").await;
    assert_eq!(socket.status().await["type"], "event-notification");

    let of_bob = server.subscribe(BOB, json!({})).await;
    let token = server.token(BOB, &of_bob).await;
    socket.say(&format!("bind-with-token {token}")).await;
    assert_eq!(socket.close_code().await, 1002);
}

#[tokio::test]
async fn a_token_whose_subscriptions_are_gone_binds_nothing() {
    let server = Server::start().await;
    let a = server.subscribe(ALICE, json!({})).await;
    let mut socket = bound(&server, ALICE, &a).await;
    let b = server.subscribe(ALICE, json!({})).await;
    let operation = format!("Subscription/{b}/$get-ws-binding-token");
    let answer = server.post(ALICE, &operation, &Value::Null).await;
    let token = parameter(&answer.body, "token")[0].to_owned();
    assert!(server.app.store.unsubscribe("alice", &b));
    socket.say(&format!("bind-with-token {token}")).await;
    let outcome = socket.hear().await;
    assert_eq!(outcome["issue"][0]["code"], "deleted", "{outcome}");
}

#[tokio::test]
async fn a_subscription_is_set_off_and_on() {
    let server = Server::start().await;
    let id = server.subscribe(ALICE, json!({})).await;
    let path = format!("Subscription/{id}");
    let mut socket = bound(&server, ALICE, &id).await;
    let resource = server.get(ALICE, &path).await.body;
    let put = async |token: &str, field: &str, value: &str| {
        let mut changed = resource.clone();
        changed[field] = json!(value);
        let path = format!("/fhir/{path}");
        let kind = "application/fhir+json";
        server
            .send(token, Method::PUT, &path, kind, changed.to_string())
            .await
    };
    let rows = [
        (BOB, "status", "off", 404),
        (ALICE, "status", "error", 400),
        (ALICE, "content", "empty", 422),
        (ALICE, "id", "another", 422),
    ];
    for (token, field, value, expected) in rows {
        let answer = put(token, field, value).await;
        assert_eq!(answer.status.as_u16(), expected, "{field} {value}");
    }

    let answer = put(ALICE, "status", "off").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.headers[header::ETAG], "W/\"2\"");
    let told = socket.status().await;
    assert_eq!(
        (&told["type"], &told["status"]),
        (&json!("heartbeat"), &json!("off"))
    );
    server.admit("Patient/1").await;
    let answer = put(ALICE, "status", "requested").await;
    assert_eq!(answer.body["status"], "active");
    let told = socket.status().await;
    assert_eq!(told["status"], "active");
    assert_eq!(told["eventsSinceSubscriptionStart"], "0");
    server.admit("Patient/1").await;
    assert_eq!(
        socket.status().await["notificationEvent"][0]["eventNumber"],
        "1"
    );

    // Nobody has to guess why nothing comes any more.
    assert!(server.app.store.unsubscribe("alice", &id));
    assert_eq!(socket.status().await["status"], "off");
}

#[tokio::test]
async fn a_socket_ends_with_its_token_and_lives_on_by_another() {
    let server = Server::with(&["--token-lifetime", "2"]).await;
    let id = server
        .subscribe(ALICE, json!({ "heartbeatPeriod": 1 }))
        .await;
    let mut renewed = bound(&server, ALICE, &id).await;
    let mut left = bound(&server, ALICE, &id).await;
    assert_eq!(renewed.status().await["type"], "heartbeat");
    let token = server.token(ALICE, &id).await;
    renewed.say(&format!("bind-with-token {token}")).await;
    assert_eq!(left.last_words().await, 3000);
    server.admit("Patient/1").await;
    let mut kinds = Vec::new();
    while kinds.last() != Some(&json!("event-notification")) {
        kinds.push(renewed.status().await["type"].clone());
    }
    assert_eq!(renewed.last_words().await, 3000);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go_and_catches_up() {
    let server = Server::with(&["--queue", "4"]).await;
    let id = server
        .subscribe(ALICE, json!({ "content": "full-resource" }))
        .await;
    let slow = bound(&server, ALICE, &id).await;
    let mut admitted = 0;
    while server.app.sessions.len() == 1 {
        server
            .admit(&format!("Patient/{}", "x".repeat(30_000)))
            .await;
        admitted += 1;
    }
    drop(slow);
    let path = format!("Subscription/{id}/$events?content=id-only");
    let events = server.get(ALICE, &path).await;
    let told = &events.body["entry"][0]["resource"]["notificationEvent"];
    assert_eq!(told.as_array().unwrap().len(), admitted);
}

#[tokio::test]
async fn a_server_that_stops_says_goodbye() {
    let server = Server::start().await;
    let id = server.subscribe(ALICE, json!({})).await;
    let mut socket = bound(&server, ALICE, &id).await;
    let sessions = server.app.sessions.clone();
    let stopping = tokio::spawn(async move { sessions.shutdown(Duration::from_secs(5)).await });
    assert_eq!(socket.close_code().await, 1001);
    drop(socket);
    assert_eq!(stopping.await.unwrap(), 0);
}
