//! `Session::guard` around sockets of other WebSocket crates.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use fastwebsockets::{FragmentCollectorRead, Frame, OpCode, Payload, Role, WebSocket};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use portcullis::clock::Clock;
use portcullis::session::{Frames, Guarded, Sign};
use portcullis::testing::{Accepting, FakeClock};
use portcullis::{AuthLayer, Identity, Session, Sessions, close::CloseFrame, session::Revocation};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{self, Message};

use crate::support::{HttpVersion, MINUTE, SECOND, wait_for_close};

const HANDLERS: [&str; 2] = ["/echo", "/idle"];

#[tokio::test(start_paused = true)]
async fn tungstenite_sockets_close_on_expiry_and_revocation() {
    async fn open(session: Session, request: Request) -> Response {
        let is_idle = request.uri().path() == "/idle";
        switch(request, async move |io| {
            let role = protocol::Role::Server;
            let socket = WebSocketStream::from_raw_socket(io, role, None).await;
            let mut socket = session.guard(socket, |frame| close(&frame));
            if is_idle {
                std::future::pending::<()>().await;
            }
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() && socket.send(message).await.is_err() {
                    return;
                }
            }
        })
    }
    closes_on_expiry_and_revocation(open).await;
}

#[tokio::test(start_paused = true)]
async fn fastwebsockets_sockets_close_on_expiry_and_revocation() {
    async fn open(session: Session, request: Request) -> Response {
        let is_idle = request.uri().path() == "/idle";
        switch(request, async move |io| {
            let mut socket = session.guard(FastSocket::new(io), |frame| fast_close(&frame));
            // A second socket of the same session does not affect the first one.
            let (second, _) = tokio::io::duplex(64);
            drop(
                socket
                    .session()
                    .guard(FastSocket::new(second), |frame| fast_close(&frame)),
            );
            if is_idle {
                std::future::pending::<()>().await;
            }
            while let Some(FastMessage::Text(text)) = socket.next().await {
                if socket.send(FastMessage::Text(text)).await.is_err() {
                    return;
                }
            }
        })
    }
    closes_on_expiry_and_revocation(open).await;
}

/// The close message of tungstenite.
fn close(frame: &CloseFrame) -> Message {
    Message::Close(Some(protocol::CloseFrame {
        code: frame.code().into(),
        reason: frame.reason().to_owned().into(),
    }))
}

/// A socket that panics when it is pinged or closed.
#[tokio::test(start_paused = true)]
async fn panicking_socket_ends_only_its_own_session() {
    type Sockets = Arc<Mutex<Vec<Guarded<PanickingSocket, CloseFrame>>>>;

    let sent = Arc::new(Mutex::new(Vec::new()));
    let sockets = Sockets::default();
    let sessions = Sessions::builder().ping_every(30 * SECOND).build();
    let handler = {
        let (sent, sockets) = (Arc::clone(&sent), Arc::clone(&sockets));
        async move |session: Session, request: Request| {
            let frames = Frames::new(|frame| frame);
            let frames = frames.pings(|_: &mut PanickingSocket| false, |()| Sign::Life);
            let socket = PanickingSocket {
                sent: Arc::clone(&sent),
                when_read: request.uri().path() == "/read",
                when_closed: request.uri().path() == "/closed",
                has_been_read: false,
            };
            let guarded = session.guard_with(socket, frames);
            sockets.lock().unwrap().push(guarded);
            switching(&request)
        }
    };
    let identity = Identity::builder("alice").build();
    let auth = AuthLayer::new(Accepting::token("t0k", identity)).sessions(&sessions);
    let app = Router::new().fallback(handler).layer(auth);
    for path in ["/read", "/intact", "/closed", "/intact"] {
        let handshake = HttpVersion::Http1.client(app.clone()).websocket(path);
        handshake.bearer("t0k").connect().await.unwrap();
    }
    assert_eq!(sessions.len(), 4);
    tokio::time::sleep(31 * SECOND).await;
    assert_eq!(sessions.len(), 3, "one socket has panicked at its ping");
    sessions.revoke(Revocation::everything()).await.unwrap();
    tokio::time::sleep(4 * SECOND).await;
    assert_eq!(sessions.len(), 0);
    // The socket that panics when it is read was sent a close frame as well.
    assert_eq!(sent.lock().unwrap().len(), 3);
}

struct PanickingSocket {
    sent: Arc<Mutex<Vec<CloseFrame>>>,
    when_read: bool,
    when_closed: bool,
    /// The guard reads once at the start, for messages that arrived with the handshake.
    has_been_read: bool,
}

