//! The WebSocket: clients bind subscriptions, and receive their notifications.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::{Message, close_code};
use axum::response::Response;
use http::StatusCode;
use portcullis::close::CloseFrame;
use portcullis::{GuardedSocket, GuardedUpgrade};
use serde_json::Value;

use crate::app::App;
use crate::fhir::to_json;
use crate::outcome::OperationOutcome;
use crate::store::Feed;

/// Opens a socket. The handler runs after the client has bound a valid token.
pub(crate) async fn open(State(app): State<Arc<App>>, upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async move |socket| Connection { socket, app }.serve().await)
}

struct Connection {
    socket: GuardedSocket,
    app: Arc<App>,
}

/// The socket is closed or about to be closed.
struct Closed;

impl Connection {
    async fn serve(mut self) {
        let mut feed = self.app.store.add_socket();
        while self.step(&mut feed).await.is_ok() {}
    }

    /// Sends one notification or handles one message.
    async fn step(&mut self, feed: &mut Feed) -> Result<(), Closed> {
        tokio::select! {
            notification = feed.next() => match notification {
                Some(notification) => {
                    self.send(feed, &notification.bundle(&self.app.base())).await
                }
                None => self.close_slow_client(),
            },
            message = self.socket.recv() => match message {
                Some(Ok(Message::Text(text))) => self.handle(feed, &text).await,
                // The session answers pings, and the protocol has no binary messages.
                Some(Ok(_)) => Ok(()),
                Some(Err(_)) | None => Err(Closed),
            },
        }
    }

    /// Handles `bind-with-token`, the only message of this protocol.
    ///
    /// The dialect has verified the token and replaced it with the id of the token.
    async fn handle(&mut self, feed: &mut Feed, text: &str) -> Result<(), Closed> {
        let Some(token_id) = text.strip_prefix("bind-with-token ") else {
            let outcome = OperationOutcome::unsupported("Send bind-with-token and a token.");
            return self.send(feed, &outcome.resource()).await;
        };
        let bound = self.app.tokens.find(token_id).map_or(0, |binding| {
            feed.bind(&binding.subject, &binding.subscriptions, binding.expires_at)
        });
        if bound == 0 {
            let text = "The subscriptions of this token no longer exist.";
            let outcome = OperationOutcome::new(StatusCode::GONE, "deleted", text);
            return self.send(feed, &outcome.resource()).await;
        }
        Ok(())
    }

    /// Sends a resource, or closes the socket if the queue overflows in the meantime.
    async fn send(&mut self, feed: &mut Feed, resource: &Value) -> Result<(), Closed> {
        tokio::select! {
            sent = self.socket.send(Message::text(to_json(resource))) => sent.map_err(|_| Closed),
            () = feed.overflow() => self.close_slow_client(),
        }
    }

    /// Closes the socket of a client that reads too slowly. `$events` returns the events that the
    /// client missed.
    fn close_slow_client(&self) -> Result<(), Closed> {
        let frame = CloseFrame::new(close_code::AGAIN, "too slow: catch up with $events");
        self.socket.session().close(frame);
        Err(Closed)
    }
}
