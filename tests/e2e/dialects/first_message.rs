use std::time::Duration;

use portcullis_e2e::{RawConnection, leaks, python};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::{TIMEOUT, UNAUTHORIZED};
use crate::guarded::{Guarded, frame};

#[tokio::test]
async fn the_first_message_authenticates() {
    let guarded = Guarded::start(&["--token-lifetime", "3600"]);
    let mut socket = guarded.pending("ws/first-message").await;
    socket.send_text(guarded.alice()).await;
    let hello = socket.receive_json().await;
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
async fn an_invalid_first_message_closes_the_socket() {
    let guarded = Guarded::start(&[]);
    let long = "x".repeat(17 * 1024);
    let rows = [
        (
            "a wrong token",
            Message::text(guarded.server.unknown_secret()),
        ),
        ("empty", Message::text("")),
        ("not a token", Message::text("hello")),
        (
            "binary",
            Message::binary(guarded.alice().as_bytes().to_vec()),
        ),
        ("too long", Message::text(long)),
    ];
    for (name, message) in rows {
        let mut socket = guarded.pending("ws/first-message").await;
        socket.send(message).await;
        // RFC 6455 defines 1003 for a wrong type and 1009 for a message that is too long.
        let code = socket.close_code().await;
        assert!([UNAUTHORIZED, 1003, 1009].contains(&code), "{name}: {code}");
    }
}

/// The server answers pings, and they do not extend the time limit.
#[tokio::test]
async fn a_client_that_sends_no_credential_is_closed() {
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

/// The client sends the token and more messages in one segment, which can also contain the handshake.
/// The handler gets each of these messages once, after the authentication.
#[tokio::test]
async fn messages_right_after_the_first_message_are_delivered_once() {
    let guarded = Guarded::start(&[]);
    let mut messages = frame(guarded.alice());
    let mut echoes = Vec::new();
    for number in 0..10 {
        let number = number.to_string();
        messages.extend(frame(&number));
        echoes.extend([0x81, 1, number.as_bytes()[0]]);
    }
    for early in [false, true] {
        let mut connection = RawConnection::open(guarded.server.authority()).await;
        let mut handshake = guarded.handshake("ws/first-message", None);
        if early {
            handshake.extend(&messages);
        }
        connection.send(&handshake).await;
        connection.until(b"\r\n\r\n").await;
        if !early {
            connection.send(&messages).await;
        }
        let received = connection.until(&echoes).await;
        let received = String::from_utf8_lossy(&received);
        assert!(
            received.contains(r#""subject":"alice""#),
            "{early}: {received}"
        );
        connection.send(&frame("end")).await;
        let rest = connection.until(b"end").await;
        assert_eq!(rest, b"\x81\x03end", "{early}: no message is repeated");
    }
}

#[tokio::test]
async fn python_websockets_authenticates_with_every_carrier() {
    let guarded = Guarded::start(&["--token-lifetime", "3600"]);
    let (alice, wrong) = (guarded.alice(), guarded.server.unknown_secret());
    let bearer = format!("Bearer {alice}");
    let renewal = json!({ "type": "auth", "token": alice }).to_string();
    let marker = "v1.token.websocket.jupyter.org";
    let offer = [marker.to_owned(), format!("{marker}.{alice}")];
    let rows = [
        (
            "first message",
            json!({ "path": "ws/first-message", "send": [alice, "a", "b"] }),
        ),
        (
            "Basic in the address",
            json!({
                "path": "ws/basic", "user": "alice", "password": alice, "send": [null, "a", "b"]
            }),
        ),
        (
            "header",
            json!({
                "path": "ws/header", "headers": [["Authorization", bearer]], "send": [null, "a", "b"]
            }),
        ),
        (
            "token subprotocol",
            json!({
                "path": "ws/jupyter", "subprotocols": offer, "send": [null, "a", "b"]
            }),
        ),
        (
            "renewal",
            json!({
                "path": "ws/renewable", "headers": [["Authorization", bearer]],
                "send": [null, "a", renewal, "b"]
            }),
        ),
        (
            "a wrong first message",
            json!({ "path": "ws/first-message", "send": [wrong] }),
        ),
        (
            "a wrong password",
            json!({ "path": "ws/basic", "user": "alice", "password": wrong }),
        ),
        (
            "the password of another user",
            json!({ "path": "ws/basic", "user": "bob", "password": alice }),
        ),
        ("no credential", json!({ "path": "ws/header" })),
    ];
    let exchanges = Value::from_iter(rows.iter().map(|(_, exchange)| exchange.clone()));
    let base = guarded.server.websocket_base();
    let results = python("exchange.py", &[&base], &exchanges).await;
    let results = results.unwrap_or_else(|error| panic!("{error}"));
    for ((name, _), result) in rows[..5].iter().zip(results.as_array().expect("a list")) {
        assert_eq!(result["status"], 101, "{name}: {result}");
        let mut received: Vec<_> = texts(&result["received"]);
        let hello: Value = serde_json::from_str(&received.remove(0)).expect("JSON");
        assert_eq!(hello["subject"], "alice", "{name}");
        if *name == "renewal" {
            let answer: Value = serde_json::from_str(&received.remove(1)).expect("JSON");
            assert_eq!(answer["type"], "auth", "{answer}");
            assert!(answer["expires_in"].is_u64(), "{answer}");
        }
        assert_eq!(received, ["a", "b"], "{name}");
    }
    assert_eq!(results[3]["protocol"], marker);
    assert_eq!(results[5]["closed"]["code"], UNAUTHORIZED, "{results}");
    for refused in 6..=8 {
        assert_eq!(results[refused]["status"], 401, "{}", rows[refused].0);
    }
}

fn texts(list: &Value) -> Vec<String> {
    let texts = list.as_array().expect("a list").iter();
    texts
        .map(|text| text.as_str().expect("text").to_owned())
        .collect()
}
