use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep_until, timeout};

use super::hub::{EndpointDigest, Hub, HubMessage};
use super::request::HubEvent;
use crate::app::App;

/// How long a client may take to acknowledge an event.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long sending one message may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum size of a message from the client. Clients send only acknowledgements.
const MAX_MESSAGE: usize = 16 * 1024;

/// Opens a socket. If the endpoint does not exist, the hub sends a denial and closes the socket.
///
/// FHIRcast denies in a message, because a browser does not show the status of a failed handshake.
pub(super) async fn open(
    State(app): State<Arc<App>>,
    Path(endpoint): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let endpoint = EndpointDigest::new(&endpoint);
    let hub = Arc::clone(&app.hub);
    upgrade
        .read_buffer_size(4 * 1024)
        .write_buffer_size(0)
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(async move |mut socket| match hub.connect(endpoint) {
            Ok(messages) => {
                let connection = Connection {
                    socket,
                    hub: Arc::clone(&hub),
                    endpoint,
                    messages,
                    unacknowledged: VecDeque::new(),
                };
                connection.serve().await;
                hub.disconnect(endpoint);
            }
            Err(denial) => {
                let _ = deny(&mut socket, &denial).await;
            }
        })
}

struct Connection {
    socket: WebSocket,
    hub: Arc<Hub>,
    endpoint: EndpointDigest,
    messages: Receiver<HubMessage>,
    /// The events that the client has not acknowledged, oldest first, and when each is due.
    unacknowledged: VecDeque<(Instant, Arc<HubEvent>)>,
}

/// The socket is closed or about to be closed.
struct Closed;

impl Connection {
    async fn serve(mut self) {
        while self.step().await.is_ok() {}
    }

    /// Waits for one message or deadline, and handles it.
    async fn step(&mut self) -> Result<(), Closed> {
        let now = Instant::now();
        // Without a lease, the subscription has ended and the queue contains the denial.
        let lease_end = self
            .hub
            .lease_end(self.endpoint)
            .unwrap_or(now + SEND_TIMEOUT);
        let due = self.unacknowledged.front().map(|(due, _)| *due);
        tokio::select! {
            biased;
            message = self.messages.recv() => match message {
                Some(message) => self.send(message).await,
                // The hub disconnected the socket because its queue was full.
                None => close(&mut self.socket, close_code::AGAIN, "too slow").await,
            },
            message = self.socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    self.acknowledge(&text);
                    Ok(())
                }
                Some(Ok(_)) => Ok(()),
                Some(Err(_)) | None => Err(Closed),
            },
            () = sleep_until(lease_end) => {
                // The lease may have been extended in the meantime.
                let lease_end = self.hub.lease_end(self.endpoint);
                if lease_end.is_some_and(|lease_end| lease_end <= Instant::now()) {
                    self.hub.expire(self.endpoint);
                }
                Ok(())
            }
            () = sleep_until(due.unwrap_or(now)), if due.is_some() => {
                if let Some((_, event)) = self.unacknowledged.pop_front() {
                    self.hub.publish_sync_error(self.endpoint, &event, "did not acknowledge");
                }
                Ok(())
            }
        }
    }

    async fn send(&mut self, message: HubMessage) -> Result<(), Closed> {
        match message {
            HubMessage::Confirmation(message) => send(&mut self.socket, &message).await,
            HubMessage::Event(event) => {
                send(&mut self.socket, &event.message).await?;
                let due = Instant::now() + ACKNOWLEDGE_TIMEOUT;
                self.unacknowledged.push_back((due, event));
                Ok(())
            }
            HubMessage::Denial(message) => deny(&mut self.socket, &message).await,
        }
    }

    /// Handles an acknowledgement such as `{"id":"1","status":"200"}`. Ignores other messages.
    fn acknowledge(&mut self, text: &str) {
        let Ok(acknowledgement) = serde_json::from_str::<Value>(text) else {
            return;
        };
        let id = &acknowledgement["id"];
        let mut events = self.unacknowledged.iter();
        let Some(index) = events.position(|(_, event)| *id == *event.id) else {
            return;
        };
        let Some((_, event)) = self.unacknowledged.remove(index) else {
            return;
        };
        let status = &acknowledgement["status"];
        let is_success = [json!("200"), json!("202"), json!(200), json!(202)].contains(status);
        if !is_success {
            self.hub
                .publish_sync_error(self.endpoint, &event, "did not process");
        }
    }
}

async fn deny(socket: &mut WebSocket, message: &Value) -> Result<(), Closed> {
    send(socket, message).await?;
    close(socket, close_code::NORMAL, "denied").await
}

async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) -> Result<(), Closed> {
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };
    let _ = timeout(SEND_TIMEOUT, socket.send(Message::Close(Some(frame)))).await;
    // Wait for the close frame of the client: dropping the connection earlier could discard data
    // that the client has not read yet.
    let closed = async { while let Some(Ok(_)) = socket.recv().await {} };
    let _ = timeout(SEND_TIMEOUT, closed).await;
    Err(Closed)
}

async fn send(socket: &mut WebSocket, message: &Value) -> Result<(), Closed> {
    let sent = timeout(
        SEND_TIMEOUT,
        socket.send(Message::text(message.to_string())),
    )
    .await;
    sent.ok().and_then(Result::ok).ok_or(Closed)
}
