use portcullis_e2e::node;
use serde_json::{Value, json};

use super::{TIMEOUT, UNAUTHORIZED};
use crate::guarded::Guarded;

const CLIENTS: [&str; 2] = ["ddp.js", "simpleddp"];
const LOGGED_OUT: &str = "You've been logged out by the server. Please log in again.";

#[tokio::test]
async fn ddp_clients_log_in() {
    let guarded = Guarded::start(&["--token-lifetime", "3600"]);
    let login = json!(["login", { "resume": guarded.alice() }]);
    for client in CLIENTS {
        let outcome = ddp(
            client,
            Some(&guarded),
            json!({ "calls": [login, ["whoami"]] }),
        )
        .await;
        assert_eq!(
            outcome["results"][0]["result"]["id"], "alice",
            "{client}: {outcome}"
        );
        assert_eq!(
            outcome["results"][1]["result"], "alice",
            "{client}: {outcome}"
        );
        assert_eq!(outcome["closed"], json!([]), "{client}: {outcome}");
    }
}

#[tokio::test]
async fn ddp_clients_get_an_error_for_a_wrong_token() {
    let guarded = Guarded::start(&[]);
    let wrong = json!(["login", { "resume": guarded.server.unknown_secret() }]);
    let right = json!(["login", { "resume": guarded.alice() }]);
    for client in CLIENTS {
        let calls = json!({ "calls": [wrong, right, ["whoami"]] });
        let outcome = ddp(client, Some(&guarded), calls).await;
        let error = &outcome["results"][0]["error"];
        assert_eq!(error["error"], 403, "{client}: {outcome}");
        assert_eq!(error["reason"], LOGGED_OUT, "{client}: {outcome}");
        assert_eq!(
            outcome["results"][2]["result"], "alice",
            "{client}: {outcome}"
        );
    }
}

/// simpleddp stores the token of the result, and connects again automatically.
#[tokio::test]
async fn ddp_clients_are_closed_at_expiry() {
    let guarded = Guarded::start(&["--token-lifetime", "4"]);
    let login = json!(["login", { "resume": guarded.alice() }]);
    for client in CLIENTS {
        let mut scenario = json!({ "calls": [login, ["whoami"]], "closes": true });
        if client == "simpleddp" {
            scenario["after_reconnect"] = json!(["whoami"]);
        }
        let outcome = ddp(client, Some(&guarded), scenario).await;
        assert_eq!(
            outcome["results"][1]["result"], "alice",
            "{client}: {outcome}"
        );
        assert_eq!(
            outcome["closed"][0]["code"], UNAUTHORIZED,
            "{client}: {outcome}"
        );
        if client == "simpleddp" {
            assert_eq!(outcome["after_reconnect"], "alice", "{client}: {outcome}");
        }
    }
}

/// Messages that a correct client does not send.
#[tokio::test]
async fn ddp_protocol_errors_get_the_responses_of_meteor() {
    let guarded = Guarded::start(&[]);
    let connect = json!({ "msg": "connect", "version": "1", "support": ["1"] });
    let whoami = json!({ "msg": "method", "method": "whoami", "id": "1", "params": [] });

    for (first, reason) in [
        (whoami.to_string(), "Must connect first"),
        ("hello".to_owned(), "Parse error"),
    ] {
        let mut socket = guarded.pending("ws/ddp").await;
        socket.send_text(&first).await;
        let error = socket.receive_json().await;
        assert_eq!(
            (&error["msg"], &error["reason"]),
            (&json!("error"), &json!(reason))
        );
    }

    let mut socket = guarded.pending("ws/ddp").await;
    socket.send_json(&connect).await;
    let connected = socket.receive_json().await;
    assert_eq!(connected["msg"], "connected", "{connected}");
    assert!(connected["session"].is_string(), "{connected}");
    socket.send_json(&connect).await;
    assert_eq!(socket.receive_json().await["reason"], "Already connected");

    let mut socket = guarded.pending("ws/ddp").await;
    socket
        .send_json(&json!({ "msg": "connect", "version": "0", "support": ["0"] }))
        .await;
    assert_eq!(
        socket.receive_json().await,
        json!({ "msg": "failed", "version": "1" })
    );
    assert_eq!(socket.close_code().await, 1000, "as Meteor does");

    // A client that connects without a login is not authenticated.
    let mut socket = guarded.pending("ws/ddp").await;
    socket.send_json(&connect).await;
    socket.receive_json().await;
    assert_eq!(socket.close_code().await, TIMEOUT);
}

/// The control of the tests above: a driver that fails does so because of the server.
#[tokio::test]
async fn the_ddp_driver_works_with_a_server_that_behaves_as_meteor() {
    let control = json!({ "users": { "good": "alice" }, "lifetime": 1000 });
    let login = |token: &str| json!(["login", { "resume": token }]);
    for client in CLIENTS {
        let calls = json!([login("bad"), login("good"), ["whoami"]]);
        let mut scenario = json!({ "control": control, "calls": calls, "closes": true });
        if client == "simpleddp" {
            scenario["after_reconnect"] = json!(["whoami"]);
        }
        let outcome = ddp(client, None, scenario).await;
        assert_eq!(
            outcome["results"][0]["error"]["reason"], LOGGED_OUT,
            "{client}: {outcome}"
        );
        assert_eq!(
            outcome["results"][2]["result"], "alice",
            "{client}: {outcome}"
        );
        assert_eq!(outcome["closed"][0]["code"], 1000, "{client}: {outcome}");
    }
}

async fn ddp(client: &str, guarded: Option<&Guarded>, mut scenario: Value) -> Value {
    if let Some(guarded) = guarded {
        scenario["url"] = guarded.websocket_url("ws/ddp").into();
    }
    let outcome = node("ddp.cjs", &[client, &scenario.to_string()]).await;
    outcome.unwrap_or_else(|error| panic!("{client}: {error}"))
}