impl Stream for PanickingSocket {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<()>> {
        let first = !std::mem::replace(&mut self.has_been_read, true);
        assert!(first || !self.when_read, "broken");
        Poll::Pending
    }
}

impl Sink<CloseFrame> for PanickingSocket {
    type Error = std::convert::Infallible;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, frame: CloseFrame) -> Result<(), Self::Error> {
        assert!(!self.when_closed, "broken");
        self.sent.lock().unwrap().push(frame);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }
}

/// The guard detects unresponsive clients only if it can send pings.
#[tokio::test(start_paused = true)]
async fn pings_detect_unresponsive_clients_of_other_crates() {
    async fn with_pings(session: Session, request: Request) -> Response {
        switch(request, async move |io| {
            let role = protocol::Role::Server;
            let socket = WebSocketStream::from_raw_socket(io, role, None).await;
            let frames = Frames::new(|frame| close(&frame)).pings(
                |socket: &mut WebSocketStream<_>| {
                    let ping = Message::Ping(Bytes::new());
                    let _ = socket.start_send_unpin(ping);
                    true
                },
                |read| match read {
                    Ok(Message::Ping(_) | Message::Pong(_)) => Sign::Life,
                    Ok(Message::Close(_)) | Err(_) => Sign::End,
                    Ok(_) => Sign::Message,
                },
            );
            let _socket = session.guard_with(socket, frames);
            std::future::pending::<()>().await;
        })
    }
    async fn without_pings(session: Session, request: Request) -> Response {
        switch(request, async move |io| {
            let role = protocol::Role::Server;
            let socket = WebSocketStream::from_raw_socket(io, role, None).await;
            let _socket = session.guard(socket, |frame| close(&frame));
            std::future::pending::<()>().await;
        })
    }
    async fn fast(session: Session, request: Request) -> Response {
        switch(request, async move |io| {
            let socket = FastSocket::new(io);
            let frames =
                Frames::new(|frame| fast_close(&frame)).pings(FastSocket::ping, |message| {
                    match message {
                        FastMessage::Pong => Sign::Life,
                        _ => Sign::Message,
                    }
                });
            let _socket = session.guard_with(socket, frames);
            std::future::pending::<()>().await;
        })
    }
    let routes = Router::new()
        .route("/pings", any(with_pings))
        .route("/no-pings", any(without_pings))
        .route("/fast", any(fast));
    let interval = 10 * SECOND;
    for version in HttpVersion::ALL {
        for (path, reads, expected) in [
            ("/pings", true, 1),
            ("/pings", false, 0),
            ("/no-pings", true, 1),
            ("/no-pings", false, 1),
            ("/fast", true, 1),
            ("/fast", false, 0),
        ] {
            let sessions = Sessions::builder().ping_every(interval).build();
            let alice = Accepting::token("t0k", Identity::new("alice"));
            let auth = AuthLayer::new(alice).sessions(&sessions);
            let client = version.client(routes.clone().route_layer(auth));
            let handshake = client.websocket(path).bearer("t0k");
            let mut socket = handshake.connect().await.unwrap();
            let reading = tokio::spawn(async move {
                match reads {
                    true => while let Some(Ok(_)) = socket.recv().await {},
                    false => std::future::pending().await,
                }
            });
            tokio::time::sleep(interval).await;
            assert_eq!(sessions.len(), 1, "{version:?} {path}");
            tokio::time::sleep(5 * interval).await;
            assert_eq!(
                sessions.len(),
                expected,
                "{version:?} {path} reads: {reads}"
            );
            // Without pings a disconnect is not noticed.
            reading.abort();
            tokio::time::sleep(2 * interval).await;
            let open = usize::from(path == "/no-pings");
            assert_eq!(sessions.len(), open, "{version:?} {path} disconnected");
        }
    }
}

