use std::fmt;

use futures_util::{SinkExt, StreamExt};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Message, SocketError, TestResponse};

/// The client's end of an open WebSocket.
///
/// ```
/// # use portcullis::{AuthLayer, GuardedUpgrade, Identity};
/// # use portcullis::testing::{Accepting, TestClient};
/// # use axum::{Router, routing::any};
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let ws = async |upgrade: GuardedUpgrade| upgrade.on_upgrade(async |mut socket| {
/// #     while let Some(Ok(message)) = socket.recv().await {
/// #         if socket.send(message).await.is_err() { return }
/// #     }
/// # });
/// # let auth = AuthLayer::new(Accepting::token("t0k", Identity::new("alice")));
/// # let client = TestClient::new(Router::new().route("/echo", any(ws)).route_layer(auth));
/// let mut socket = client.websocket("/echo").bearer("t0k").connect().await.unwrap();
/// socket.send("hello").await.unwrap();
/// assert_eq!(socket.text().await, "hello");
/// # }
/// ```
pub struct TestSocket {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    response: TestResponse,
}

impl TestSocket {
    pub(super) async fn open(
        mut response: Response<Incoming>,
        is_connect: bool,
    ) -> Result<Self, TestResponse> {
        let opens = match is_connect {
            true => response.status().is_success(),
            false => response.status() == StatusCode::SWITCHING_PROTOCOLS,
        };
        if !opens {
            return Err(TestResponse::read(response).await);
        }
        let upgraded = hyper::upgrade::on(&mut response)
            .await
            .unwrap_or_else(|error| panic!("the connection was not handed over: {error:?}"));
        let (parts, _) = response.into_parts();
        Ok(Self {
            stream: WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None)
                .await,
            response: TestResponse::without_body(parts),
        })
    }

    /// The subprotocol that the server selected.
    pub fn protocol(&self) -> Option<&str> {
        self.response.header("sec-websocket-protocol")
    }

    /// The response that opened it.
    pub fn response(&self) -> &TestResponse {
        &self.response
    }

    /// The next message; `None` once the socket is closed.
    pub async fn recv(&mut self) -> Option<Result<Message, SocketError>> {
        self.stream.next().await
    }

    /// The text of the next message.
    ///
    /// # Panics
    ///
    /// If the next message is not a text, or there is none.
    pub async fn text(&mut self) -> String {
        match self.recv().await {
            Some(Ok(Message::Text(text))) => text.as_str().to_owned(),
            other => panic!("expected a text, got {other:?}"),
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// If the socket is closed.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), SocketError> {
        self.stream.send(message.into()).await
    }

    /// Reads until the server closes the socket, and tells with which code. `None` if it said
    /// none, or went without a word.
    pub async fn close_code(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(Ok(message)) = self.recv().await {
            if let Message::Close(Some(frame)) = message {
                code = Some(frame.code.into());
            }
        }
        code
    }

    /// Closes it and waits for the server to agree.
    pub async fn close(mut self) {
        // It may be closed already.
        let _ = self.stream.close(None).await;
        self.close_code().await;
    }
}

impl fmt::Debug for TestSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestSocket")
            .field("response", &self.response)
            .finish_non_exhaustive()
    }
}
