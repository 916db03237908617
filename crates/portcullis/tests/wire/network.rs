//! A connection that can be lost without a word.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::live::{Live, settle};
use crate::site::Over;

pub(crate) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Opens a socket over a network that can be cut.
pub(crate) async fn connect(live: &Live, over: Over, path: &str) -> (Socket, Network) {
    let client = live.client(over);
    let request = client.websocket(path).bearer("t0k").into_request();
    let is_connect = request.method() == Method::CONNECT;
    let network = Network::default();
    let io = TokioIo::new(Link {
        pipe: client.pipe(),
        network: network.clone(),
    });
    let request: Request<Full<Bytes>> = request.map(Full::new);
    let mut response = match over {
        Over::Http1 => {
            let (mut sender, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection.with_upgrades());
            sender.send_request(request).await.unwrap()
        }
        Over::Http2 => {
            let executor = TokioExecutor::new();
            let (mut sender, connection) = http2::handshake(executor, io).await.unwrap();
            while !connection.is_extended_connect_protocol_enabled() {
                tokio::task::yield_now().await;
            }
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap()
        }
    };
    let opens = if is_connect { 200 } else { 101 };
    assert_eq!(response.status(), opens, "{path}");
    let upgraded = hyper::upgrade::on(&mut response).await.unwrap();
    let io = TokioIo::new(upgraded);
    let socket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    settle().await;
    (socket, network)
}

/// What is between a client and its server.
#[derive(Clone, Default)]
pub(crate) struct Network(Arc<AtomicBool>);

impl Network {
    /// From now on every packet is lost, and nobody is told.
    pub(crate) fn cut(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_cut(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// The client's end of a connection.
struct Link {
    pipe: DuplexStream,
    network: Network,
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.network.is_cut() {
            true => Poll::Pending,
            false => Pin::new(&mut self.pipe).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match self.network.is_cut() {
            true => Poll::Ready(Ok(bytes.len())),
            false => Pin::new(&mut self.pipe).poll_write(context, bytes),
        }
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.network.is_cut() {
            true => Poll::Pending,
            false => Pin::new(&mut self.pipe).poll_shutdown(context),
        }
    }
}
