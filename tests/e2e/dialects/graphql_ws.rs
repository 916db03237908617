use portcullis_e2e::node;
use serde_json::{Value, json};

use crate::guarded::{Guarded, Socket};

#[tokio::test]
async fn graphql_ws_runs_queries_and_subscriptions() {
    let guarded = Guarded::start(&["--token-lifetime", "3600"]);
    let alice = guarded.alice();
    let bearer = format!("Bearer {alice}");
    for payload in [
        json!({ "token": alice }),
        json!({ "Authorization": bearer }),
    ] {
        let scenario = json!({ "payloads": [payload], "query": true, "ticks": 3 });
        let outcome = graphql(Some(&guarded), scenario).await;
        assert_eq!(outcome["query"]["data"]["whoami"], "alice", "{outcome}");
        assert!(outcome["query"]["data"]["hello"].is_string(), "{outcome}");
        assert_eq!(
            outcome["ticks"][1].as_array().map(Vec::len),
            Some(3),
            "{outcome}"
        );
        assert_eq!(outcome["error"], Value::Null, "{outcome}");
    }
}

/// The client treats 4401 as final: it does not connect again.
#[tokio::test]
async fn graphql_ws_does_not_reconnect_after_a_wrong_token() {
    let guarded = Guarded::start(&[]);
    for payload in [
        json!({ "token": guarded.server.unknown_secret() }),
        json!({ "Authorization": format!("Bearer {}", guarded.server.unknown_secret()) }),
        json!({}),
    ] {
        let outcome = graphql(
            Some(&guarded),
            json!({ "payloads": [payload], "query": true }),
        )
        .await;
        assert_eq!(outcome["error"]["code"], 4401, "{outcome}");
        assert_eq!(outcome["attempts"], 1, "{outcome}");
        assert_eq!(outcome["connected"], 0, "{outcome}");
    }
}

/// After 4403 the client connects again with new parameters, and its subscription continues. This is
/// the recipe for tokens that expire.
#[tokio::test]
async fn graphql_ws_reconnects_after_expiry() {
    let guarded = Guarded::start(&["--token-lifetime", "4"]);
    let payloads = json!([{ "token": guarded.alice() }, { "token": guarded.bob }]);
    let scenario = json!({ "payloads": payloads, "ticks": 2, "connections": 2 });
    let outcome = graphql(Some(&guarded), scenario).await;
    assert_eq!(outcome["closed"][0]["code"], 4403, "{outcome}");
    assert_eq!(outcome["payloads"], 2, "{outcome}");
    assert_eq!(outcome["connected"], 2, "{outcome}");
    assert_eq!(outcome["error"], Value::Null, "{outcome}");
}

#[tokio::test]
async fn graphql_ws_does_not_reconnect_after_a_revocation() {
    let guarded = Guarded::start(&["--token-lifetime", "3600"]);
    let then = json!({
        "url": guarded.url("revoke"), "token": guarded.root, "body": { "subject": "alice" }
    });
    let payloads = json!([{ "token": guarded.alice() }]);
    let scenario = json!({ "payloads": payloads, "ticks": 1_000_000, "then": then });
    let outcome = graphql(Some(&guarded), scenario).await;
    assert_eq!(outcome["then"]["status"], 200, "{outcome}");
    assert_eq!(outcome["then"]["body"]["closed"], 1, "{outcome}");
    assert_eq!(outcome["error"]["code"], 4401, "{outcome}");
    assert_eq!(outcome["attempts"], 1, "{outcome}");
}

/// Messages that a correct client does not send.
#[tokio::test]
async fn graphql_ws_protocol_errors_have_their_close_codes() {
    let guarded = Guarded::start(&[]);
    let init = json!({ "type": "connection_init", "payload": { "token": guarded.alice() } });
    let wrong = json!({
        "type": "connection_init", "payload": { "token": guarded.server.unknown_secret() }
    });
    let query = json!({ "id": "1", "type": "subscribe", "payload": { "query": "{ whoami }" } });
    let ack = json!({ "type": "connection_ack" });

    let mut socket = graphql_socket(&guarded).await;
    assert_eq!(socket.protocol.as_deref(), Some("graphql-transport-ws"));
    socket.send_json(&init).await;
    assert_eq!(socket.receive_json().await["type"], ack["type"]);
    socket.send_json(&query).await;
    let next = socket.receive_json().await;
    assert_eq!(next["payload"]["data"]["whoami"], "alice", "{next}");
    assert_eq!(socket.receive_json().await["type"], "complete");
    socket.send_json(&init).await;
    assert_eq!(socket.close_code().await, 4429, "a second init");

    for (name, message, code) in [
        ("subscribe before init", query.to_string(), 4401),
        ("a wrong token", wrong.to_string(), 4401),
        ("invalid JSON", "hello".to_owned(), 4400),
        ("unknown type", r#"{"type":"hello"}"#.to_owned(), 4400),
    ] {
        let mut socket = graphql_socket(&guarded).await;
        socket.send_text(&message).await;
        assert_eq!(socket.close_code().await, code, "{name}");
    }

    let mut socket = graphql_socket(&guarded).await;
    assert_eq!(socket.close_code().await, 4408, "no message");
}

/// The control of the tests above: a driver that fails does so because of the server.
#[tokio::test]
async fn the_graphql_driver_works_with_the_server_of_graphql_ws() {
    let users = json!({ "good": "alice", "better": "alice" });
    let (good, bad) = (json!({ "token": "good" }), json!({ "token": "bad" }));

    let scenario = json!({
        "control": { "users": users }, "payloads": [good], "query": true, "ticks": 3
    });
    let outcome = graphql(None, scenario).await;
    assert_eq!(outcome["query"]["data"]["whoami"], "alice", "{outcome}");
    assert_eq!(outcome["ticks"][1], json!([0, 1, 2]), "{outcome}");

    for (refusal, attempts) in [(4401, 1), (4403, 3)] {
        let control = json!({ "users": users, "refusal": refusal });
        let scenario = json!({ "control": control, "payloads": [bad], "query": true });
        let outcome = graphql(None, scenario).await;
        assert_eq!(outcome["error"]["code"], refusal, "{outcome}");
        assert_eq!(outcome["attempts"], attempts, "{outcome}");
    }

    let control = json!({ "users": users, "lifetime": 1000 });
    let payloads = json!([{ "token": "good" }, { "token": "better" }]);
    let scenario =
        json!({ "control": control, "payloads": payloads, "ticks": 2, "connections": 2 });
    let outcome = graphql(None, scenario).await;
    assert_eq!(outcome["closed"][0]["code"], 4403, "{outcome}");
    assert_eq!(outcome["connected"], 2, "{outcome}");
}

async fn graphql(guarded: Option<&Guarded>, mut scenario: Value) -> Value {
    if let Some(guarded) = guarded {
        scenario["url"] = guarded.websocket_url("ws/graphql").into();
    }
    let outcome = node("graphql.cjs", &[&scenario.to_string()]).await;
    outcome.unwrap_or_else(|error| panic!("{error}"))
}

async fn graphql_socket(guarded: &Guarded) -> Socket {
    let headers = [("sec-websocket-protocol", "graphql-transport-ws")];
    let socket = Socket::open(&guarded.websocket_url("ws/graphql"), &headers).await;
    socket.unwrap_or_else(|status| panic!("{status}"))
}
