use std::time::Duration;

use http::{Method, StatusCode, header};
use portcullis::{Credential, Verify};
use serde_json::{Value, json};

use super::client::{ALICE, BOB, Server, Socket, parameter};

/// Opens a socket, binds a token, and receives the handshake.
async fn bind(server: &Server, user: &str, id: &str) -> Socket {
    let mut socket = server.open(&server.app.websocket_url()).await;
    let token = server.binding_token(user, id).await;
    socket.send(&format!("bind-with-token {token}")).await;
    assert_eq!(socket.status().await["type"], "handshake");
    socket
}

#[tokio::test]
async fn a_bound_socket_receives_events() {
    let server = Server::start().await;
    let id = server.subscribe(ALICE, json!({})).await;
    server.create_encounter("Patient/1").await;
    let mut socket = server.open(&server.app.websocket_url()).await;
    let token = server.binding_token(ALICE, &id).await;
    socket.send(&format!("bind-with-token: {token}")).await;
    let handshake = socket.status().await;
    assert_eq!(handshake["type"], "handshake");
    assert_eq!(handshake["status"], "active");
    assert_eq!(handshake["eventsSinceSubscriptionStart"], "1");
    let encounter = server.create_encounter("Patient/2").await;
    let notification = socket.receive().await;
    let status = &notification["entry"][0]["resource"];
    assert_eq!(status["type"], "event-notification");
    let event = &status["notificationEvent"][0];
    assert_eq!(event["eventNumber"], "2");
    let focus = format!(
        "{}/Encounter/{}",
        server.app.base(),
        encounter["id"].as_str().unwrap()
    );
    assert_eq!(event["focus"]["reference"], *focus);
    assert_eq!(notification["entry"][1]["fullUrl"], *focus);
    assert_eq!(server.app.sessions.len(), 1);
}

#[tokio::test]
async fn several_tokens_can_be_bound_to_one_socket() {
    let server = Server::start().await;
    let a = server.subscribe(ALICE, json!({})).await;
    let b = server.subscribe(ALICE, json!({})).await;
    let mut socket = bind(&server, ALICE, &a).await;
    server.create_encounter("Patient/1").await;
    assert_eq!(socket.status().await["type"], "event-notification");
    let token = server.binding_token(ALICE, &b).await;
    socket.send(&format!("bind-with-token {token}")).await;
    let handshake = socket.status().await;
    assert_eq!(handshake["type"], "handshake");
    assert_eq!(handshake["eventsSinceSubscriptionStart"], "1");
    server.create_encounter("Patient/1").await;
    let mut statuses = [socket.status().await, socket.status().await];
    statuses.sort_by_key(|status| status["subscription"]["reference"].to_string());
    let mut expected = [&a, &b].map(|id| format!("{}/Subscription/{id}", server.app.base()));
    expected.sort();
    for (status, expected) in statuses.iter().zip(expected) {
        assert_eq!(status["subscription"]["reference"], *expected);
        assert_eq!(status["notificationEvent"][0]["eventNumber"], "2");
    }
}

#[tokio::test]
async fn a_socket_without_a_valid_token_is_closed_without_notifications() {
    let server = Server::start().await;
    let id = server.subscribe(ALICE, json!({})).await;
    let token = server.binding_token(ALICE, &id).await;
    let credential = Credential::bearer(&*token);
    let identity = server.app.tokens.verify(&credential).await.unwrap();
    let token_id = identity.token_id().unwrap();
    for message in [
        "bind-with-token wrong",
        &format!("bind-with-token {token_id}"),
        "hello",
        &token,
    ] {
        let mut socket = server.open(&server.app.websocket_url()).await;
        socket.send(message).await;
        server.create_encounter("Patient/1").await;
        assert_eq!(socket.close_code().await, 1002, "{message}");
    }
}

#[tokio::test]
async fn a_later_invalid_message_is_answered_with_an_operation_outcome() {
    let server = Server::start().await;
    let id = server.subscribe(ALICE, json!({})).await;
    let mut socket = bind(&server, ALICE, &id).await;
    for message in ["bind-with-token wrong", "bind-with-token", "hello"] {
        socket.send(message).await;
        let answer = socket.receive().await;
        assert_eq!(answer["resourceType"], "OperationOutcome", "{message}");
    }
    server.create_encounter("Patient/1").await;
    assert_eq!(socket.status().await["type"], "event-notification");
}

#[tokio::test]
async fn a_token_of_another_user_closes_the_socket() {
    let server = Server::start().await;
    let id = server.subscribe(ALICE, json!({})).await;
    let mut socket = bind(&server, ALICE, &id).await;
    let other = server.subscribe(BOB, json!({})).await;
    let token = server.binding_token(BOB, &other).await;
    socket.send(&format!("bind-with-token {token}")).await;
    assert_eq!(socket.close_code().await, 1002);
}

