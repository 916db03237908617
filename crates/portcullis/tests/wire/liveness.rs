//! Half-open connections and slow consumers: T37. A client that is not there any more is gone after
//! two intervals of pings, whatever the handler does, and one that is there is not.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::Message as Said;
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Method, Request};
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis::session::SessionsBuilder;
use portcullis::testing::Message;
use portcullis::{CloseCodes, GuardedUpgrade, Profile};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream, ReadBuf};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::live::{Live, handlers, settle};
use crate::site::Over;
use crate::table::Table;

const EVERY: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

const HANDLERS: [&str; 7] = [
    "/echo",
    "/asleep",
    "/sends",
    "/floods",
    "/reader-parked",
    "/writer-parked",
    "/looks-once",
];

/// Who answers lives on, and is pinged about once in an interval. When the network is gone without
/// a word, so is the session, and its place is free.
#[tokio::test(start_paused = true)]
async fn whatever_the_handler_does() {
    let mut table = Table::new();
    for over in Over::BOTH {
        for handler in HANDLERS {
            let live = live(|sessions| sessions.max_sessions(1));
            let (socket, network) = connect(&live, over, handler).await;
            let pings = Arc::new(AtomicUsize::new(0));
            let client = tokio::spawn(read(socket, Arc::clone(&pings)));
            sleep(6 * EVERY).await;
            let row = (over, handler);
            table.row((row, "answers"), 1, live.sessions.len());
            let pings = pings.load(Ordering::SeqCst);
            table.row((row, "pings", pings), true, (5..=7).contains(&pings));

            network.cut();
            let lasted = until_gone(&live).await;
            table.row((row, "cut", lasted), true, lasted <= 2 * EVERY);
            let last = live.ledger.all().pop().unwrap();
            let is_told = last.starts_with("closed alice: unresponsive");
            table.row((row, last), true, is_told);
            live.assert_balanced();
            let (next, _) = connect(&live, over, handler).await;
            assert_eq!(live.sessions.len(), 1, "there is a place again");
            drop(next);
            client.abort();
        }
    }
    table.finish();
}

/// Every sign of life is one: a client may be deaf, or too busy to answer. It is one of *that*
/// time, even if nobody reads it before much later.
#[tokio::test(start_paused = true)]
async fn whatever_the_client_says() {
    let says = |message: Message| move || message.clone();
    let messages = [
        ("a text", says(Message::text("hello"))),
        ("a ping", says(Message::Ping(Bytes::from_static(b"own")))),
        ("a pong", says(Message::Pong(Bytes::new()))),
    ];
    let mut table = Table::new();
    for over in Over::BOTH {
        for handler in ["/echo", "/asleep", "/writer-parked"] {
            for (name, message) in &messages {
                let live = live(|sessions| sessions);
                let (mut socket, network) = connect(&live, over, handler).await;
                for _ in 0..50 {
                    socket.send(message()).await.unwrap();
                    sleep(SECOND).await;
                }
                let row = (over, handler, *name);
                table.row((row, "speaks"), 1, live.sessions.len());
                network.cut();
                sleep(2 * EVERY).await;
                // What an application has not read is no older than its reader.
                let waits = handler == "/asleep" && *name != "a ping";
                table.row((row, "is cut"), usize::from(waits), live.sessions.len());
            }
        }
    }
    table.finish();
}

