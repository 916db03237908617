//! A WebSocket client over TCP that adds little to the measured times.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The number of concurrent handshakes.
const AT_ONCE: usize = 32;

/// A masked Close frame with the code 1000.
pub(crate) const CLOSE: &[u8] = &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];

/// The address of a server, and the request to send.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    /// The head of the request, including the empty line.
    request: String,
}

impl Target {
    /// Creates a handshake for `path` with the headers of Chromium, followed by `headers`, each with
    /// its line end.
    pub(crate) fn new(address: SocketAddr, path: &str, headers: &str) -> Self {
        let request = format!(
            "GET {path} HTTP/1.1\r\n\
             host: {address}\r\n\
             connection: Upgrade\r\n\
             pragma: no-cache\r\n\
             cache-control: no-cache\r\n\
             user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/156.0.0.0 Safari/537.36\r\n\
             upgrade: websocket\r\n\
             origin: http://{address}\r\n\
             sec-websocket-version: 13\r\n\
             accept-encoding: gzip, deflate, br, zstd\r\n\
             accept-language: en-US,en;q=0.9\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             {headers}\r\n"
        );
        Self { address, request }
    }
}

/// Opens and closes sockets during `time`, and returns their number.
pub(crate) async fn handshakes(target: &Target, time: Duration) -> io::Result<u64> {
    let end = Instant::now() + time;
    let mut loops: JoinSet<io::Result<u64>> = JoinSet::new();
    for _ in 0..AT_ONCE {
        let target = target.clone();
        loops.spawn(async move {
            let mut done = 0;
            while Instant::now() < end {
                one(&target).await?;
                done += 1;
            }
            Ok(done)
        });
    }
    let mut done = 0;
    while let Some(joined) = loops.join_next().await {
        done += joined.map_err(io::Error::other)??;
    }
    Ok(done)
}

/// Opens and closes a socket.
pub(crate) async fn one(target: &Target) -> io::Result<()> {
    open(target).await?.write_all(CLOSE).await
}

/// Opens `count` sockets.
pub(crate) async fn sockets(target: &Target, count: usize) -> io::Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        streams.push(open(target).await?);
    }
    Ok(streams)
}

/// Opens a socket. Dropping it resets the connection without `TIME_WAIT`, so that ports do not run
/// out.
pub(crate) async fn open(target: &Target) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(target.address).await?;
    stream.set_nodelay(true)?;
    stream.set_zero_linger()?;
    stream.write_all(target.request.as_bytes()).await?;
    let mut head = Vec::with_capacity(1024);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    match head.starts_with(b"HTTP/1.1 101 ") {
        true => Ok(stream),
        false => Err(io::Error::other(format!(
            "the handshake was refused: {}",
            String::from_utf8_lossy(&head)
        ))),
    }
}
