//! The WebSocket: bindings come in, notifications go out.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::{Message, close_code};
use axum::response::Response;
use http::StatusCode;
use portcullis::{CloseFrame, GuardedSocket, GuardedUpgrade};
use serde_json::Value;

use crate::app::App;
use crate::fhir::text;
use crate::outcome::Outcome;
use crate::store::Feed;

/// Opens the socket of somebody who has bound with a good token.
pub(crate) async fn open(State(app): State<Arc<App>>, upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async move |socket| Line { socket, app }.serve().await)
}

struct Line {
    socket: GuardedSocket,
    app: Arc<App>,
}

/// The socket is closed, or must be.
struct Over;

impl Line {
    async fn serve(mut self) {
        let mut feed = self.app.store.feed();
        while self.step(&mut feed).await.is_ok() {}
    }

    async fn step(&mut self, feed: &mut Feed) -> Result<(), Over> {
        tokio::select! {
            notice = feed.next() => match notice {
                Some(notice) => self.say(feed, &notice.bundle(&self.app.base())).await,
                None => self.part(),
            },
            message = self.socket.recv() => match message {
                Some(Ok(Message::Text(text))) => self.hear(feed, &text).await,
                // Pings are answered below us, and there is nothing binary in this dialect.
                Some(Ok(_)) => Ok(()),
                Some(Err(_)) | None => Err(Over),
            },
        }
    }

    /// Does what the client says. The one thing it can say is `bind-with-token`; what comes here has
    /// been verified, and bears the token's name in the place of the token.
    async fn hear(&mut self, feed: &mut Feed, text: &str) -> Result<(), Over> {
        let Some(token_id) = text.strip_prefix("bind-with-token ") else {
            let outcome = Outcome::unsupported("Say bind-with-token and a token.");
            return self.say(feed, &outcome.resource()).await;
        };
        let bound = self.app.tokens.grant(token_id).map_or(0, |grant| {
            feed.bind(&grant.subject, &grant.subscriptions, grant.expires_at)
        });
        if bound == 0 {
            let text = "The subscriptions of this token are gone.";
            let outcome = Outcome::new(StatusCode::GONE, "deleted", text);
            return self.say(feed, &outcome.resource()).await;
        }
        Ok(())
    }

    /// Sends a resource, unless so much waits behind it that something was dropped.
    async fn say(&mut self, feed: &mut Feed, resource: &Value) -> Result<(), Over> {
        tokio::select! {
            sent = self.socket.send(Message::text(text(resource))) => sent.map_err(|_| Over),
            () = feed.lost() => self.part(),
        }
    }

    /// Parts from a client that reads too slowly, whether it reads the goodbye or not. `$events` has
    /// what it misses.
    fn part(&self) -> Result<(), Over> {
        let goodbye = CloseFrame::new(close_code::AGAIN, "too slow: ask for $events");
        self.socket.session().close(goodbye);
        Err(Over)
    }
}