/// A client that is there and reads nothing: its kernel takes what it is sent, and says so. It may
/// be stopped, or hang. What it finds when it goes on are the pings and why it was closed.
#[tokio::test(start_paused = true)]
async fn a_client_that_hangs() {
    for over in Over::BOTH {
        for handler in HANDLERS {
            for own in [None, Some(4008)] {
                let live = live_with(
                    |sessions| sessions,
                    |mut codes| {
                        codes.unresponsive = own.unwrap_or(codes.unresponsive);
                        codes
                    },
                );
                let (socket, _network) = connect(&live, over, handler).await;
                let lasted = until_gone(&live).await;
                assert!(lasted <= 2 * EVERY, "{over:?} {handler}: {lasted:?}");
                assert!(lasted >= EVERY * 15 / 16, "{over:?} {handler}: {lasted:?}");
                if handler == "/asleep" {
                    let mut found = Vec::new();
                    let _ = socket.into_inner().read_to_end(&mut found).await;
                    // RFC 6455 §5.2: final, a ping of five bytes, a close of 21; not masked.
                    let mut expected = b"\x89\x05guard\x88\x15".to_vec();
                    expected.extend(own.unwrap_or(3008).to_be_bytes());
                    expected.extend(b"no answer to a ping");
                    assert_eq!(
                        found.escape_ascii().to_string(),
                        expected.escape_ascii().to_string()
                    );
                }
            }
        }
    }
}

/// The messages of a client that is gone are not, as long as there is a handler that reads them.
#[tokio::test(start_paused = true)]
async fn a_handler_that_reads_slowly() {
    for over in Over::BOTH {
        let read = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&read);
        let slow = async |upgrade: GuardedUpgrade| {
            upgrade.on_upgrade(async move |mut socket| {
                while let Some(Ok(Said::Text(_))) = socket.recv().await {
                    counted.fetch_add(1, Ordering::SeqCst);
                    sleep(3 * EVERY).await;
                }
            })
        };
        let routes = Router::new().route("/slow", any(slow));
        let live = Live::serving(routes, |it| it.ping_every(EVERY), |auth| auth);
        live.grant("t0k", "alice", 3_600 * SECOND);
        let (mut socket, network) = connect(&live, over, "/slow").await;
        for _ in 0..5 {
            socket.send(Message::text("hello")).await.unwrap();
        }
        settle().await;
        network.cut();
        // The fifth is read at the end of the fourth pause.
        sleep(12 * EVERY + SECOND).await;
        assert_eq!(read.load(Ordering::SeqCst), 5, "{over:?}");
        assert_eq!(live.sessions.len(), 1, "{over:?}");
        assert!(until_gone(&live).await <= 2 * EVERY, "{over:?}");
    }
}

/// A client that leaves as it should is missed by a handler that does not read, and by nobody else.
#[tokio::test(start_paused = true)]
async fn a_client_that_leaves() {
    for over in Over::BOTH {
        for handler in HANDLERS {
            for politely in [true, false] {
                let live = live(|sessions| sessions);
                let (mut socket, _network) = connect(&live, over, handler).await;
                if politely {
                    socket.close(None).await.unwrap();
                    settle().await;
                }
                drop(socket);
                let row = (over, handler, politely);
                let lasted = until_gone(&live).await;
                assert!(lasted <= 2 * EVERY, "{row:?}: {lasted:?}");
                let last = live.ledger.all().pop().unwrap();
                let ends = ["closed alice: client", "closed alice: handler"];
                let is_its_own = ends.iter().any(|end| last.starts_with(end));
                assert!(is_its_own, "{row:?}: {last}");
                live.assert_balanced();
            }
        }
    }
}

/// A handler that closes has the answer of its client to wait for, and no longer than for others.
#[tokio::test(start_paused = true)]
async fn a_handler_that_closes() {
    for over in Over::BOTH {
        let closes = async |upgrade: GuardedUpgrade| {
            upgrade.on_upgrade(async |mut socket| {
                let _ = socket.send(Said::Close(None)).await;
                while let Some(Ok(_)) = socket.recv().await {}
            })
        };
        let routes = Router::new().route("/closes", any(closes));
        let live = Live::serving(routes, |it| it.ping_every(EVERY), |auth| auth);
        live.grant("t0k", "alice", 3_600 * SECOND);

        let (mut socket, _network) = connect(&live, over, "/closes").await;
        sleep(EVERY * 15 / 16).await;
        assert_eq!(live.sessions.len(), 1, "{over:?}: it has time");
        assert!(socket.next().await.unwrap().unwrap().is_close());
        assert!(socket.next().await.is_none());
        settle().await;
        assert!(live.sessions.is_empty(), "{over:?}");

        let (_socket, _network) = connect(&live, over, "/closes").await;
        assert!(until_gone(&live).await <= 2 * EVERY, "{over:?}");
    }
}

