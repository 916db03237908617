//! `Session::guard` around the sockets of other crates: they end as ours do.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

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
use portcullis::Clock;
use portcullis::session::{Frames, Guarded, Sign};
use portcullis::testing::{Accepting, FakeClock};
use portcullis::{AuthLayer, CloseFrame, Identity, Revocation, Session, Sessions};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{self, Message};

use crate::live::end_of;
use crate::site::Over;

const SECOND: Duration = Duration::from_secs(1);

/// What a handler does with its socket.
const HANDLERS: [&str; 2] = ["/echo", "/asleep"];

#[tokio::test(start_paused = true)]
async fn tungstenite() {
    async fn open(session: Session, request: Request) -> Response {
        let asleep = request.uri().path() == "/asleep";
        switch(request, async move |io| {
            let role = protocol::Role::Server;
            let socket = WebSocketStream::from_raw_socket(io, role, None).await;
            let mut socket = session.guard(socket, |frame| close(&frame));
            if asleep {
                std::future::pending::<()>().await;
            }
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() && socket.send(message).await.is_err() {
                    return;
                }
            }
        })
    }
    ends_as_ours(open).await;
}

#[tokio::test(start_paused = true)]
async fn fastwebsockets() {
    async fn open(session: Session, request: Request) -> Response {
        let asleep = request.uri().path() == "/asleep";
        switch(request, async move |io| {
            let close = |frame: CloseFrame| Said::Close(frame.code(), frame.reason().to_owned());
            let mut socket = session.guard(Fast::new(io), close);
            // A second socket of the same session is nothing to the first one, nor is its end.
            let (second, _) = tokio::io::duplex(64);
            drop(socket.session().guard(Fast::new(second), close));
            if asleep {
                std::future::pending::<()>().await;
            }
            while let Some(Said::Text(text)) = socket.next().await {
                if socket.send(Said::Text(text)).await.is_err() {
                    return;
                }
            }
        })
    }
    ends_as_ours(open).await;
}

/// How tungstenite closes.
fn close(frame: &CloseFrame) -> Message {
    Message::Close(Some(protocol::CloseFrame {
        code: frame.code().into(),
        reason: frame.reason().to_owned().into(),
    }))
}

/// A socket that panics, when it is pinged or closed, ends its own session and no other one.
#[tokio::test(start_paused = true)]
async fn panics() {
    type Sockets = Arc<Mutex<Vec<Guarded<Fragile, CloseFrame>>>>;

    let sent = Arc::new(Mutex::new(Vec::new()));
    let sockets = Sockets::default();
    let sessions = Sessions::builder().ping_every(30 * SECOND).build();
    let handler = {
        let (sent, sockets) = (Arc::clone(&sent), Arc::clone(&sockets));
        async move |session: Session, request: Request| {
            let frames = Frames::new(|frame| frame);
            let frames = frames.pings(|_: &mut Fragile| false, |()| Sign::Life);
            let fragile = Fragile {
                sent: Arc::clone(&sent),
                when_read: request.uri().path() == "/read",
                when_closed: request.uri().path() == "/closed",
                looked_at: false,
            };
            sockets
                .lock()
                .unwrap()
                .push(session.guard_with(fragile, frames));
            switching(&request)
        }
    };
    let identity = Identity::builder("alice").build();
    let auth = AuthLayer::new(Accepting::token("t0k", identity)).sessions(&sessions);
    let app = Router::new().fallback(handler).layer(auth);
    for path in ["/read", "/whole", "/closed", "/whole"] {
        let handshake = Over::Http1.client(app.clone()).websocket(path);
        handshake.bearer("t0k").connect().await.unwrap();
    }
    assert_eq!(sessions.len(), 4);
    tokio::time::sleep(31 * SECOND).await;
    assert_eq!(sessions.len(), 3, "one has panicked under its ping");
    sessions.revoke(Revocation::everything()).await.unwrap();
    tokio::time::sleep(4 * SECOND).await;
    assert_eq!(sessions.len(), 0);
    // The first one was told as well, in case it only cannot be read.
    assert_eq!(sent.lock().unwrap().len(), 3);
}

/// A socket of a crate with a mistake.
struct Fragile {
    sent: Arc<Mutex<Vec<CloseFrame>>>,
    when_read: bool,
    when_closed: bool,
    /// The first look is at the handshake's rest.
    looked_at: bool,
}

impl Stream for Fragile {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<()>> {
        let first = !std::mem::replace(&mut self.looked_at, true);
        assert!(first || !self.when_read, "broken");
        Poll::Pending
    }
}

