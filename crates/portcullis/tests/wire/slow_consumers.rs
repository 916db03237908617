//! Clients that read more slowly than the handler sends.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::extract::ws::Message;
use axum::routing::any;
use futures_util::SinkExt;
use portcullis::GuardedUpgrade;
use tokio::time::sleep;

use crate::support::{HOUR, HttpVersion, MINUTE, TestServer, connect};

/// A writer waits for a client that never reads, and fails if it does not wait. The buffer does not
/// grow beyond `max_write_buffer_size`.
#[tokio::test(start_paused = true)]
async fn write_buffer_is_bounded_if_the_client_never_reads() {
    const MESSAGE: usize = 64 * 1024;
    const DEFAULT: usize = 4 * 1024 * 1024;
    // The capacity of the pipe, 64 KiB, and of the client's HTTP stream, 2 MiB.
    const TRANSPORT: usize = 3 * 1024 * 1024;

    for version in HttpVersion::ALL {
        for limit in [None, Some(256 * 1024)] {
            for waits in [true, false] {
                let taken = Arc::new(AtomicUsize::new(0));
                let failed = Arc::new(AtomicBool::new(false));
                let (counted, reported) = (Arc::clone(&taken), Arc::clone(&failed));
                let sends = async move |upgrade: GuardedUpgrade| {
                    let upgrade = match limit {
                        Some(limit) => upgrade.max_write_buffer_size(limit),
                        None => upgrade,
                    };
                    upgrade.on_upgrade(async move |mut socket| {
                        loop {
                            let message = Message::Binary(vec![0; MESSAGE].into());
                            let sent = match waits {
                                true => socket.send(message).await,
                                false => socket.start_send_unpin(message),
                            };
                            if let Err(error) = sent {
                                assert!(error.to_string().contains("buffer"), "{error}");
                                reported.store(true, Ordering::SeqCst);
                                return pending().await;
                            }
                            counted.fetch_add(MESSAGE, Ordering::SeqCst);
                        }
                    })
                };
                let routes = Router::new().route("/sends", any(sends));
                let server = TestServer::with_handlers(routes, |sessions| sessions, |auth| auth);
                server.accept("t0k", "alice", HOUR);
                let (_socket, _network) = connect(&server, version, "/sends").await;
                sleep(MINUTE).await;
                let row = (version, limit, waits);
                let taken = taken.load(Ordering::SeqCst);
                let limit = limit.unwrap_or(DEFAULT);
                assert_eq!(failed.load(Ordering::SeqCst), !waits, "{row:?}: {taken}");
                // A writer that waits has one message in the buffer.
                let buffered = if waits { MESSAGE } else { limit };
                assert!(taken <= buffered + TRANSPORT, "{row:?}: {taken}");
                assert!(waits || taken >= limit - MESSAGE, "{row:?}: {taken}");
            }
        }
    }
}
