//! The pings of the guard: to whom, when, and who gets the answers.

use std::time::Duration;

use axum::Router;
use axum::extract::ws::Message as Said;
use axum::routing::any;
use bytes::Bytes;
use futures_util::StreamExt;
use portcullis::GuardedUpgrade;
use portcullis::testing::Message;
use tokio::time::{Instant, timeout};

use crate::live::Live;
use crate::network::connect;
use crate::site::Over;

const EVERY: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3_600);

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
        live.grant("t0k", "alice", HOUR);
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
        live.grant("t0k", "alice", HOUR);
        let (mut socket, _network) = connect(&live, over, "/asleep").await;
        assert!(timeout(60 * EVERY, socket.next()).await.is_err());
        assert_eq!(live.sessions.len(), 1);
    }
}

/// The pings of many sockets are spread over the interval.
#[tokio::test(start_paused = true)]
async fn not_all_at_once() {
    let live = Live::new(|sessions| sessions.ping_every(EVERY));
    live.grant("t0k", "alice", HOUR);
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

/// What is in a ping of the guard.
const OURS: Bytes = Bytes::from_static(b"guard");