impl Sink<CloseFrame> for Fragile {
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

/// A crate whose pings are known has its clients asked; without, nobody is.
#[tokio::test(start_paused = true)]
async fn pings() {
    async fn told(session: Session, request: Request) -> Response {
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
    async fn untold(session: Session, request: Request) -> Response {
        switch(request, async move |io| {
            let role = protocol::Role::Server;
            let socket = WebSocketStream::from_raw_socket(io, role, None).await;
            let _socket = session.guard(socket, |frame| close(&frame));
            std::future::pending::<()>().await;
        })
    }
    async fn strict(session: Session, request: Request) -> Response {
        switch(request, async move |io| {
            let fast = Fast::new(io);
            let close = |frame: CloseFrame| Said::Close(frame.code(), frame.reason().to_owned());
            let frames = Frames::new(close).pings(Fast::ping, |said| match said {
                Said::Pong => Sign::Life,
                _ => Sign::Message,
            });
            let _socket = session.guard_with(fast, frames);
            std::future::pending::<()>().await;
        })
    }
    let routes = Router::new()
        .route("/told", any(told))
        .route("/untold", any(untold))
        .route("/strict", any(strict));
    let every = Duration::from_secs(10);
    for over in Over::BOTH {
        for (path, reads, expected) in [
            ("/told", true, 1),
            ("/told", false, 0),
            ("/untold", true, 1),
            ("/untold", false, 1),
            ("/strict", true, 1),
            ("/strict", false, 0),
        ] {
            let sessions = Sessions::builder().ping_every(every).build();
            let alice = Accepting::token("t0k", Identity::new("alice"));
            let auth = AuthLayer::new(alice).sessions(&sessions);
            let client = over.client(routes.clone().route_layer(auth));
            let handshake = client.websocket(path).bearer("t0k");
            let mut socket = handshake.connect().await.unwrap();
            let behaves = tokio::spawn(async move {
                match reads {
                    true => while let Some(Ok(_)) = socket.recv().await {},
                    false => std::future::pending().await,
                }
            });
            tokio::time::sleep(every).await;
            assert_eq!(sessions.len(), 1, "{over:?} {path}");
            tokio::time::sleep(5 * every).await;
            assert_eq!(sessions.len(), expected, "{over:?} {path} reads: {reads}");
            // A client that leaves is missed where there are pings.
            behaves.abort();
            tokio::time::sleep(2 * every).await;
            let left = usize::from(path == "/untold");
            assert_eq!(sessions.len(), left, "{over:?} {path} has left");
        }
    }
}

/// Expiry and revocation close with their codes, whatever the handler does.
async fn ends_as_ours<T: 'static>(open: impl Handler<T, ()>) {
    let routes = Router::new()
        .route("/echo", any(open.clone()))
        .route("/asleep", any(open));
    for over in Over::BOTH {
        for handler in HANDLERS {
            for revoked in [false, true] {
                let clock = FakeClock::new();
                let sessions = Sessions::builder().clock(clock.clone()).build();
                let minute = Duration::from_secs(60);
                let alice = Identity::builder("alice")
                    .expires_at(clock.now() + minute)
                    .build();
                let auth = AuthLayer::new(Accepting::token("t0k", alice))
                    .clock(clock.clone())
                    .sessions(&sessions);
                let client = over.client(routes.clone().route_layer(auth));
                let handshake = client.websocket(handler).bearer("t0k");
                let mut socket = handshake.connect().await.unwrap();
                if handler == "/echo" {
                    socket.send("hello").await.unwrap();
                    assert_eq!(socket.text().await, "hello");
                }
                assert_eq!(sessions.len(), 1);
                let expected = match revoked {
                    true => {
                        sessions.revoke(Revocation::subject("alice")).await.unwrap();
                        "3003 credential revoked"
                    }
                    false => {
                        clock.advance(minute);
                        "3000 credential expired"
                    }
                };
                let end = end_of(&mut socket).await;
                assert_eq!(end, expected, "{over:?} {handler}");
                tokio::time::sleep(Duration::from_secs(4)).await;
                assert!(sessions.is_empty());
            }
        }
    }
}

/// Takes the upgrade, and does this with what it becomes.
fn switch<F: Future<Output = ()> + Send + 'static>(
    mut request: Request,
    then: impl FnOnce(TokioIo<Upgraded>) -> F + Send + 'static,
) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move { then(TokioIo::new(upgrade.await.unwrap())).await });
    switching(&request)
}

/// RFC 6455 §4.2.2 for the key of the test client, and RFC 8441 §5.
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

/// The messages that the test needs.
#[derive(Debug)]
enum Said {
    Text(Bytes),
    Ping,
    Pong,
    Close(u16, String),
}

/// fastwebsockets has no `Stream` and no `Sink`, so this makes both of its halves.
struct Fast {
    reader: Pin<Box<dyn Stream<Item = Said> + Send>>,
    writer: Pin<Box<dyn Sink<Said, Error = fastwebsockets::WebSocketError> + Send>>,
}

impl Fast {
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
                OpCode::Pong => Some((Said::Pong, reader)),
                _ => Some((Said::Text(frame.payload.to_vec().into()), reader)),
            }
        });
        let writer = futures_util::sink::unfold(writer, async |mut writer, said| {
            let frame = match said {
                Said::Text(text) => Frame::text(Payload::Owned(text.to_vec())),
                Said::Ping => Frame::new(true, OpCode::Ping, None, Payload::Owned(Vec::new())),
                Said::Pong => Frame::pong(Payload::Owned(Vec::new())),
                Said::Close(code, reason) => Frame::close(code, reason.as_bytes()),
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

    /// Its writer takes one frame after the other. What is before a ping has to be answered first.
    fn ping(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        match self.writer.as_mut().poll_ready(&mut context) {
            Poll::Ready(Ok(())) => self.writer.as_mut().start_send(Said::Ping).is_ok(),
            _ => false,
        }
    }
}

impl Stream for Fast {
    type Item = Said;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Said>> {
        self.reader.as_mut().poll_next(context)
    }
}

impl Sink<Said> for Fast {
    type Error = fastwebsockets::WebSocketError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.writer.as_mut().poll_ready(context)
    }

    fn start_send(mut self: Pin<&mut Self>, said: Said) -> Result<(), Self::Error> {
        self.writer.as_mut().start_send(said)
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
