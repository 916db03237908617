//! A protocol with credentials in its messages: `AUTH <token>`, first and to renew.
//!
//! ```sh
//! cargo run -p portcullis --example your_own_dialect
//! ```
//!
//! Lines that start with `>` are sent by a WebSocket client:
//!
//! ```text
//! > AUTH wrong
//! < ERR invalid credential
//! > AUTH s3cret
//! < OK 86400
//! > hello
//! < alice: hello
//! ```

use std::error::Error;

use axum::Router;
use axum::extract::ws::Message;
use axum::response::Response;
use axum::routing::any;
use portcullis::carrier::{Carrier, Scheme};
use portcullis::dialect::{
    Accepted, AuthAction, Conversation, Denied, Dialect, Incoming, MessageAction, Reaction,
};
use portcullis::{AuthLayer, Credential, GuardedUpgrade, StaticTokens};

/// How this protocol carries credentials.
#[derive(Debug)]
struct Lines;

impl Dialect for Lines {
    fn begin(&self, _admitted: bool) -> Box<dyn Conversation> {
        Box::new(Line)
    }
}

/// The conversation with one client. This one needs no state.
struct Line;

impl Conversation for Line {
    fn on_message(&mut self, message: Incoming<'_>) -> Reaction<MessageAction> {
        let Incoming::Text(text) = message else {
            return MessageAction::Forward.into();
        };
        match text.strip_prefix("AUTH ") {
            Some(token) => {
                let credential = Credential::new(Carrier::Message, Scheme::Bearer, token);
                MessageAction::Verify(credential).into()
            }
            // A message for the application. Before `AUTH`, it closes the socket.
            None => MessageAction::Forward.into(),
        }
    }

    fn on_verified(&mut self, outcome: Result<&Accepted, &Denied>) -> Reaction<AuthAction> {
        match outcome {
            Ok(accepted) => {
                let reply = format!("OK {}", accepted.expires_in.as_secs());
                Reaction::from(AuthAction::Continue).reply(reply)
            }
            Err(denied) => {
                let reply = format!("ERR {}", denied.verify_error());
                Reaction::from(AuthAction::Retry).reply(reply)
            }
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);

    let tokens = StaticTokens::new([("alice", "s3cret")])?;
    let app = Router::new()
        .route("/ws", any(ws))
        .route_layer(AuthLayer::new(tokens).dialect(Lines));
    axum::serve(listener, app).await?;
    Ok(())
}

async fn ws(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        while let Some(Ok(message)) = socket.recv().await {
            if let Message::Text(text) = message {
                let line = format!("{}: {text}", socket.identity().subject());
                let _ = socket.send(line.into()).await;
            }
        }
    })
}
