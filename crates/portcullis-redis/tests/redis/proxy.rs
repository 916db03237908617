use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// The way to a server, which a test can cut, hold up or make lose messages.
pub(crate) struct Proxy {
    port: u16,
    mode: watch::Sender<Mode>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    Open,
    /// Connections are closed, and so are new ones.
    Cut,
    /// Connections stay, and nothing comes through.
    Silent,
    /// Each piece takes so long.
    Slow(Duration),
    /// Published messages do not come through. All else does.
    Deaf,
}

impl Proxy {
    pub(crate) async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (mode, watched) = watch::channel(Mode::Open);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *watched.borrow() != Mode::Cut {
                    tokio::spawn(connect(client, server, watched.clone()));
                }
            }
        });
        Self { port, mode, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connect(client: TcpStream, server: u16, mut mode: watch::Receiver<Mode>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
        return;
    };
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    tokio::select! {
        () = copy(client_read, server_write, mode.clone(), false) => {}
        () = copy(server_read, client_write, mode.clone(), true) => {}
        _ = mode.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    is_answer: bool,
) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let mut piece = piece[..length].to_vec();
        let current = *mode.borrow();
        match current {
            Mode::Slow(time) => sleep(time).await,
            Mode::Deaf if is_answer => drop_messages(&mut piece),
            Mode::Silent => drop(mode.wait_for(|mode| *mode != Mode::Silent).await),
            Mode::Open | Mode::Cut | Mode::Deaf => {}
        }
        if to.write_all(&piece).await.is_err() {
            return;
        }
    }
}

/// Takes out each `>3 message channel payload`. Redis writes one in one piece.
fn drop_messages(piece: &mut Vec<u8>) {
    const MESSAGE: &[u8] = b">3\r\n$7\r\nmessage\r\n";
    while let Some(start) = find(piece, MESSAGE) {
        let mut end = start + MESSAGE.len();
        for _ in ["channel", "payload"] {
            let line = find(&piece[end..], b"\r\n").expect("a whole message");
            let length = std::str::from_utf8(&piece[end + 1..end + line]).expect("a number");
            let length: usize = length.parse().expect("a number");
            end += line + 2 + length + 2;
        }
        piece.drain(start..end);
    }
}

fn find(piece: &[u8], what: &[u8]) -> Option<usize> {
    piece.windows(what.len()).position(|window| window == what)
}