/// As with axum, a handler gets the answers: to its own pings, and to those of the guard.
#[tokio::test(start_paused = true)]
async fn pongs_reach_the_handler() {
    for over in Over::BOTH {
        let pongs = async |upgrade: GuardedUpgrade| {
            upgrade.on_upgrade(async |mut socket| {
                let own = Bytes::from_static(b"own");
                let _ = socket.send(Said::Ping(own)).await;
                while let Some(Ok(message)) = socket.recv().await {
                    if let Said::Pong(payload) = message {
                        let told = format!("{payload:?}");
                        let _ = socket.send(told.into()).await;
                    }
                }
            })
        };
        let routes = Router::new().route("/pongs", any(pongs));
        let live = Live::serving(routes, |it| it.ping_every(EVERY), |auth| auth);
        live.grant("t0k", "alice", 3_600 * SECOND);
        let (mut socket, _network) = connect(&live, over, "/pongs").await;
        let mut told = Vec::new();
        while told.len() < 4 {
            match socket.next().await.unwrap().unwrap() {
                Message::Text(text) => told.push(text.as_str().to_owned()),
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
        let ours = r#"b"guard""#;
        assert_eq!(told, [r#"b"own""#, ours, ours, ours]);
    }
}

/// Without `ping_every` nothing is sent, and nobody is asked.
#[tokio::test(start_paused = true)]
async fn not_by_default() {
    for over in Over::BOTH {
        let live = Live::new(|sessions| sessions);
        live.grant("t0k", "alice", 3_600 * SECOND);
        let (mut socket, _network) = connect(&live, over, "/asleep").await;
        assert!(timeout(60 * EVERY, socket.next()).await.is_err());
        assert_eq!(live.sessions.len(), 1);
    }
}

/// The pings of many sockets are spread over the interval.
#[tokio::test(start_paused = true)]
async fn not_all_at_once() {
    let live = live(|sessions| sessions);
    let mut sockets = Vec::new();
    for _ in 0..200 {
        let (socket, network) = connect(&live, Over::Http1, "/asleep").await;
        sockets.push((socket, network));
    }
    let opened = Instant::now();
    let pinged = sockets.into_iter().map(|(mut socket, _network)| {
        tokio::spawn(async move {
            let ping = socket.next().await.unwrap().unwrap();
            assert_eq!(ping, Message::Ping(OURS));
            opened.elapsed()
        })
    });
    let pinged: Vec<_> = pinged.collect();
    let mut tenths = [0; 10];
    for ping in pinged {
        let after = ping.await.unwrap();
        tenths[(10 * after.as_millis() / EVERY.as_millis()) as usize] += 1;
    }
    // Twenty in each is what is to be expected, and less in the last, of which a round has a part.
    assert!(tenths.iter().all(|count| *count <= 60), "{tenths:?}");
    assert!(tenths[..9].iter().all(|count| *count > 0), "{tenths:?}");
}

/// A client that never reads makes its writer wait, or fail where it does not wait. Memory does not
/// grow beyond `max_write_buffer_size`, whichever it is.
#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads() {
    const MESSAGE: usize = 64 * 1024;
    const DEFAULT: usize = 4 * 1024 * 1024;
    // What the pipe and the client's HTTP have room for: 64 KiB, and a stream of 2 MiB.
    const ELSEWHERE: usize = 3 * 1024 * 1024;

    for over in Over::BOTH {
        for limit in [None, Some(256 * 1024)] {
            for waits in [true, false] {
                let taken = Arc::new(AtomicUsize::new(0));
                let failed = Arc::new(AtomicBool::new(false));
                let (counted, told) = (Arc::clone(&taken), Arc::clone(&failed));
                let pours = async move |upgrade: GuardedUpgrade| {
                    let upgrade = match limit {
                        Some(limit) => upgrade.max_write_buffer_size(limit),
                        None => upgrade,
                    };
                    upgrade.on_upgrade(async move |mut socket| {
                        loop {
                            let message = Said::Binary(vec![0; MESSAGE].into());
                            let sent = match waits {
                                true => socket.send(message).await,
                                false => socket.start_send_unpin(message),
                            };
                            if let Err(error) = sent {
                                assert!(error.to_string().contains("buffer"), "{error}");
                                told.store(true, Ordering::SeqCst);
                                return pending().await;
                            }
                            counted.fetch_add(MESSAGE, Ordering::SeqCst);
                        }
                    })
                };
                let routes = Router::new().route("/pours", any(pours));
                let live = Live::serving(routes, |sessions| sessions, |auth| auth);
                live.grant("t0k", "alice", 3_600 * SECOND);
                let (_socket, _network) = connect(&live, over, "/pours").await;
                sleep(60 * SECOND).await;
                let row = (over, limit, waits);
                let taken = taken.load(Ordering::SeqCst);
                let limit = limit.unwrap_or(DEFAULT);
                assert_eq!(failed.load(Ordering::SeqCst), !waits, "{row:?}: {taken}");
                // Who waits has one message in the buffer.
                let most = if waits { MESSAGE } else { limit };
                assert!(taken <= most + ELSEWHERE, "{row:?}: {taken}");
                assert!(waits || taken >= limit - MESSAGE, "{row:?}: {taken}");
            }
        }
    }
}

/// Sessions that are pinged, with handlers that are busier than the others'.
fn live(settings: fn(SessionsBuilder) -> SessionsBuilder) -> Live {
    live_with(settings, |codes| codes)
}

/// The same with other codes.
fn live_with(
    settings: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
    codes: impl FnOnce(CloseCodes) -> CloseCodes,
) -> Live {
    let routes = handlers()
        .route("/floods", any(floods))
        .route("/looks-once", any(looks_once));
    let profile = Profile::default().close_codes(codes(CloseCodes::registered()));
    let live = Live::serving(
        routes,
        |it| settings(it.ping_every(EVERY)),
        |auth| auth.profile(profile),
    );
    live.grant("t0k", "alice", 3_600 * SECOND);
    live
}

/// It is blocked in `send` but for the moments in which its client reads.
async fn floods(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        while socket.send(vec![0; 64 * 1024].into()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
}

/// It has waited for a message once, and does not any more; who woke its reader wakes nobody.
async fn looks_once(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        let _ = timeout(SECOND, socket.recv()).await;
        pending::<()>().await;
        drop(socket);
    })
}

/// Reads, and so answers pings; in bursts, so that a handler that floods is blocked in between.
async fn read(mut socket: Socket, pings: Arc<AtomicUsize>) {
    loop {
        let mut left = 4 * 1024 * 1024;
        while let Ok(message) = timeout(2 * SECOND, socket.next()).await {
            match message {
                Some(Ok(Message::Binary(bytes))) => {
                    left -= left.min(bytes.len());
                    if left == 0 {
                        sleep(SECOND).await;
                        break;
                    }
                }
                Some(Ok(Message::Ping(_))) => {
                    pings.fetch_add(1, Ordering::SeqCst);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            }
        }
    }
}

/// How long it takes until nobody is there.
async fn until_gone(live: &Live) -> Duration {
    let start = Instant::now();
    while !live.sessions.is_empty() && start.elapsed() < 10 * EVERY {
        sleep(Duration::from_millis(10)).await;
    }
    start.elapsed()
}

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Opens a socket over a network that can be cut.
async fn connect(live: &Live, over: Over, path: &str) -> (Socket, Network) {
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
struct Network(Arc<AtomicBool>);

impl Network {
    /// From now on every packet is lost, and nobody is told.
    fn cut(&self) {
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

/// What is in a ping of the guard.
const OURS: Bytes = Bytes::from_static(b"guard");
