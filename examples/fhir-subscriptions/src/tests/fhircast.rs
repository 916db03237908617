use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::{ALICE, Answer, BOB, Server, Socket};

const FORM: &str = "application/x-www-form-urlencoded";

async fn ask(server: &Server, token: &str, form: &str) -> Answer {
    let form = format!("hub.channel.type=websocket&hub.topic=t1&{form}");
    server
        .send(token, Method::POST, "/fhircast", FORM, form)
        .await
}

/// Subscribes; the address of the socket.
async fn subscribe(server: &Server, token: &str, events: &str) -> String {
    let form = format!("hub.mode=subscribe&hub.events={events}&hub.lease_seconds=7200");
    let answer = ask(server, token, &form).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let url = answer.body["hub.channel.endpoint"].as_str().unwrap();
    url.to_owned()
}

async fn happen(server: &Server, token: &str, id: &str, event: &str) -> StatusCode {
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

async fn confirmed(socket: &mut Socket) -> Value {
    let confirmation = socket.hear().await;
    assert_eq!(confirmation["hub.mode"], "subscribe", "{confirmation}");
    assert_eq!(confirmation["hub.topic"], "t1");
    confirmation
}

/// A refusal in a message, then a normal close.
async fn denied(socket: &mut Socket) -> String {
    let denial = socket.hear().await;
    assert_eq!(denial["hub.mode"], "denied", "{denial}");
    assert_eq!(socket.close_code().await, 1000);
    denial["hub.reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_subscriber_follows_its_topic() {
    let server = Server::start().await;
    let url = subscribe(&server, ALICE, "Patient-open,encounter-open").await;
    let mut socket = server.open(&url).await;
    let confirmation = confirmed(&mut socket).await;
    assert_eq!(confirmation["hub.events"], "Patient-open,encounter-open");
    // No longer than a token of this server.
    assert_eq!(confirmation["hub.lease_seconds"], 60);

    for (id, event) in [
        ("1", "Patient-open"),
        ("2", "Patient-close"),
        ("3", "Encounter-open"),
    ] {
        let status = happen(&server, ALICE, id, event).await;
        assert_eq!(status, StatusCode::ACCEPTED);
    }
    for id in ["1", "3"] {
        assert_eq!(socket.hear().await["id"], id);
        let answer = json!({ "id": id, "status": "200" });
        socket.say(&answer.to_string()).await;
    }
}

#[tokio::test]
async fn whoever_does_not_follow_is_told_of() {
    let server = Server::start().await;
    let watch = subscribe(&server, ALICE, "SyncError").await;
    let mut watching = server.open(&watch).await;
    confirmed(&mut watching).await;
    let url = subscribe(&server, ALICE, "Patient-open").await;
    let mut socket = server.open(&url).await;
    confirmed(&mut socket).await;
    happen(&server, ALICE, "1", "Patient-open").await;
    assert_eq!(socket.hear().await["id"], "1");
    socket.say(r#"{"id":"1","status":"500"}"#).await;
    let told = watching.hear().await;
    assert_eq!(told["event"]["hub.event"], "SyncError");
    let outcome = &told["event"]["context"][0]["resource"];
    assert_eq!(outcome["resourceType"], "OperationOutcome");
}

#[tokio::test]
async fn a_lease_is_prolonged_and_ends() {
    let server = Server::with(&["--token-lifetime", "2"]).await;
    let url = subscribe(&server, ALICE, "Patient-open").await;
    let mut socket = server.open(&url).await;
    assert_eq!(confirmed(&mut socket).await["hub.lease_seconds"], 2);
    // The same socket, other events, a new lease.
    let form = format!("hub.mode=subscribe&hub.events=Patient-close&hub.channel.endpoint={url}");
    let answer = ask(&server, ALICE, &form).await;
    assert_eq!(answer.body["hub.channel.endpoint"], *url);
    assert_eq!(confirmed(&mut socket).await["hub.events"], "Patient-close");
    happen(&server, ALICE, "1", "Patient-open").await;
    happen(&server, ALICE, "2", "Patient-close").await;
    assert_eq!(socket.hear().await["id"], "2");
    assert_eq!(denied(&mut socket).await, "The lease has ended.");
    let mut again = server.open(&url).await;
    assert_eq!(denied(&mut again).await, "There is no such endpoint.");
}

/// Whose connection broke comes again, and the server may not know yet that it broke.
#[tokio::test]
async fn a_newer_socket_takes_over() {
    let server = Server::start().await;
    let url = subscribe(&server, ALICE, "Patient-open").await;
    let mut first = server.open(&url).await;
    confirmed(&mut first).await;
    let mut second = server.open(&url).await;
    confirmed(&mut second).await;
    assert_eq!(denied(&mut first).await, "Another socket has taken over.");
    happen(&server, ALICE, "1", "Patient-open").await;
    assert_eq!(second.hear().await["id"], "1");
    // And for as long as the lease.
    drop(second);
    let mut third = server.open(&url).await;
    confirmed(&mut third).await;
    happen(&server, ALICE, "2", "Patient-open").await;
    assert_eq!(third.hear().await["id"], "2");
}

#[tokio::test]
async fn what_is_given_back_is_gone() {
    let server = Server::start().await;
    let url = subscribe(&server, ALICE, "Patient-open").await;
    let mut socket = server.open(&url).await;
    confirmed(&mut socket).await;
    let form = format!("hub.mode=unsubscribe&hub.channel.endpoint={url}");
    let foreign = ask(&server, BOB, &form).await;
    assert_eq!(foreign.status, StatusCode::BAD_REQUEST);
    let answer = ask(&server, ALICE, &form).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    assert_eq!(denied(&mut socket).await, "unsubscribed");
    for url in [
        url,
        server
            .app
            .websocket_url()
            .replace("fhir/ws", "fhircast/guess"),
    ] {
        let mut socket = server.open(&url).await;
        assert_eq!(denied(&mut socket).await, "There is no such endpoint.");
    }
}

#[tokio::test]
async fn scopes_and_subjects_keep_people_apart() {
    let server = Server::start().await;
    let url = subscribe(&server, BOB, "Patient-open").await;
    let mut socket = server.open(&url).await;
    confirmed(&mut socket).await;
    for form in [
        "hub.mode=subscribe&hub.events=Patient-close",
        "hub.mode=subscribe&hub.events=Patient-open,SyncError",
    ] {
        let answer = ask(&server, BOB, form).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{form}");
    }
    let status = happen(&server, BOB, "1", "Patient-open").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    // The topic has the same name, and is Alice's own.
    happen(&server, ALICE, "2", "Patient-open").await;
    let form = format!("hub.mode=unsubscribe&hub.channel.endpoint={url}");
    ask(&server, BOB, &form).await;
    assert_eq!(denied(&mut socket).await, "unsubscribed");
}

#[tokio::test]
async fn a_form_is_whole_or_refused() {
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
        let answer = ask(&server, ALICE, form).await;
        assert!(answer.status.is_client_error(), "{form} {}", answer.status);
    }
    let nobody = ask(&server, "", "hub.mode=subscribe&hub.events=Patient-open").await;
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
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
    let path = "/fhircast/.well-known/fhircast-configuration";
    let answer = server.send("", Method::GET, path, "", String::new()).await;
    assert_eq!(answer.body["websocketSupport"], true);
}
