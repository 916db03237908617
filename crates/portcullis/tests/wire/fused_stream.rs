//! `GuardedSocket` as a `FusedStream`, for `select!` and `StreamExt::select_next_some`.

use axum::Router;
use axum::extract::ws::Message;
use axum::response::Response;
use axum::routing::any;
use futures_util::StreamExt;
use futures_util::stream::FusedStream;
use portcullis::dialect::FirstMessage;
use portcullis::testing::Accepting;
use portcullis::{AuthLayer, GuardedUpgrade, Identity, Sessions, session::Revocation};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::support::{HttpVersion, SECOND, Table};

/// How the socket ends.
const ENDS: [&str; 3] = ["client", "revoked", "dropped"];

#[tokio::test(start_paused = true)]
async fn stream_terminates_with_its_session() {
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        for first_message in [false, true] {
            for end in ENDS {
                let row = (version, first_message, end);
                let reported = reports_until(version, first_message, end).await;
                table.row(row, "0 1 2 terminated", reported);
            }
        }
    }
    table.finish();
}

/// Everything that [`count`] reports until the socket has ended.
async fn reports_until(version: HttpVersion, first_message: bool, end: &str) -> String {
    let sessions = Sessions::builder().build();
    let auth = AuthLayer::new(Accepting::token("t0k", Identity::new("alice"))).sessions(&sessions);
    let auth = match first_message {
        true => auth.dialect(FirstMessage::token()),
        false => auth,
    };
    let (sender, mut reports) = unbounded_channel();
    let handler = move |upgrade| count(upgrade, sender);
    let app = Router::new().route("/ws", any(handler)).route_layer(auth);
    let handshake = version.client(app).websocket("/ws");
    let mut socket = match first_message {
        true => {
            let mut socket = handshake.connect().await.unwrap();
            socket.send("t0k").await.unwrap();
            socket
        }
        false => handshake.bearer("t0k").connect().await.unwrap(),
    };
    let mut reported = vec![reports.recv().await.unwrap()];
    for message in ["one", "two"] {
        socket.send(message).await.unwrap();
        reported.push(reports.recv().await.unwrap());
    }
    match end {
        "client" => socket.close().await,
        "revoked" => {
            sessions.revoke(Revocation::everything()).await.unwrap();
        }
        _ => drop(socket),
    }
    let last = tokio::time::timeout(SECOND, reports.recv()).await;
    reported.push(last.unwrap().unwrap());
    reported.join(" ")
}

/// Reports the number of messages before each read, and the end of the stream.
async fn count(upgrade: GuardedUpgrade, reports: UnboundedSender<String>) -> Response {
    upgrade.on_upgrade(async move |mut socket| {
        let mut texts = 0;
        while !socket.is_terminated() {
            reports.send(texts.to_string()).unwrap();
            loop {
                match socket.next().await {
                    Some(Ok(Message::Text(_))) => break texts += 1,
                    Some(_) => {}
                    None => break,
                }
            }
        }
        reports.send("terminated".to_owned()).unwrap();
    })
}
