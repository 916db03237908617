//! A TCP proxy in front of a Redis server. A test can make it close connections, delay responses or
//! drop messages.
//!
//! Like `redis.rs`, this file is also a module of the tests of `portcullis-redis`, and imports nothing
//! of this crate.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// A proxy in front of a Redis server.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    mode: watch::Sender<Mode>,
    counts: watch::Receiver<Counts>,
    task: JoinHandle<()>,
}

/// The counters of a [`Proxy`].
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Counts {
    /// The number of accepted connections.
    pub connections: usize,

    /// The number of published messages that the proxy dropped.
    pub lost_messages: usize,
}

/// The behavior of a [`Proxy`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Mode {
    /// Forwards everything.
    Open,

    /// Closes all connections, and each new one.
    Cut,

    /// Closes each connection that subscribes, and forwards the others.
    Unsubscribed,

    /// Keeps connections open and forwards nothing, even after a later change of mode.
    Silent,

    /// Delays each piece of a response.
    Slow(Duration),

    /// Drops published messages, and forwards everything else.
    Deaf,
}

impl Proxy {
    /// Starts a proxy in front of a port of this machine.
    ///
    /// # Panics
    ///
    /// Panics outside a Tokio runtime.
    pub async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (mode, watched) = watch::channel(Mode::Open);
        let (count, counts) = watch::channel(Counts::default());
        let count = Arc::new(count);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.send_modify(|counts| counts.connections += 1);
                if *watched.borrow() != Mode::Cut {
                    let count = Arc::clone(&count);
                    tokio::spawn(connect(client, server, watched.clone(), count));
                }
            }
        });
        Self {
            port,
            mode,
            counts,
            task,
        }
    }

    /// Returns the URL of the server through the proxy.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Returns the current counters.
    pub fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Waits until the proxy has dropped a message.
    ///
    /// # Panics
    ///
    /// Panics if no message arrives.
    pub async fn has_lost_one(&self) {
        let mut counts = self.counts.clone();
        let lost = counts.wait_for(|counts| counts.lost_messages > 0);
        let lost = timeout(Duration::from_secs(60), lost).await;
        lost.expect("a message arrives").expect("the proxy runs");
    }

    /// Changes the behavior.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connect(
    client: TcpStream,
    server: u16,
    mode: watch::Receiver<Mode>,
    count: Arc<watch::Sender<Counts>>,
) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
        return;
    };
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let (subscribed, is_subscribed) = watch::channel(false);
    tokio::select! {
        // A connection that is to be closed forwards nothing more.
        biased;
        () = cut_off(mode.clone(), is_subscribed) => {}
        () = forward_requests(client_read, server_write, mode.clone(), subscribed) => {}
        () = forward_responses(server_read, client_write, mode, &count) => {}
    }
}

/// Waits until the connection is to be closed.
async fn cut_off(mut mode: watch::Receiver<Mode>, mut subscribed: watch::Receiver<bool>) {
    loop {
        match *mode.borrow_and_update() {
            Mode::Cut => return,
            Mode::Unsubscribed if *subscribed.borrow_and_update() => return,
            _ => {}
        }
        let changed = tokio::select! {
            changed = mode.changed() => changed,
            changed = subscribed.changed() => changed,
        };
        // The proxy was dropped.
        if changed.is_err() {
            return;
        }
    }
}

async fn forward_requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mode: watch::Receiver<Mode>,
    subscribed: watch::Sender<bool>,
) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let piece = &piece[..length];
        if find(piece, b"\r\nSUBSCRIBE\r\n").is_some() {
            subscribed.send_replace(true);
        }
        let current = *mode.borrow();
        match current {
            Mode::Silent => std::future::pending().await,
            Mode::Unsubscribed if *subscribed.borrow() => return,
            _ => {}
        }
        if to.write_all(piece).await.is_err() {
            return;
        }
    }
}

async fn forward_responses(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mode: watch::Receiver<Mode>,
    count: &watch::Sender<Counts>,
) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let mut piece = piece[..length].to_vec();
        let current = *mode.borrow();
        match current {
            Mode::Slow(time) => sleep(time).await,
            Mode::Silent => std::future::pending().await,
            Mode::Deaf => {
                let lost = drop_messages(&mut piece);
                count.send_modify(|counts| counts.lost_messages += lost);
            }
            _ => {}
        }
        if to.write_all(&piece).await.is_err() {
            return;
        }
    }
}

/// Removes each `>3 message channel payload` and returns their number. Redis writes a message in one
/// piece.
fn drop_messages(piece: &mut Vec<u8>) -> usize {
    const MESSAGE: &[u8] = b">3\r\n$7\r\nmessage\r\n";
    let mut dropped = 0;
    while let Some(start) = find(piece, MESSAGE) {
        let mut end = start + MESSAGE.len();
        for _ in ["channel", "payload"] {
            let line = find(&piece[end..], b"\r\n").expect("a whole message");
            let length = std::str::from_utf8(&piece[end + 1..end + line]).expect("a number");
            let length: usize = length.parse().expect("a number");
            end += line + 2 + length + 2;
        }
        piece.drain(start..end);
        dropped += 1;
    }
    dropped
}

fn find(piece: &[u8], what: &[u8]) -> Option<usize> {
    piece.windows(what.len()).position(|window| window == what)
}
