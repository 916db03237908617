//! Thousands of clients that record how their sockets end.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::{self, CLOSE, Target};

/// The reaction of a client to a close frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum OnClose {
    /// Responds with a close frame (RFC 6455 §5.5.1).
    Respond,

    /// Keeps the connection open.
    Ignore,
}

/// Clients with open sockets.
#[derive(Debug)]
pub(super) struct Clients {
    on_close: OnClose,
    tasks: JoinSet<End>,
}

/// The end of a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// The arrival of the close frame, and its code.
    pub(super) close_frame: Option<(Instant, u16)>,
    /// The end of the connection.
    pub(super) disconnected: Instant,
}

impl Clients {
    pub(super) fn new(on_close: OnClose) -> Self {
        Self {
            on_close,
            tasks: JoinSet::new(),
        }
    }

    /// Returns the number of open sockets.
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Opens a socket for each target.
    pub(super) async fn open(
        &mut self,
        targets: impl IntoIterator<Item = &Target>,
    ) -> Result<(), Box<dyn Error>> {
        let mut opening = stream::iter(targets)
            .map(client::open)
            .buffer_unordered(AT_ONCE);
        while let Some(stream) = opening.try_next().await? {
            self.tasks.spawn(watch(stream, self.on_close));
        }
        Ok(())
    }

    /// Waits for the end of `count` sockets, and returns those that ended within `limit`.
    pub(super) async fn ends(&mut self, count: usize, limit: Duration) -> io::Result<Vec<End>> {
        let mut ends = Vec::with_capacity(count);
        let all = async {
            while ends.len() < count {
                match self.tasks.join_next().await {
                    Some(end) => ends.push(end.map_err(io::Error::other)?),
                    None => break,
                }
            }
            Ok(())
        };
        match tokio::time::timeout(limit, all).await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => Ok(ends),
        }
    }
}

/// The number of concurrent handshakes.
const AT_ONCE: usize = 64;

/// Reads until the connection ends. The server sends only a close frame, since it received nothing.
async fn watch(mut stream: TcpStream, on_close: OnClose) -> End {
    let mut close_frame = None;
    let mut buffer = [0; 16];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if close_frame.is_none() && read >= 4 && buffer[0] == CLOSE_FRAME {
            let code = u16::from_be_bytes([buffer[2], buffer[3]]);
            close_frame = Some((Instant::now(), code));
            if on_close == OnClose::Respond && stream.write_all(CLOSE).await.is_err() {
                break;
            }
        }
    }
    End {
        close_frame,
        disconnected: Instant::now(),
    }
}

/// The first byte of a close frame.
const CLOSE_FRAME: u8 = 0x88;
