//! The WebSockets of kernels and of events.

use axum::http::{Method, StatusCode, header};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message as WsMessage;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::client::{Server, close_code};
use crate::wire::{Channel, Format};

#[tokio::test]
async fn all_clients_get_output_and_one_gets_the_reply() {
    let server = Server::start().await;
    let (kernel, mut a) = server.connect_to_new_kernel(Format::V1).await;
    let mut b = server.connect(&kernel, "b", Format::Legacy).await;
    // After one round trip each, both are attached to the kernel.
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
async fn second_socket_of_a_session_replaces_the_first() {
    let server = Server::start().await;
    let (kernel, mut first) = server.connect_to_new_kernel(Format::V1).await;
    first.run("0").await;
    let mut second = server.connect(&kernel, "a", Format::V1).await;
    assert_eq!(first.close_code().await, CloseCode::Normal);
    assert_eq!(second.run("1").await.reply["status"], "ok");
    let (_, model) = server.json(Method::GET, &kernel, "").await;
    assert_eq!(model["connections"], 1);
}

#[tokio::test]
async fn malformed_message_closes_only_its_socket() {
    let server = Server::start().await;
    let (kernel, mut other) = server.connect_to_new_kernel(Format::V1).await;
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
        assert_eq!(socket.close_code().await, code, "{format:?} {frame:?}");
    }
    assert_eq!(other.run("1").await.reply["status"], "ok");
}

#[tokio::test]
async fn unknown_requests_are_ignored() {
    let server = Server::start().await;
    let (_, mut socket) = server.connect_to_new_kernel(Format::V1).await;
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
async fn shutdown_of_a_kernel_closes_its_sockets() {
    let server = Server::start().await;
    let (kernel, mut socket) = server.connect_to_new_kernel(Format::V1).await;
    socket.run("0").await;
    let (status, _) = server.json(Method::DELETE, &kernel, "").await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    socket.wait_for_state("dead").await;
    assert_eq!(socket.close_code().await, CloseCode::Normal);
}

/// Unlike Jupyter Server, which closes the open socket before it refuses the upgrade.
#[tokio::test]
async fn refused_upgrade_does_not_close_the_open_socket_of_its_session() {
    let server = Server::start().await;
    let kernel = server.start_kernel("rhai").await;
    let mut live = server.connect(&kernel, "live", Format::V1).await;
    let cookie = server.login_cookie().await;
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
    // An admitted client replaces the socket.
    let own = format!("http://{}", server.address());
    let headers = [(header::COOKIE, &*cookie), (header::ORIGIN, &*own)];
    let admitted = server.open_with(&path, &headers).await;
    assert!(admitted.is_ok());
    assert_eq!(live.close_code().await, CloseCode::Normal);
}

#[tokio::test]
async fn unknown_kernel_is_404_before_the_handshake_is_checked() {
    let server = Server::start().await;
    let kernel = server.start_kernel("rhai").await;
    let unknown = "/api/kernels/00000000-0000-0000-0000-000000000000/channels";
    assert_eq!(
        server.open(unknown).await.err(),
        Some(StatusCode::NOT_FOUND)
    );
    let (status, _) = server.json(Method::GET, unknown, "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = server
        .json(Method::GET, &format!("{kernel}/channels"), "")
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(server.open(&format!("{kernel}/channels")).await.is_ok());
}

#[tokio::test]
async fn events_report_actions_on_kernels() {
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
async fn stop_closes_sockets_and_prevents_new_kernels() {
    let server = Server::start().await;
    let events = server.open("/api/events/subscribe").await.unwrap();
    let (kernel, mut socket) = server.connect_to_new_kernel(Format::V1).await;
    socket.run("0").await;
    let socket = tokio::spawn(socket.close_code());
    let events = tokio::spawn(close_code(events));
    server.app.stop().await;
    assert_eq!(socket.await.unwrap(), CloseCode::Away);
    assert_eq!(events.await.unwrap(), CloseCode::Away);
    let (status, _) = server.json(Method::GET, &kernel, "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = server.json(Method::POST, "/api/kernels", "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}
