//! The pings of guarded sockets: when they are sent, and which code receives the pongs.

use std::time::Duration;

use axum::Router;
use axum::extract::ws;
use axum::routing::any;
use bytes::Bytes;
use futures_util::StreamExt;
use portcullis::GuardedUpgrade;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{HOUR, HttpVersion, TestServer, connect};

const INTERVAL: Duration = Duration::from_secs(10);

/// As in axum, the handler receives every pong: for its own pings and for those of the guard.
#[tokio::test(start_paused = true)]
async fn pongs_reach_the_handler() {
    for version in HttpVersion::ALL {
        let pongs = async |upgrade: GuardedUpgrade| {
            upgrade.on_upgrade(async |mut socket| {
                let payload = Bytes::from_static(b"handler");
                let _ = socket.send(ws::Message::Ping(payload)).await;
                while let Some(Ok(message)) = socket.recv().await {
                    if let ws::Message::Pong(payload) = message {
                        let report = format!("{payload:?}");
                        let _ = socket.send(report.into()).await;
                    }
                }
            })
        };
        let routes = Router::new().route("/pongs", any(pongs));
        let server = TestServer::with_handlers(routes, |it| it.ping_every(INTERVAL), |auth| auth);
        server.accept("t0k", "alice", HOUR);
        let (mut socket, _network) = connect(&server, version, "/pongs").await;
        let mut reported = Vec::new();
        while reported.len() < 4 {
            match socket.next().await.unwrap().unwrap() {
                Message::Text(text) => reported.push(text.as_str().to_owned()),
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
        let guard = r#"b"guard""#;
        assert_eq!(reported, [r#"b"handler""#, guard, guard, guard]);
    }
}

#[tokio::test(start_paused = true)]
async fn no_pings_are_sent_by_default() {
    for version in HttpVersion::ALL {
        let server = TestServer::new(|sessions| sessions);
        server.accept("t0k", "alice", HOUR);
        let (mut socket, _network) = connect(&server, version, "/idle").await;
        assert!(timeout(60 * INTERVAL, socket.next()).await.is_err());
        assert_eq!(server.sessions.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn pings_of_many_sockets_are_spread_over_the_interval() {
    let server = TestServer::new(|sessions| sessions.ping_every(INTERVAL));
    server.accept("t0k", "alice", HOUR);
    let mut sockets = Vec::new();
    for _ in 0..200 {
        let (socket, network) = connect(&server, HttpVersion::Http1, "/idle").await;
        sockets.push((socket, network));
    }
    let opened = Instant::now();
    let pinged = sockets.into_iter().map(|(mut socket, _network)| {
        tokio::spawn(async move {
            let ping = socket.next().await.unwrap().unwrap();
            assert_eq!(ping, Message::Ping(PAYLOAD));
            opened.elapsed()
        })
    });
    let pinged: Vec<_> = pinged.collect();
    let mut tenths = [0; 10];
    for ping in pinged {
        let after = ping.await.unwrap();
        tenths[(10 * after.as_millis() / INTERVAL.as_millis()) as usize] += 1;
    }
    // About twenty are expected in each tenth, and fewer in the last one.
    assert!(tenths.iter().all(|count| *count <= 60), "{tenths:?}");
    assert!(tenths[..9].iter().all(|count| *count > 0), "{tenths:?}");
}

/// The payload of the guard's pings.
const PAYLOAD: Bytes = Bytes::from_static(b"guard");
