//! What happens, as it happens.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use tokio::sync::broadcast;

use super::ApiError;
use crate::app::App;
use crate::auth::ws::{CloseFrame, Message, Rejection, WebSocket, WebSocketUpgrade, close_code};
use crate::channels::say_goodbye;

pub(super) async fn subscribe(
    State(app): State<Arc<App>>,
    upgrade: Result<WebSocketUpgrade, Rejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|rejection| no_websocket(&rejection))?;
    // Now, so that nothing is missed that happens after the answer.
    let events = app.events.subscribe();
    Ok(upgrade.on_upgrade(async move |socket| serve(socket, events).await))
}

/// Why a request for a socket is not one.
pub(super) fn no_websocket(rejection: &Rejection) -> ApiError {
    ApiError::no_websocket(rejection.status(), rejection.body_text())
}

async fn serve(mut socket: WebSocket, mut events: broadcast::Receiver<String>) {
    loop {
        tokio::select! {
            // A subscriber has nothing to say; but only who listens hears it leave.
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
    let close = CloseFrame {
        code: close_code::AGAIN,
        reason: "too slow for what happens".into(),
    };
    say_goodbye(socket, close).await;
}
