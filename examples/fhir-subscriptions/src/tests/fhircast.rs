use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::{ALICE, Answer, BOB, Server, Socket};

const FORM: &str = "application/x-www-form-urlencoded";

async fn post_form(server: &Server, token: &str, form: &str) -> Answer {
    let form = format!("hub.channel.type=websocket&hub.topic=t1&{form}");
    server
        .send(token, Method::POST, "/fhircast", FORM, form)
        .await
}

/// Subscribes, and returns the URL of the socket.
async fn subscribe(server: &Server, token: &str, events: &str) -> String {
    let form = format!("hub.mode=subscribe&hub.events={events}&hub.lease_seconds=7200");
    let answer = post_form(server, token, &form).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let url = answer.body["hub.channel.endpoint"].as_str().unwrap();
    url.to_owned()
}

async fn publish(server: &Server, token: &str, id: &str, event: &str) -> StatusCode {
    let message = json!({
        "timestamp": "2026-11-22T05:00:00Z",
        "id": id,
        "event": { "hub.topic": "t1", "hub.event": event, "context": [] },
    });
    let json = "application/json";
    server
        .send(token, Method::POST, "/fhircast", json, message.to_string())
        .await
        .status
}

/// Receives the confirmation of a subscription.
async fn confirmation(socket: &mut Socket) -> Value {
    let confirmation = socket.receive().await;
    assert_eq!(confirmation["hub.mode"], "subscribe", "{confirmation}");
    assert_eq!(confirmation["hub.topic"], "t1");
    confirmation
}

