use std::time::Duration;

use portcullis_e2e::{RawConnection, leaks, python};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::{TIMEOUT, UNAUTHORIZED};
use crate::guarded::{Guarded, frame};

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

fn texts(list: &Value) -> Vec<String> {
    let texts = list.as_array().expect("a list").iter();
    texts
        .map(|text| text.as_str().expect("text").to_owned())
        .collect()
}
