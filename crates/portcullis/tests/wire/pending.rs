//! Sockets whose client has yet to say who it is, when the server ends.

use std::time::Duration;

use axum::Router;
use axum::routing::any;
use bytes::Bytes;
use portcullis::dialect::FirstMessage;
use portcullis::testing::{Accepting, Message};
use portcullis::{AuthLayer, GuardedUpgrade, Identity, Sessions};

use crate::site::Over;

#[tokio::test]
async fn a_shutdown_tells_those_whom_nobody_knows() {
    for over in Over::BOTH {
        // What was shut down stays so.
        let sessions = Sessions::default();
        let auth = AuthLayer::new(Accepting::token("t0k", Identity::new("alice")))
            .sessions(&sessions)
            .dialect(FirstMessage::token());
        let open = async |upgrade: GuardedUpgrade| upgrade.on_upgrade(async |_| {});
        let app = Router::new().route("/ws", any(open)).route_layer(auth);
        let client = over.client(app);
        let mut socket = client.websocket("/ws").connect().await.unwrap();
        // A frame of ours is the proof that the server has begun to listen.
        socket.send(Message::Ping(Bytes::new())).await.unwrap();
        socket.recv().await.unwrap().unwrap();

        let (left, code) = tokio::join!(
            sessions.shutdown(Duration::from_secs(30)),
            socket.close_code()
        );
        assert_eq!((left, code), (0, Some(1001)));
    }
}
