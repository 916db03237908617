//! Sockets: several of one kernel, bad ones, and how they end.

use axum::http::{Method, StatusCode, header};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message as WsMessage;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::client::{Server, close_code};
use crate::wire::{Channel, Format};

#[tokio::test]
async fn everybody_sees_the_output_and_only_who_asked_gets_the_reply() {
    let server = Server::start().await;
    let (kernel, mut a) = server.kernel(Format::V1).await;
    let mut b = server.connect(&kernel, "b", Format::Legacy).await;
    // One round trip each: now both are attached.
    a.run("0").await;
    b.run("0").await;
    let (_, model) = server.json(Method::GET, &kernel, "").await;
    assert_eq!(model["connections"], 2);

    let id = a
        .send(
            Channel::Shell,
            "execute_request",
            json!({"code": "print(1)"}),
        )
        .await;
    a.outcome(&id).await;
    let mut seen = Vec::new();
    loop {
        let message = b.message().await;
        assert_eq!(message.channel, Channel::Iopub);
        let parent: Value = serde_json::from_slice(&message.parent_header).unwrap();
        if parent["msg_id"] != *id {
            continue;
        }
        seen.push(message.header().unwrap().msg_type.into_owned());
        if seen.len() == 4 {
            break;
        }
    }
    assert_eq!(seen, ["status", "execute_input", "stream", "status"]);
}

#[tokio::test]
async fn a_second_socket_of_a_session_takes_the_place_of_the_first() {
    let server = Server::start().await;
    let (kernel, mut first) = server.kernel(Format::V1).await;
    first.run("0").await;
    let mut second = server.connect(&kernel, "a", Format::V1).await;
    assert_eq!(first.closed().await, CloseCode::Normal);
    assert_eq!(second.run("1").await.reply["status"], "ok");
    let (_, model) = server.json(Method::GET, &kernel, "").await;
    assert_eq!(model["connections"], 1);
}

#[tokio::test]
async fn what_is_no_message_closes_the_socket_and_nothing_else() {
    let server = Server::start().await;
    let (kernel, mut other) = server.kernel(Format::V1).await;
    let malformed = [
        (Format::V1, WsMessage::text("{}"), CloseCode::Unsupported),
        (Format::V1, WsMessage::binary(vec![]), CloseCode::Invalid),
        (
            Format::V1,
            WsMessage::binary(vec![0xff; 100]),
            CloseCode::Invalid,
        ),
        (Format::Legacy, WsMessage::text("{"), CloseCode::Invalid),
        (Format::Legacy, WsMessage::text("{}"), CloseCode::Invalid),
        (
            Format::Legacy,
            WsMessage::binary(vec![0xff; 100]),
            CloseCode::Invalid,
        ),
    ];
    for (format, frame, code) in malformed {
        let mut socket = server.connect(&kernel, "b", format).await;
        socket.send_frame(frame.clone()).await;
        assert_eq!(socket.closed().await, code, "{format:?} {frame:?}");
    }
    assert_eq!(other.run("1").await.reply["status"], "ok");
}

#[tokio::test]
async fn messages_that_nobody_takes_are_ignored() {
    let server = Server::start().await;
    let (_, mut socket) = server.kernel(Format::V1).await;
    for channel in [
        Channel::Iopub,
        Channel::Stdin,
        Channel::Control,
        Channel::Shell,
    ] {
        socket.send(channel, "no_such_request", json!({})).await;
    }
    socket
        .send(Channel::Shell, "execute_request", json!({"code": 1}))
        .await;
    assert_eq!(socket.run("1").await.reply["status"], "ok");
}

#[tokio::test]
async fn a_kernel_that_is_shut_down_closes_its_sockets() {
    let server = Server::start().await;
    let (kernel, mut socket) = server.kernel(Format::V1).await;
    socket.run("0").await;
    let (status, _) = server.json(Method::DELETE, &kernel, "").await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    socket.state("dead").await;
    assert_eq!(socket.closed().await, CloseCode::Normal);
}

/// Row A14 of the acceptance table. Jupyter Server closes the live socket before it refuses.
#[tokio::test]
async fn a_refused_upgrade_leaves_the_live_socket_of_its_session_alone() {
    let server = Server::start().await;
    let kernel = server.start_kernel("rhai").await;
    let mut live = server.connect(&kernel, "live", Format::V1).await;
    let cookie = server.cookie_of_the_link().await;
    let evil = (header::ORIGIN, "http://evil.example");
    let path = format!("{kernel}/channels?session_id=live");
    for (path, headers) in [
        (path.clone(), vec![]),
        (format!("{path}&token=wrong"), vec![]),
        (path.clone(), vec![(header::COOKIE, &*cookie)]),
        (path.clone(), vec![(header::COOKIE, &*cookie), evil]),
    ] {
        let refused = server.open_with(&path, &headers).await.err();
        assert_eq!(refused, Some(StatusCode::FORBIDDEN), "{path} {headers:?}");
        assert_eq!(live.run("1").await.reply["status"], "ok");
    }
    // The same session is taken over by who is admitted.
    let own = format!("http://{}", server.address());
    let headers = [(header::COOKIE, &*cookie), (header::ORIGIN, &*own)];
    let admitted = server.open_with(&path, &headers).await;
    assert!(admitted.is_ok());
    assert_eq!(live.closed().await, CloseCode::Normal);
}

#[tokio::test]
async fn only_a_kernel_that_exists_has_a_socket() {
    let server = Server::start().await;
    let kernel = server.start_kernel("rhai").await;
    let nobody = "/api/kernels/00000000-0000-0000-0000-000000000000/channels";
    assert_eq!(server.open(nobody).await.err(), Some(StatusCode::NOT_FOUND));
    // What is missing comes before how it was asked for.
    let (status, _) = server.json(Method::GET, nobody, "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = server
        .json(Method::GET, &format!("{kernel}/channels"), "")
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(server.open(&format!("{kernel}/channels")).await.is_ok());
}

#[tokio::test]
async fn events_tell_what_happens_to_kernels() {
    let server = Server::start().await;
    let mut events = server.open("/api/events/subscribe").await.unwrap();
    let kernel = server.start_kernel("rhai").await;
    for action in ["interrupt", "restart"] {
        server
            .send(Method::POST, &format!("{kernel}/{action}"), "")
            .await;
    }
    server.send(Method::DELETE, &kernel, "").await;
    for action in ["start", "interrupt", "restart", "shutdown"] {
        let event = events.next().await.unwrap().unwrap();
        let event: Value = serde_json::from_str(event.to_text().unwrap()).unwrap();
        let schema = "https://events.jupyter.org/jupyter_server/kernel_actions/v1";
        assert_eq!(event["schema_id"], schema);
        assert_eq!(
            (&event["action"], &event["status"]),
            (&json!(action), &json!("success"))
        );
        assert!(kernel.ends_with(event["kernel_id"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn a_server_that_stops_says_goodbye_and_starts_nothing_any_more() {
    let server = Server::start().await;
    let events = server.open("/api/events/subscribe").await.unwrap();
    let (kernel, mut socket) = server.kernel(Format::V1).await;
    socket.run("0").await;
    let socket = tokio::spawn(socket.closed());
    let events = tokio::spawn(close_code(events));
    server.app.stop().await;
    assert_eq!(socket.await.unwrap(), CloseCode::Away);
    assert_eq!(events.await.unwrap(), CloseCode::Away);
    let (status, _) = server.json(Method::GET, &kernel, "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = server.json(Method::POST, "/api/kernels", "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}