/// Checks that expiry and revocation close the socket with their codes, whatever the handler does.
async fn closes_on_expiry_and_revocation<T: 'static>(open: impl Handler<T, ()>) {
    let routes = Router::new()
        .route("/echo", any(open.clone()))
        .route("/idle", any(open));
    for version in HttpVersion::ALL {
        for handler in HANDLERS {
            for revoked in [false, true] {
                let clock = FakeClock::new();
                let sessions = Sessions::builder().clock(clock.clone()).build();
                let alice = Identity::builder("alice")
                    .expires_at(clock.now() + MINUTE)
                    .build();
                let auth = AuthLayer::new(Accepting::token("t0k", alice))
                    .clock(clock.clone())
                    .sessions(&sessions);
                let client = version.client(routes.clone().route_layer(auth));
                let handshake = client.websocket(handler).bearer("t0k");
                let mut socket = handshake.connect().await.unwrap();
                if handler == "/echo" {
                    socket.send("hello").await.unwrap();
                    assert_eq!(socket.text().await, "hello");
                }
                assert_eq!(sessions.len(), 1);
                let expected = match revoked {
                    true => {
                        sessions
                            .revoke(Revocation::subject(None, "alice"))
                            .await
                            .unwrap();
                        "3003 credential revoked"
                    }
                    false => {
                        clock.advance(MINUTE);
                        "3000 credential expired"
                    }
                };
                let end = wait_for_close(&mut socket).await;
                assert_eq!(end, expected, "{version:?} {handler}");
                tokio::time::sleep(4 * SECOND).await;
                assert!(sessions.is_empty());
            }
        }
    }
}

/// Responds to the upgrade and runs `then` with the byte stream.
fn switch<F: Future<Output = ()> + Send + 'static>(
    mut request: Request,
    then: impl FnOnce(TokioIo<Upgraded>) -> F + Send + 'static,
) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move { then(TokioIo::new(upgrade.await.unwrap())).await });
    switching(&request)
}

/// The response to the handshake of the test client: RFC 6455 §4.2.2, RFC 8441 §5.
fn switching(request: &Request) -> Response {
    let mut response = Response::default();
    if request.version() < http::Version::HTTP_2 {
        *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, "upgrade".parse().unwrap());
        headers.insert(UPGRADE, "websocket".parse().unwrap());
        let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept.parse().unwrap());
    }
    response
}

/// The messages of a [`FastSocket`].
#[derive(Debug)]
enum FastMessage {
    Text(Bytes),
    Ping,
    Pong,
    Close(u16, String),
}

/// The close message of a [`FastSocket`].
fn fast_close(frame: &CloseFrame) -> FastMessage {
    FastMessage::Close(frame.code(), frame.reason().to_owned())
}

/// A socket of fastwebsockets, which implements neither `Stream` nor `Sink`.
struct FastSocket {
    reader: Pin<Box<dyn Stream<Item = FastMessage> + Send>>,
    writer: Pin<Box<dyn Sink<FastMessage, Error = fastwebsockets::WebSocketError> + Send>>,
}

impl FastSocket {
    fn new<S>(io: S) -> Self
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        let mut socket = WebSocket::after_handshake(io, Role::Server);
        socket.set_auto_close(false);
        let (reader, writer) = socket.split(tokio::io::split);
        let reader = FragmentCollectorRead::new(reader);
        let reader = futures_util::stream::unfold(reader, async |mut reader| {
            let mut nothing = async |_: Frame<'_>| Ok::<_, std::io::Error>(());
            let frame = reader.read_frame(&mut nothing).await.ok()?;
            match frame.opcode {
                OpCode::Close => None,
                OpCode::Pong => Some((FastMessage::Pong, reader)),
                _ => Some((FastMessage::Text(frame.payload.to_vec().into()), reader)),
            }
        });
        let writer = futures_util::sink::unfold(writer, async |mut writer, message| {
            let empty = Payload::Owned(Vec::new());
            let frame = match message {
                FastMessage::Text(text) => Frame::text(Payload::Owned(text.to_vec())),
                FastMessage::Ping => Frame::new(true, OpCode::Ping, None, empty),
                FastMessage::Pong => Frame::pong(empty),
                FastMessage::Close(code, reason) => Frame::close(code, reason.as_bytes()),
            };
            writer.write_frame(frame).await?;
            writer.flush().await?;
            Ok(writer)
        });
        Self {
            reader: Box::pin(reader),
            writer: Box::pin(writer),
        }
    }

    /// Sends a ping unless the writer is still busy with the frame before it.
    fn ping(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let mut writer = self.writer.as_mut();
        match writer.as_mut().poll_ready(&mut context) {
            Poll::Ready(Ok(())) => writer.start_send(FastMessage::Ping).is_ok(),
            _ => false,
        }
    }
}

impl Stream for FastSocket {
    type Item = FastMessage;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<FastMessage>> {
        self.reader.as_mut().poll_next(context)
    }
}

impl Sink<FastMessage> for FastSocket {
    type Error = fastwebsockets::WebSocketError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.writer.as_mut().poll_ready(context)
    }

    fn start_send(mut self: Pin<&mut Self>, message: FastMessage) -> Result<(), Self::Error> {
        self.writer.as_mut().start_send(message)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.writer.as_mut().poll_flush(context)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.writer.as_mut().poll_close(context)
    }
}
