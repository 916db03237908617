//! Thousands of clients, and when each of them heard of its end.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::{self, CLOSE, Target};

/// What a client does about a close frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Manners {
    /// It answers, as RFC 6455 §5.5.1 wants it.
    Answers,

    /// It does nothing, and keeps its connection.
    Ignores,
}

/// Clients whose handshake is done.
#[derive(Debug)]
pub(super) struct Crowd {
    manners: Manners,
    clients: JoinSet<End>,
}

/// How a client's socket ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// When the close frame came, and its code.
    pub(super) told: Option<(Instant, u16)>,
    /// When the connection was gone.
    pub(super) gone: Instant,
}

impl Crowd {
    pub(super) fn new(manners: Manners) -> Self {
        Self {
            manners,
            clients: JoinSet::new(),
        }
    }

    /// So many are open.
    pub(super) fn len(&self) -> usize {
        self.clients.len()
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
            self.clients.spawn(watch(stream, self.manners));
        }
        Ok(())
    }

    /// Waits for the ends of `count` clients, for a limited time; those that were there by then.
    pub(super) async fn ends(&mut self, count: usize, limit: Duration) -> io::Result<Vec<End>> {
        let mut ends = Vec::with_capacity(count);
        let all = async {
            while ends.len() < count {
                match self.clients.join_next().await {
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

/// So many handshakes are under way at a time.
const AT_ONCE: usize = 64;

/// Reads until the connection is gone. Nothing comes but a close frame, since nothing was said.
async fn watch(mut stream: TcpStream, manners: Manners) -> End {
    let mut told = None;
    let mut buffer = [0; 16];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if told.is_none() && read >= 4 && buffer[0] == CLOSE_FRAME {
            told = Some((Instant::now(), u16::from_be_bytes([buffer[2], buffer[3]])));
            if manners == Manners::Answers && stream.write_all(CLOSE).await.is_err() {
                break;
            }
        }
    }
    End {
        told,
        gone: Instant::now(),
    }
}

/// A whole message, and a Close frame.
const CLOSE_FRAME: u8 = 0x88;
