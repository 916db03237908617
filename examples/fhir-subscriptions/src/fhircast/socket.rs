use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep_until, timeout};

use super::hub::{Endpoint, Hub, Line};
use super::request::Happening;
use crate::app::App;

/// How long a client may take to say that it has followed.
const ACKNOWLEDGE: Duration = Duration::from_secs(10);

/// How long a client may take to read a message.
const READ: Duration = Duration::from_secs(5);

/// The largest message of a client: an acknowledgement.
const MAX_MESSAGE: usize = 16 * 1024;

/// Opens a socket to whatever endpoint it is for. One that does not exist is denied in a message,
/// as FHIRcast has it: a browser could not read a status.
pub(super) async fn open(
    State(app): State<Arc<App>>,
    Path(path): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let endpoint = Endpoint::new(&path);
    let hub = Arc::clone(&app.hub);
    upgrade
        .read_buffer_size(4 * 1024)
        .write_buffer_size(0)
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(async move |mut socket| match hub.connect(endpoint) {
            Ok(lines) => {
                Subscription::new(socket, Arc::clone(&hub), endpoint, lines)
                    .serve()
                    .await;
                hub.disconnect(endpoint);
            }
            Err(denial) => {
                let _ = deny(&mut socket, &denial).await;
            }
        })
}

struct Subscription {
    socket: WebSocket,
    hub: Arc<Hub>,
    endpoint: Endpoint,
    lines: Receiver<Line>,
    /// What the client has been told and has not acknowledged, the oldest first.
    unanswered: VecDeque<(Instant, Arc<Happening>)>,
}

/// The socket is closed, or must be.
struct Over;

impl Subscription {
    fn new(socket: WebSocket, hub: Arc<Hub>, endpoint: Endpoint, lines: Receiver<Line>) -> Self {
        Self {
            socket,
            hub,
            endpoint,
            lines,
            unanswered: VecDeque::new(),
        }
    }

    async fn serve(mut self) {
        while self.step().await.is_ok() {}
    }

    async fn step(&mut self) -> Result<(), Over> {
        let now = Instant::now();
        // Over already: the denial waits in the queue.
        let until = self.hub.until(self.endpoint).unwrap_or(now + READ);
        let late = self.unanswered.front().map(|(due, _)| *due);
        tokio::select! {
            biased;
            line = self.lines.recv() => match line {
                Some(line) => self.say(line).await,
                // Too much waited for a client that reads too slowly.
                None => close(&mut self.socket, close_code::AGAIN, "too slow").await,
            },
            message = self.socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    self.hear(&text);
                    Ok(())
                }
                Some(Ok(_)) => Ok(()),
                Some(Err(_)) | None => Err(Over),
            },
            () = sleep_until(until) => {
                // It may have been prolonged since.
                if self.hub.until(self.endpoint).is_some_and(|until| until <= Instant::now()) {
                    self.hub.end(self.endpoint, "The lease has ended.");
                }
                Ok(())
            }
            () = sleep_until(late.unwrap_or(now)), if late.is_some() => {
                if let Some((_, happening)) = self.unanswered.pop_front() {
                    self.hub.out_of_sync(self.endpoint, &happening, "has not acknowledged");
                }
                Ok(())
            }
        }
    }

    async fn say(&mut self, line: Line) -> Result<(), Over> {
        match line {
            Line::Confirmed(message) => send(&mut self.socket, &message).await,
            Line::Happened(happening) => {
                send(&mut self.socket, &happening.message).await?;
                let due = Instant::now() + ACKNOWLEDGE;
                self.unanswered.push_back((due, happening));
                Ok(())
            }
            Line::Denied(message) => deny(&mut self.socket, &message).await,
        }
    }

    /// Takes an acknowledgement: `{"id": …, "status": "200"}`. Whatever else it is says nothing.
    fn hear(&mut self, text: &str) {
        let Ok(answer) = serde_json::from_str::<Value>(text) else {
            return;
        };
        let is_meant = |(_, told): &(Instant, Arc<Happening>)| answer["id"] == *told.id;
        let Some(at) = self.unanswered.iter().position(is_meant) else {
            return;
        };
        let Some((_, happening)) = self.unanswered.remove(at) else {
            return;
        };
        let status = &answer["status"];
        let is_good = [json!("200"), json!("202"), json!(200), json!(202)].contains(status);
        if !is_good {
            self.hub
                .out_of_sync(self.endpoint, &happening, "has not followed");
        }
    }
}

async fn deny(socket: &mut WebSocket, message: &Value) -> Result<(), Over> {
    send(socket, message).await?;
    close(socket, close_code::NORMAL, "denied").await
}

async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) -> Result<(), Over> {
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };
    let _ = timeout(READ, socket.send(Message::Close(Some(frame)))).await;
    // The client answers; then the connection can go without cutting off what it has not read.
    let closed = async { while let Some(Ok(_)) = socket.recv().await {} };
    let _ = timeout(READ, closed).await;
    Err(Over)
}

async fn send(socket: &mut WebSocket, message: &Value) -> Result<(), Over> {
    let sent = timeout(READ, socket.send(Message::text(message.to_string()))).await;
    sent.ok().and_then(Result::ok).ok_or(Over)
}