#[tokio::test]
async fn a_token_for_deleted_subscriptions_is_answered_with_an_operation_outcome() {
    let server = Server::start().await;
    let a = server.subscribe(ALICE, json!({})).await;
    let mut socket = bind(&server, ALICE, &a).await;
    let b = server.subscribe(ALICE, json!({})).await;
    let operation = format!("Subscription/{b}/$get-ws-binding-token");
    let answer = server.post(ALICE, &operation, &Value::Null).await;
    let token = parameter(&answer.body, "token")[0].to_owned();
    assert!(server.app.store.unsubscribe("alice", &b));
    socket.send(&format!("bind-with-token {token}")).await;
    let outcome = socket.receive().await;
    assert_eq!(outcome["issue"][0]["code"], "deleted", "{outcome}");
}

#[tokio::test]
async fn a_subscription_can_be_switched_off_and_on() {
    let server = Server::start().await;
    let id = server.subscribe(ALICE, json!({})).await;
    let path = format!("Subscription/{id}");
    let mut socket = bind(&server, ALICE, &id).await;
    let resource = server.get(ALICE, &path).await.body;
    let put = async |token: &str, field: &str, value: &str| {
        let mut changed = resource.clone();
        changed[field] = json!(value);
        let path = format!("/fhir/{path}");
        let content_type = "application/fhir+json";
        server
            .send(token, Method::PUT, &path, content_type, changed.to_string())
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
    let status = socket.status().await;
    assert_eq!(status["type"], "heartbeat");
    assert_eq!(status["status"], "off");
    server.create_encounter("Patient/1").await;
    let answer = put(ALICE, "status", "requested").await;
    assert_eq!(answer.body["status"], "active");
    let status = socket.status().await;
    assert_eq!(status["status"], "active");
    assert_eq!(status["eventsSinceSubscriptionStart"], "0");
    server.create_encounter("Patient/1").await;
    assert_eq!(
        socket.status().await["notificationEvent"][0]["eventNumber"],
        "1"
    );

    // The clients of a deleted subscription are notified that it is off.
    assert!(server.app.store.unsubscribe("alice", &id));
    assert_eq!(socket.status().await["status"], "off");
}

#[tokio::test]
async fn a_socket_is_closed_when_its_latest_token_expires() {
    let server = Server::start_with(&["--token-lifetime", "2"]).await;
    let id = server
        .subscribe(ALICE, json!({ "heartbeatPeriod": 1 }))
        .await;
    let mut renewed = bind(&server, ALICE, &id).await;
    let mut not_renewed = bind(&server, ALICE, &id).await;
    assert_eq!(renewed.status().await["type"], "heartbeat");
    let token = server.binding_token(ALICE, &id).await;
    renewed.send(&format!("bind-with-token {token}")).await;
    assert_eq!(not_renewed.skip_to_close_code().await, 3000);
    server.create_encounter("Patient/1").await;
    let mut kinds = Vec::new();
    while kinds.last() != Some(&json!("event-notification")) {
        kinds.push(renewed.status().await["type"].clone());
    }
    assert_eq!(renewed.skip_to_close_code().await, 3000);
}

#[tokio::test]
async fn a_client_that_reads_too_slowly_is_closed_and_can_catch_up() {
    let server = Server::start_with(&["--queue", "4"]).await;
    let id = server
        .subscribe(ALICE, json!({ "content": "full-resource" }))
        .await;
    let slow = bind(&server, ALICE, &id).await;
    let mut created = 0;
    while server.app.sessions.len() == 1 {
        server
            .create_encounter(&format!("Patient/{}", "x".repeat(30_000)))
            .await;
        created += 1;
    }
    drop(slow);
    let path = format!("Subscription/{id}/$events?content=id-only");
    let events = server.get(ALICE, &path).await;
    let listed = &events.body["entry"][0]["resource"]["notificationEvent"];
    assert_eq!(listed.as_array().unwrap().len(), created);
}

#[tokio::test]
async fn shutdown_closes_sockets_with_1001() {
    let server = Server::start().await;
    let id = server.subscribe(ALICE, json!({})).await;
    let mut socket = bind(&server, ALICE, &id).await;
    let sessions = server.app.sessions.clone();
    let shutdown = tokio::spawn(async move { sessions.shutdown(Duration::from_secs(5)).await });
    assert_eq!(socket.close_code().await, 1001);
    drop(socket);
    assert_eq!(shutdown.await.unwrap(), 0);
}
