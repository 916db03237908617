//! Sockets that say who they are in a message: by clients that others wrote, and by the message.

use std::time::Duration;

use portcullis_e2e::{RawConnection, leaks, node, python};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::guarded::{Guarded, Socket, frame};

const UNAUTHORIZED: u16 = 3000;
const TIMEOUT: u16 = 3008;
const EXPIRED: u16 = 3000;

// --- first message -----------------------------------------------------------------------------

#[tokio::test]
async fn a_first_message_is_the_token() {
    let guarded = Guarded::start(&["--token-lifetime", "3600"]);
    let mut socket = guarded.pending("ws/first-message").await;
    socket.say(guarded.alice()).await;
    let hello = socket.hear_json().await;
    assert_eq!(hello["subject"], "alice");
    assert!(hello["session"].is_string(), "{hello}");
    assert!(
        hello["expires_in"]
            .as_u64()
            .is_some_and(|left| left <= 3600)
    );
    assert!(leaks(&hello.to_string(), &[guarded.alice().to_owned()]).is_empty());
    socket.assert_echoes().await;
}

#[tokio::test]
async fn any_other_first_message_closes_the_socket() {
    let guarded = Guarded::start(&[]);
    let long = "x".repeat(17 * 1024);
    let rows = [
        (
            "a wrong token",
            Message::text(guarded.server.foreign_secret()),
        ),
        ("nothing", Message::text("")),
        ("something else", Message::text("hello")),
        (
            "binary",
            Message::binary(guarded.alice().as_bytes().to_vec()),
        ),
        ("too long", Message::text(long)),
    ];
    for (name, message) in rows {
        let mut socket = guarded.pending("ws/first-message").await;
        socket.send(message).await;
        // None but the one of the specification for what is too big or of the wrong kind.
        let code = socket.close_code().await;
        assert!([UNAUTHORIZED, 1003, 1009].contains(&code), "{name}: {code}");
    }
}

/// Pings are answered, and gain no time.
#[tokio::test]
async fn who_never_says_a_word_is_closed() {
    let guarded = Guarded::start(&[]);
    let mut silent = guarded.pending("ws/first-message").await;
    let mut pinging = guarded.pending("ws/first-message").await;
    const PAUSE: Duration = Duration::from_millis(500);
    let ping = async {
        let mut pongs = 0;
        loop {
            let answer = match timeout(PAUSE, pinging.next()).await {
                Ok(answer) => answer,
                Err(_) => {
                    pinging.send(Message::Ping(b"?".as_slice().into())).await;
                    continue;
                }
            };
            match answer {
                Message::Pong(_) => pongs += 1,
                Message::Close(Some(frame)) => break (pongs, u16::from(frame.code)),
                other => panic!("{other:?}"),
            }
        }
    };
    let (silent, (pongs, pinging)) = tokio::join!(silent.close_code(), ping);
    assert_eq!((silent, pinging), (TIMEOUT, TIMEOUT));
    assert!(pongs > 0);
}

