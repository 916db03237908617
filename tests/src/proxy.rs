//! The way to a server, with a test in between that can cut it, hold it up or lose messages.
//!
//! As `redis.rs`, it is a part of the tests of `portcullis-redis`, too, and knows nothing of this
//! crate.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// The way to a Redis server, which a test can cut, hold up or make lose messages.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    mode: watch::Sender<Mode>,
    counts: watch::Receiver<Counts>,
    task: JoinHandle<()>,
}

/// What a [`Proxy`] has seen.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Counts {
    /// How often somebody has connected.
    pub connections: usize,

    /// How many published messages did not come through.
    pub lost_messages: usize,
}

/// What a [`Proxy`] does.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Mode {
    /// Everything comes through.
    Open,

    /// Connections are closed, and so are new ones.
    Cut,

    /// Connections that subscribe are closed, and so are new ones once they do. All else comes
    /// through.
    Unsubscribed,

    /// Nothing comes through a connection, ever again, and yet it stays open.
    Silent,

    /// Each piece of an answer takes so long.
    Slow(Duration),

    /// Published messages do not come through. All else does.
    Deaf,
}

impl Proxy {
    /// Starts one, towards a port of this machine.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
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

    /// The URL of the server by this way.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What it has seen so far.
    pub fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Waits until it has lost a message.
    ///
    /// # Panics
    ///
    /// When none comes by.
    pub async fn has_lost_one(&self) {
        let mut counts = self.counts.clone();
        let lost = counts.wait_for(|counts| counts.lost_messages > 0);
        let lost = timeout(Duration::from_secs(60), lost).await;
        lost.expect("a message comes by").expect("it runs");
    }

    /// Does something else from now on.
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
        // What is about to be cut off does not come through before.
        biased;
        () = cut_off(mode.clone(), is_subscribed) => {}
        () = ask(client_read, server_write, mode.clone(), subscribed) => {}
        () = answer(server_read, client_write, mode, &count) => {}
    }
}

/// Ends when the connection is to be closed.
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
        // The proxy is gone.
        if changed.is_err() {
            return;
        }
    }
}

async fn ask(
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

async fn answer(
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

/// Takes out each `>3 message channel payload`, and counts them. Redis writes one in one piece.
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
