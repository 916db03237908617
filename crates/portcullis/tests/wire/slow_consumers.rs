//! Clients that take less than they are sent: T37.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::Message as Said;
use axum::routing::any;
use futures_util::SinkExt;
use portcullis::GuardedUpgrade;
use tokio::time::sleep;

use crate::live::Live;
use crate::network::connect;
use crate::site::Over;

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
                live.grant("t0k", "alice", Duration::from_secs(3_600));
                let (_socket, _network) = connect(&live, over, "/pours").await;
                sleep(Duration::from_secs(60)).await;
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
