//! A connection that can be lost without notice.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::client::upgrade;
use super::{HttpVersion, TestServer, settle};

pub(crate) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Opens a socket over a network that can be cut.
pub(crate) async fn connect(
    server: &TestServer,
    version: HttpVersion,
    path: &str,
) -> (Socket, Network) {
    let client = server.client(version);
    let network = Network::default();
    let link = Link {
        pipe: client.pipe(),
        network: network.clone(),
    };
    let request = client.websocket(path).bearer("t0k").into_request();
    let io = upgrade(link, request).await;
    let socket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    settle().await;
    (socket, network)
}

/// The network between a client and its server.
#[derive(Clone, Default)]
pub(crate) struct Network(Arc<AtomicBool>);

impl Network {
    /// Loses every packet from now on. Neither side is notified.
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