/// The token and messages of the application in one segment, which may even be that of the
/// handshake: the application gets them after it knows who it is, each once.
#[tokio::test]
async fn what_follows_the_first_message_at_once_is_delivered_once() {
    let guarded = Guarded::start(&[]);
    let mut words = frame(guarded.alice());
    let mut echoes = Vec::new();
    for number in 0..10 {
        let number = number.to_string();
        words.extend(frame(&number));
        echoes.extend([0x81, 1, number.as_bytes()[0]]);
    }
    for early in [false, true] {
        let mut connection = RawConnection::open(guarded.server.authority()).await;
        let mut handshake = guarded.handshake("ws/first-message", None);
        if early {
            handshake.extend(&words);
        }
        connection.send(&handshake).await;
        connection.until(b"\r\n\r\n").await;
        if !early {
            connection.send(&words).await;
        }
        let told = connection.until(&echoes).await;
        let told = String::from_utf8_lossy(&told);
        assert!(told.contains(r#""subject":"alice""#), "{early}: {told}");
        connection.send(&frame("end")).await;
        let rest = connection.until(b"end").await;
        assert_eq!(rest, b"\x81\x03end", "{early}: nothing comes twice");
    }
}

#[tokio::test]
async fn python_websockets_says_it_in_every_way() {
    let guarded = Guarded::start(&["--token-lifetime", "3600"]);
    let (alice, wrong) = (guarded.alice(), guarded.server.foreign_secret());
    let bearer = format!("Bearer {alice}");
    let renewal = json!({ "type": "auth", "token": alice }).to_string();
    let marker = "v1.token.websocket.jupyter.org";
    let offer = [marker.to_owned(), format!("{marker}.{alice}")];
    let rows = [
        (
            "first message",
            json!({ "path": "ws/first-message", "say": [alice, "a", "b"] }),
        ),
        (
            "Basic in the address",
            json!({
                "path": "ws/basic", "user": "alice", "password": alice, "say": [null, "a", "b"]
            }),
        ),
        (
            "header",
            json!({
                "path": "ws/header", "headers": [["Authorization", bearer]], "say": [null, "a", "b"]
            }),
        ),
        (
            "token subprotocol",
            json!({
                "path": "ws/jupyter", "subprotocols": offer, "say": [null, "a", "b"]
            }),
        ),
        (
            "renewal",
            json!({
                "path": "ws/renewable", "headers": [["Authorization", bearer]],
                "say": [null, "a", renewal, "b"]
            }),
        ),
        (
            "a wrong first message",
            json!({ "path": "ws/first-message", "say": [wrong] }),
        ),
        (
            "a wrong password",
            json!({ "path": "ws/basic", "user": "alice", "password": wrong }),
        ),
        (
            "somebody else's",
            json!({ "path": "ws/basic", "user": "bob", "password": alice }),
        ),
        ("nothing", json!({ "path": "ws/header" })),
    ];
    let conversations = Value::from_iter(rows.iter().map(|(_, conversation)| conversation.clone()));
    let base = guarded.server.websocket_base();
    let results = python("talk.py", &[&base], &conversations).await;
    let results = results.unwrap_or_else(|error| panic!("{error}"));
    for ((name, _), result) in rows[..5].iter().zip(results.as_array().expect("a list")) {
        assert_eq!(result["status"], 101, "{name}: {result}");
        let mut heard: Vec<_> = texts(&result["heard"]);
        let hello: Value = serde_json::from_str(&heard.remove(0)).expect("JSON");
        assert_eq!(hello["subject"], "alice", "{name}");
        if *name == "renewal" {
            let answer: Value = serde_json::from_str(&heard.remove(1)).expect("JSON");
            assert_eq!(answer["type"], "auth", "{answer}");
            assert!(answer["expires_in"].is_u64(), "{answer}");
        }
        assert_eq!(heard, ["a", "b"], "{name}");
    }
    assert_eq!(results[3]["protocol"], marker);
    assert_eq!(results[5]["closed"]["code"], UNAUTHORIZED, "{results}");
    for refused in 6..=8 {
        assert_eq!(results[refused]["status"], 401, "{}", rows[refused].0);
    }
}

// --- FHIR --------------------------------------------------------------------------------------

#[tokio::test]
async fn every_way_to_bind_with_a_token() {
    let guarded = Guarded::start(&["--token-lifetime", "3600"]);
    let alice = guarded.alice();
    let medplum = json!({ "type": "bind-with-token", "payload": { "token": alice } });
    for bind in [
        format!("bind-with-token {alice}"),
        format!("bind-with-token: {alice}"),
        format!("bind-with-token:{alice}"),
        medplum.to_string(),
    ] {
        let mut socket = guarded.pending("ws/fhir").await;
        socket.say(&bind).await;
        let handshake = socket.hear_json().await;
        assert_eq!(handshake["resourceType"], "Bundle", "{handshake}");
        assert_eq!(handshake["type"], "subscription-notification");
        let status = &handshake["entry"][0]["resource"];
        assert_eq!(status["resourceType"], "SubscriptionStatus", "{handshake}");
        assert_eq!(status["type"], "handshake");
        assert_eq!(socket.hear_json().await["subject"], "alice");
        socket.assert_echoes().await;
    }
}

#[tokio::test]
async fn who_was_admitted_binds_by_name() {
    let guarded = Guarded::start(&[]);
    let (mut socket, hello) = guarded.open_as("ws/fhir", guarded.alice()).await;
    assert_eq!(hello["subject"], "alice");
    socket.say("bind 123").await;
    assert_eq!(socket.hear().await, "bound 123");
    socket.assert_echoes().await;
}

#[tokio::test]
async fn a_bad_bind_is_told_why() {
    let guarded = Guarded::start(&[]);
    let wrong = guarded.server.foreign_secret();
    for bind in [
        format!("bind-with-token {wrong}"),
        "bind-with-token".to_owned(),
        "bind 123".to_owned(),
        "hello".to_owned(),
        "{}".to_owned(),
    ] {
        let mut socket = guarded.pending("ws/fhir").await;
        socket.say(&bind).await;
        let (code, reason) = socket.closed().await;
        assert_eq!(code, 1002, "{bind}");
        assert!(
            !reason.is_empty() && !reason.contains(&wrong),
            "{bind}: {reason}"
        );
    }
}

/// Binding again renews; a token that is not good changes nothing; somebody else's ends it.
#[tokio::test]
async fn binding_again_renews() {
    let guarded = Guarded::start(&["--token-lifetime", "3600"]);
    let bind = |token: &str| format!("bind-with-token {token}");
    let wrong = guarded.server.foreign_secret();
    let mut socket = guarded.pending("ws/fhir").await;
    socket.say(&bind(guarded.alice())).await;
    socket.hear_json().await;
    socket.hear_json().await;
    socket.say(&bind(guarded.alice())).await;
    assert_eq!(socket.hear_json().await["resourceType"], "Bundle");
    socket.say(&bind(&wrong)).await;
    assert_eq!(socket.hear_json().await["resourceType"], "OperationOutcome");
    socket.assert_echoes().await;
    socket.say(&bind(&guarded.bob)).await;
    assert_eq!(socket.close_code().await, 1002);
}

// --- graphql-ws --------------------------------------------------------------------------------

#[tokio::test]
async fn graphql_ws_asks_and_subscribes() {
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

/// The client takes 4401 for final: it does not come again with what was refused.
#[tokio::test]
async fn graphql_ws_gives_up_with_a_wrong_token() {
    let guarded = Guarded::start(&[]);
    for payload in [
        json!({ "token": guarded.server.foreign_secret() }),
        json!({ "Authorization": format!("Bearer {}", guarded.server.foreign_secret()) }),
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

/// It takes 4403 for a reason to come again, and asks for new parameters: the recipe for tokens
/// that expire. Its subscription goes on.
#[tokio::test]
async fn graphql_ws_comes_again_after_expiry() {
    let guarded = Guarded::start(&["--token-lifetime", "2"]);
    let payloads = json!([{ "token": guarded.alice() }, { "token": guarded.bob }]);
    let scenario = json!({ "payloads": payloads, "ticks": 2, "connections": 2 });
    let outcome = graphql(Some(&guarded), scenario).await;
    assert_eq!(outcome["closed"][0]["code"], 4403, "{outcome}");
    assert_eq!(outcome["payloads"], 2, "{outcome}");
    assert_eq!(outcome["connected"], 2, "{outcome}");
    assert_eq!(outcome["error"], Value::Null, "{outcome}");
}

#[tokio::test]
async fn graphql_ws_gives_up_when_it_is_revoked() {
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

/// What no well-behaved client does.
#[tokio::test]
async fn graphql_ws_by_the_message() {
    let guarded = Guarded::start(&[]);
    let init = json!({ "type": "connection_init", "payload": { "token": guarded.alice() } });
    let wrong = json!({
        "type": "connection_init", "payload": { "token": guarded.server.foreign_secret() }
    });
    let query = json!({ "id": "1", "type": "subscribe", "payload": { "query": "{ whoami }" } });
    let ack = json!({ "type": "connection_ack" });

    let mut socket = graphql_socket(&guarded).await;
    assert_eq!(socket.protocol.as_deref(), Some("graphql-transport-ws"));
    socket.say_json(&init).await;
    assert_eq!(socket.hear_json().await["type"], ack["type"]);
    socket.say_json(&query).await;
    let next = socket.hear_json().await;
    assert_eq!(next["payload"]["data"]["whoami"], "alice", "{next}");
    assert_eq!(socket.hear_json().await["type"], "complete");
    socket.say_json(&init).await;
    assert_eq!(socket.close_code().await, 4429, "a second init");

    for (name, message, code) in [
        ("subscribes first", query.to_string(), 4401),
        ("a wrong token", wrong.to_string(), 4401),
        ("no JSON", "hello".to_owned(), 4400),
        ("no such type", r#"{"type":"hello"}"#.to_owned(), 4400),
    ] {
        let mut socket = graphql_socket(&guarded).await;
        socket.say(&message).await;
        assert_eq!(socket.close_code().await, code, "{name}");
    }

    let mut socket = graphql_socket(&guarded).await;
    assert_eq!(socket.close_code().await, 4408, "says nothing");
}

/// So that a driver which fails against our server fails because of our server.
#[tokio::test]
async fn the_graphql_driver_works_with_its_own_server() {
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

    let control = json!({ "users": users, "lifetime": 300 });
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

// --- DDP ---------------------------------------------------------------------------------------

const DDP_CLIENTS: [&str; 2] = ["ddp.js", "simpleddp"];
const LOGGED_OUT: &str = "You've been logged out by the server. Please log in again.";

#[tokio::test]
async fn ddp_clients_log_in() {
    let guarded = Guarded::start(&["--token-lifetime", "3600"]);
    let login = json!(["login", { "resume": guarded.alice() }]);
    for client in DDP_CLIENTS {
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
async fn ddp_clients_are_told_that_a_token_is_wrong() {
    let guarded = Guarded::start(&[]);
    let wrong = json!(["login", { "resume": guarded.server.foreign_secret() }]);
    let right = json!(["login", { "resume": guarded.alice() }]);
    for client in DDP_CLIENTS {
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

/// And simpleddp, which keeps the token of the result, comes again by itself.
#[tokio::test]
async fn ddp_clients_are_closed_at_expiry() {
    let guarded = Guarded::start(&["--token-lifetime", "2"]);
    let login = json!(["login", { "resume": guarded.alice() }]);
    for client in DDP_CLIENTS {
        let mut scenario = json!({ "calls": [login, ["whoami"]], "closes": true });
        if client == "simpleddp" {
            scenario["again"] = json!(["whoami"]);
        }
        let outcome = ddp(client, Some(&guarded), scenario).await;
        assert_eq!(
            outcome["results"][1]["result"], "alice",
            "{client}: {outcome}"
        );
        assert_eq!(outcome["closed"][0]["code"], EXPIRED, "{client}: {outcome}");
        if client == "simpleddp" {
            assert_eq!(outcome["again"], "alice", "{client}: {outcome}");
        }
    }
}

/// What no well-behaved client does.
#[tokio::test]
async fn ddp_by_the_message() {
    let guarded = Guarded::start(&[]);
    let connect = json!({ "msg": "connect", "version": "1", "support": ["1"] });
    let whoami = json!({ "msg": "method", "method": "whoami", "id": "1", "params": [] });

    for (first, reason) in [
        (whoami.to_string(), "Must connect first"),
        ("hello".to_owned(), "Parse error"),
    ] {
        let mut socket = guarded.pending("ws/ddp").await;
        socket.say(&first).await;
        let error = socket.hear_json().await;
        assert_eq!(
            (&error["msg"], &error["reason"]),
            (&json!("error"), &json!(reason))
        );
    }

    let mut socket = guarded.pending("ws/ddp").await;
    socket.say_json(&connect).await;
    let connected = socket.hear_json().await;
    assert_eq!(connected["msg"], "connected", "{connected}");
    assert!(connected["session"].is_string(), "{connected}");
    socket.say_json(&connect).await;
    assert_eq!(socket.hear_json().await["reason"], "Already connected");

    let mut socket = guarded.pending("ws/ddp").await;
    socket
        .say_json(&json!({ "msg": "connect", "version": "0", "support": ["0"] }))
        .await;
    assert_eq!(
        socket.hear_json().await,
        json!({ "msg": "failed", "version": "1" })
    );

    // Whoever only connects is still nobody.
    let mut socket = guarded.pending("ws/ddp").await;
    socket.say_json(&connect).await;
    socket.hear_json().await;
    assert_eq!(socket.close_code().await, TIMEOUT);
}

/// So that a driver which fails against our server fails because of our server.
#[tokio::test]
async fn the_ddp_driver_works_with_a_server_as_meteor_is() {
    let control = json!({ "users": { "good": "alice" }, "lifetime": 300 });
    let login = |token: &str| json!(["login", { "resume": token }]);
    for client in DDP_CLIENTS {
        let calls = json!([login("bad"), login("good"), ["whoami"]]);
        let mut scenario = json!({ "control": control, "calls": calls, "closes": true });
        if client == "simpleddp" {
            scenario["again"] = json!(["whoami"]);
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

// --- helpers -----------------------------------------------------------------------------------

fn texts(list: &Value) -> Vec<String> {
    let texts = list.as_array().expect("a list").iter();
    texts
        .map(|text| text.as_str().expect("text").to_owned())
        .collect()
}