/// Receives a denial and a normal close, and returns the reason.
async fn denial_reason(socket: &mut Socket) -> String {
    let denial = socket.receive().await;
    assert_eq!(denial["hub.mode"], "denied", "{denial}");
    assert_eq!(socket.close_code().await, 1000);
    denial["hub.reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_subscriber_receives_the_events_that_it_requested() {
    let server = Server::start().await;
    let url = subscribe(&server, ALICE, "Patient-open,encounter-open").await;
    let mut socket = server.open(&url).await;
    let confirmation = confirmation(&mut socket).await;
    assert_eq!(confirmation["hub.events"], "Patient-open,encounter-open");
    // The maximum lease is the lifetime of a token.
    assert_eq!(confirmation["hub.lease_seconds"], 60);

    for (id, event) in [
        ("1", "Patient-open"),
        ("2", "Patient-close"),
        ("3", "Encounter-open"),
    ] {
        let status = publish(&server, ALICE, id, event).await;
        assert_eq!(status, StatusCode::ACCEPTED);
    }
    for id in ["1", "3"] {
        assert_eq!(socket.receive().await["id"], id);
        let answer = json!({ "id": id, "status": "200" });
        socket.send(&answer.to_string()).await;
    }
}

#[tokio::test]
async fn a_refused_event_causes_a_sync_error() {
    let server = Server::start().await;
    let observer_url = subscribe(&server, ALICE, "SyncError").await;
    let mut observer = server.open(&observer_url).await;
    confirmation(&mut observer).await;
    let url = subscribe(&server, ALICE, "Patient-open").await;
    let mut socket = server.open(&url).await;
    confirmation(&mut socket).await;
    publish(&server, ALICE, "1", "Patient-open").await;
    assert_eq!(socket.receive().await["id"], "1");
    socket.send(r#"{"id":"1","status":"500"}"#).await;
    let message = observer.receive().await;
    assert_eq!(message["event"]["hub.event"], "SyncError");
    let outcome = &message["event"]["context"][0]["resource"];
    assert_eq!(outcome["resourceType"], "OperationOutcome");
}

#[tokio::test]
async fn a_lease_can_be_extended_and_ends() {
    let server = Server::start_with(&["--token-lifetime", "2"]).await;
    let url = subscribe(&server, ALICE, "Patient-open").await;
    let mut socket = server.open(&url).await;
    assert_eq!(confirmation(&mut socket).await["hub.lease_seconds"], 2);
    // Subscribing again changes the events and extends the lease of the open socket.
    let form = format!("hub.mode=subscribe&hub.events=Patient-close&hub.channel.endpoint={url}");
    let answer = post_form(&server, ALICE, &form).await;
    assert_eq!(answer.body["hub.channel.endpoint"], *url);
    assert_eq!(
        confirmation(&mut socket).await["hub.events"],
        "Patient-close"
    );
    publish(&server, ALICE, "1", "Patient-open").await;
    publish(&server, ALICE, "2", "Patient-close").await;
    assert_eq!(socket.receive().await["id"], "2");
    assert_eq!(denial_reason(&mut socket).await, "The lease has ended.");
    let mut again = server.open(&url).await;
    assert_eq!(
        denial_reason(&mut again).await,
        "The endpoint does not exist."
    );
}

/// A client may reconnect before the server has noticed that the connection is lost.
#[tokio::test]
async fn a_newer_socket_replaces_the_previous_one() {
    let server = Server::start().await;
    let url = subscribe(&server, ALICE, "Patient-open").await;
    let mut first = server.open(&url).await;
    confirmation(&mut first).await;
    let mut second = server.open(&url).await;
    confirmation(&mut second).await;
    assert_eq!(
        denial_reason(&mut first).await,
        "Replaced by a newer socket."
    );
    publish(&server, ALICE, "1", "Patient-open").await;
    assert_eq!(second.receive().await["id"], "1");
    // The URL stays valid until the lease ends.
    drop(second);
    let mut third = server.open(&url).await;
    confirmation(&mut third).await;
    publish(&server, ALICE, "2", "Patient-open").await;
    assert_eq!(third.receive().await["id"], "2");
}

#[tokio::test]
async fn unsubscribing_invalidates_the_url() {
    let server = Server::start().await;
    let url = subscribe(&server, ALICE, "Patient-open").await;
    let mut socket = server.open(&url).await;
    confirmation(&mut socket).await;
    let form = format!("hub.mode=unsubscribe&hub.channel.endpoint={url}");
    let foreign = post_form(&server, BOB, &form).await;
    assert_eq!(foreign.status, StatusCode::BAD_REQUEST);
    let answer = post_form(&server, ALICE, &form).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    assert_eq!(denial_reason(&mut socket).await, "unsubscribed");
    for url in [
        url,
        server
            .app
            .websocket_url()
            .replace("fhir/ws", "fhircast/guess"),
    ] {
        let mut socket = server.open(&url).await;
        assert_eq!(
            denial_reason(&mut socket).await,
            "The endpoint does not exist."
        );
    }
}

#[tokio::test]
async fn events_and_topics_are_limited_to_the_user_and_its_scopes() {
    let server = Server::start().await;
    let url = subscribe(&server, BOB, "Patient-open").await;
    let mut socket = server.open(&url).await;
    confirmation(&mut socket).await;
    for form in [
        "hub.mode=subscribe&hub.events=Patient-close",
        "hub.mode=subscribe&hub.events=Patient-open,SyncError",
    ] {
        let answer = post_form(&server, BOB, form).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{form}");
    }
    let status = publish(&server, BOB, "1", "Patient-open").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    // Alice's topic has the same name, but it is a different topic.
    publish(&server, ALICE, "2", "Patient-open").await;
    let form = format!("hub.mode=unsubscribe&hub.channel.endpoint={url}");
    post_form(&server, BOB, &form).await;
    assert_eq!(denial_reason(&mut socket).await, "unsubscribed");
}

#[tokio::test]
async fn incomplete_requests_are_refused() {
    let server = Server::start().await;
    for form in [
        "",
        "hub.mode=subscribe",
        "hub.mode=subscribe&hub.events=Nothing-open",
        "hub.mode=listen&hub.events=Patient-open",
        "hub.mode=unsubscribe",
        "hub.mode=subscribe&hub.events=Patient-open&hub.topic=t2",
        "hub.mode=subscribe&hub.events=Patient-open&hub.channel.endpoint=ws://guess",
    ] {
        let answer = post_form(&server, ALICE, form).await;
        assert!(answer.status.is_client_error(), "{form} {}", answer.status);
    }
    let anonymous = post_form(&server, "", "hub.mode=subscribe&hub.events=Patient-open").await;
    assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED);
    for message in [
        json!({}),
        json!({ "timestamp": "today", "id": "1", "event": { "hub.topic": "t1", "hub.event": "Patient-open", "context": [] } }),
        json!({ "timestamp": "2026-11-22T05:00:00Z", "id": "1", "event": { "hub.topic": "t1", "hub.event": "Patient-open" } }),
    ] {
        let json = "application/json";
        let body = message.to_string();
        let answer = server
            .send(ALICE, Method::POST, "/fhircast", json, body)
            .await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{message}");
    }
}

#[tokio::test]
async fn configuration_needs_no_token() {
    let server = Server::start().await;
    let path = "/fhircast/.well-known/fhircast-configuration";
    let answer = server.send("", Method::GET, path, "", String::new()).await;
    assert_eq!(answer.body["websocketSupport"], true);
}
