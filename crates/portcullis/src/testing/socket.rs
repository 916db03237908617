use std::fmt;

use futures_util::{SinkExt, StreamExt};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Message, SocketError, TestResponse};
use crate::close::CloseFrame;

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
            .unwrap_or_else(|error| panic!("the connection was not upgraded: {error:?}"));
        let (parts, _) = response.into_parts();
        Ok(Self {
            stream: WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None)
                .await,
            response: TestResponse::without_body(parts),
        })
    }

    /// Returns the subprotocol that the server selected.
    pub fn protocol(&self) -> Option<&str> {
        self.response.header("sec-websocket-protocol")
    }

    /// Returns the response that opened the socket.
    pub fn response(&self) -> &TestResponse {
        &self.response
    }

    /// Receives the next message; `None` once the socket is closed.
    ///
    /// Receiving also answers pings and close frames.
    pub async fn recv(&mut self) -> Option<Result<Message, SocketError>> {
        loop {
            match self.stream.next().await?.map(Message::received) {
                Ok(Some(message)) => return Some(Ok(message)),
                Ok(None) => {}
                Err(error) => return Some(Err(SocketError(error))),
            }
        }
    }

    /// Receives the next message, and returns its text.
    ///
    /// # Panics
    ///
    /// Panics if the next message is not a text, or if the socket is closed.
    pub async fn text(&mut self) -> String {
        match self.recv().await {
            Some(Ok(Message::Text(text))) => text,
            other => panic!("expected a text message, received {other:?}"),
        }
    }

    /// Sends a message: a [`Message`], a text, or bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if the socket is closed.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), SocketError> {
        let message = message.into().into_sent();
        self.stream.send(message).await.map_err(SocketError)
    }

    /// Receives until the server closes the socket, and returns its close frame.
    ///
    /// Returns `None` if the frame is empty, or if the connection ends without one.
    pub async fn close_frame(&mut self) -> Option<CloseFrame> {
        let mut close = None;
        while let Some(Ok(message)) = self.recv().await {
            if let Message::Close(Some(frame)) = message {
                close = Some(frame);
            }
        }
        close
    }

    /// Receives until the server closes the socket, and returns its close code.
    ///
    /// Returns `None` if the frame is empty, or if the connection ends without one.
    pub async fn close_code(&mut self) -> Option<u16> {
        let frame = self.close_frame().await?;
        Some(frame.code())
    }

    /// Closes the socket, and waits until the server has closed it, too.
    pub async fn close(mut self) {
        // The socket may be closed already.
        let _ = self.stream.close(None).await;
        self.close_frame().await;
    }
}

impl fmt::Debug for TestSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestSocket")
            .field("response", &self.response)
            .finish_non_exhaustive()
    }
}
