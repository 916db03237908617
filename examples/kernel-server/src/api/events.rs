//! The WebSocket of `/api/events/subscribe`.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, close_code};
use axum::response::Response;
use portcullis::ws::GuardedUpgradeRejection;
use portcullis::{GuardedSocket, GuardedUpgrade};
use tokio::sync::broadcast;

use super::ApiError;
use crate::app::App;
use crate::channels;

pub(super) async fn subscribe(
    State(app): State<Arc<App>>,
    upgrade: Result<GuardedUpgrade, GuardedUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade?;
    // Before the response, so that the client misses no event after it.
    let events = app.events.subscribe();
    Ok(upgrade.on_upgrade(async move |socket| serve(socket, events).await))
}

async fn serve(mut socket: GuardedSocket, mut events: broadcast::Receiver<String>) {
    loop {
        tokio::select! {
            // Clients send nothing, but only a read detects a closed connection.
            frame = socket.recv() => match frame {
                Some(Ok(_)) => {}
                _ => return,
            },
            event = events.recv() => match event {
                Ok(event) => if socket.send(Message::text(event)).await.is_err() { return },
                Err(_) => break,
            },
        }
    }
    let frame = CloseFrame {
        code: close_code::AGAIN,
        reason: "client reads events too slowly".into(),
    };
    channels::close(socket, frame).await;
}
