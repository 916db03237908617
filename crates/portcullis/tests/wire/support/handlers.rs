//! Handlers that read, write and end in different ways.

use std::future::pending;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::Message;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use portcullis::GuardedUpgrade;
use portcullis::session::Change;

use super::SECOND;

pub(crate) fn handlers() -> Router {
    Router::new()
        .route("/echo", any(echo))
        .route("/changes", any(changes))
        .route("/idle", any(idle))
        .route("/sends", any(sends))
        .route("/idle-reader", any(idle_reader))
        .route("/idle-writer", any(idle_writer))
        .route("/panics", any(panics))
        .route("/returns", any(returns))
        .route("/drops-upgrade", any(drops_upgrade))
        .route("/other-response", any(other_response))
}

/// The handlers that run until their session ends.
pub(crate) const LONG_RUNNING: [&str; 5] =
    ["/echo", "/idle", "/sends", "/idle-reader", "/idle-writer"];

/// Echoes. Answers `whoami` with the subject and the token id, and `id` with the session id.
async fn echo(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        while let Some(Ok(message)) = socket.recv().await {
            let answer = match &message {
                Message::Text(text) if text.as_str() == "whoami" => {
                    let identity = socket.identity();
                    let name = identity.token_id().unwrap_or("unnamed");
                    format!("{} {name}", identity.subject()).into()
                }
                Message::Text(text) if text.as_str() == "id" => {
                    socket.session().id().to_string().into()
                }
                Message::Text(_) | Message::Binary(_) => message,
                _ => continue,
            };
            if socket.send(answer).await.is_err() {
                return;
            }
        }
    })
}

/// Reports every change of its session to the client.
async fn changes(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        let mut changes = socket.session().changes();
        loop {
            let report = tokio::select! {
                change = changes.next() => match change {
                    Some(Change::Renewed(identity)) => {
                        format!("renewed {}", identity.token_id().unwrap_or("unnamed"))
                    }
                    Some(Change::Expiring(after)) => format!("expiring in {} s", after.as_secs()),
                    _ => return,
                },
                message = socket.recv() => match message {
                    Some(Ok(_)) => continue,
                    _ => return,
                },
            };
            if socket.send(report.into()).await.is_err() {
                return;
            }
        }
    })
}

/// Never uses its socket.
async fn idle(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |socket| {
        pending::<()>().await;
        drop(socket);
    })
}

/// Sends without end and never reads.
async fn sends(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        while socket.send(vec![0; 16 * 1024].into()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
}

/// Moves its reader into a task that never uses it.
async fn idle_reader(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |socket| {
        let (mut writer, reader) = socket.split();
        tokio::spawn(async move {
            pending::<()>().await;
            drop(reader);
        });
        while writer.send("tick".into()).await.is_ok() {
            tokio::time::sleep(SECOND).await;
        }
    })
}

/// Moves its writer into a task that never uses it.
async fn idle_writer(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |socket| {
        let (writer, mut reader) = socket.split();
        tokio::spawn(async move {
            pending::<()>().await;
            drop(writer);
        });
        while let Some(Ok(_)) = reader.next().await {}
    })
}

async fn panics(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        socket.recv().await;
        panic!("the handler is broken");
    })
}

async fn returns(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |_| {})
}

/// Drops the upgrade and sends another response.
async fn drops_upgrade(_: GuardedUpgrade) -> Response {
    StatusCode::CONFLICT.into_response()
}

/// Calls `on_upgrade` and sends another response. hyper may hand the socket over anyway.
async fn other_response(upgrade: GuardedUpgrade) -> Response {
    drop(upgrade.on_upgrade(async |_| {}));
    StatusCode::CONFLICT.into_response()
}
