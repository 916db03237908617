//! A guarded socket knows when it has ended, for `select!` and `StreamExt::select_next_some`.

use std::time::Duration;

use axum::Router;
use axum::extract::ws::Message;
use axum::response::Response;
use axum::routing::any;
use futures_util::StreamExt;
use futures_util::stream::FusedStream;
use portcullis::dialect::FirstMessage;
use portcullis::testing::Accepting;
use portcullis::{AuthLayer, GuardedUpgrade, Identity, Revocation, Sessions};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::site::Over;
use crate::table::Table;

/// How a socket ends.
const ENDS: [&str; 3] = ["client", "revoked", "dropped"];

#[tokio::test(start_paused = true)]
async fn terminates_with_its_session() {
    let mut table = Table::new();
    for over in Over::BOTH {
        for first_message in [false, true] {
            for end in ENDS {
                let told = messages_until(over, first_message, end).await;
                table.row((over, first_message, end), "0 1 2 terminated", told);
            }
        }
    }
    table.finish();
}

/// What a handler counts that looks before each message whether there can be one.
async fn messages_until(over: Over, first_message: bool, end: &str) -> String {
    let sessions = Sessions::builder().build();
    let auth = AuthLayer::new(Accepting::token("t0k", Identity::new("alice"))).sessions(&sessions);
    let auth = match first_message {
        true => auth.dialect(FirstMessage::token()),
        false => auth,
    };
    let (teller, mut told) = unbounded_channel();
    let handler = move |upgrade| count(upgrade, teller);
    let app = Router::new().route("/ws", any(handler)).route_layer(auth);
    let handshake = over.client(app).websocket("/ws");
    let mut socket = match first_message {
        true => {
            let mut socket = handshake.connect().await.unwrap();
            socket.send("t0k").await.unwrap();
            socket
        }
        false => handshake.bearer("t0k").connect().await.unwrap(),
    };
    let mut story = vec![told.recv().await.unwrap()];
    for message in ["one", "two"] {
        socket.send(message).await.unwrap();
        story.push(told.recv().await.unwrap());
    }
    match end {
        "client" => socket.close().await,
        "revoked" => {
            sessions.revoke(Revocation::everything()).await.unwrap();
        }
        _ => drop(socket),
    }
    let last = tokio::time::timeout(Duration::from_secs(1), told.recv()).await;
    story.push(last.unwrap().unwrap());
    story.join(" ")
}

async fn count(upgrade: GuardedUpgrade, teller: UnboundedSender<String>) -> Response {
    upgrade.on_upgrade(async move |mut socket| {
        let mut texts = 0;
        while !socket.is_terminated() {
            teller.send(texts.to_string()).unwrap();
            loop {
                match socket.next().await {
                    Some(Ok(Message::Text(_))) => break texts += 1,
                    Some(_) => {}
                    None => break,
                }
            }
        }
        teller.send("terminated".to_owned()).unwrap();
    })
}
