use std::collections::BTreeMap;
use std::time::Duration;

use fhir_subscriptions_resources::codes::EncounterStatus;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::*;
use crate::topics::TOPICS;

fn store(queue: usize) -> Arc<Store> {
    Store::new(queue)
}

fn terms(owner: &str, id: &str) -> Terms {
    Terms {
        id: id.into(),
        owner: owner.into(),
        topic: &TOPICS[0],
        patient: None,
        content: Content::IdOnly,
        heartbeat: None,
    }
}

fn subscribe(store: &Store, terms: Terms) {
    store.subscribe(terms, json!({})).unwrap();
}

fn admit(store: &Store, patient: &str) -> Version {
    let draft = Draft {
        status: EncounterStatus::InProgress,
        patient: Some(patient.into()),
        resource: json!({ "resourceType": "Encounter", "status": "in-progress" }),
    };
    store.create(draft).unwrap()
}

fn later() -> SystemTime {
    SystemTime::now() + Duration::from_secs(3600)
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// What is in the queue, as `handshake 0` and `event 1`.
async fn told(feed: &mut Feed, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..count {
        let notice = feed.next().await.unwrap();
        told.push(match notice.kind {
            Kind::Handshake => format!("handshake {}", notice.count),
            Kind::Heartbeat => format!("heartbeat {}", notice.count),
            Kind::Event(event) => format!("event {}", event.number),
            other => panic!("{other:?}"),
        });
    }
    told
}

async fn is_silent(feed: &mut Feed) -> bool {
    timeout(Duration::ZERO, feed.next()).await.is_err()
}

#[tokio::test]
async fn a_binding_begins_where_its_handshake_says() {
    let store = store(16);
    subscribe(&store, terms("alice", "s"));
    admit(&store, "Patient/1");
    let mut feed = store.feed();
    admit(&store, "Patient/1");
    assert_eq!(feed.bind("alice", &ids(&["s"]), later()), 1);
    admit(&store, "Patient/1");
    assert_eq!(feed.bind("alice", &ids(&["s"]), later()), 1);
    admit(&store, "Patient/1");
    let expected = ["handshake 2", "event 3", "handshake 3", "event 4"];
    assert_eq!(told(&mut feed, 4).await, expected);
    assert!(is_silent(&mut feed).await);
}

/// Eight writers, eight sockets that bind again and again: each hears every number once, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_or_doubled_while_tokens_are_renewed() {
    const EVENTS: u64 = 800;
    let store = store(10_000);
    subscribe(&store, terms("alice", "a"));
    subscribe(&store, terms("alice", "b"));
    let listeners: Vec<_> = (0..8)
        .map(|_| {
            let mut feed = store.feed();
            assert_eq!(feed.bind("alice", &ids(&["a", "b"]), later()), 2);
            tokio::spawn(async move {
                let mut last: BTreeMap<String, u64> = BTreeMap::new();
                while last.len() < 2 || last.values().any(|last| *last < EVENTS) {
                    let notice = feed.next().await.unwrap();
                    let last = last.entry(notice.subscription.id.clone()).or_default();
                    match notice.kind {
                        Kind::Event(event) => {
                            assert_eq!(event.number, *last + 1);
                            *last += 1;
                            if last.is_multiple_of(50) {
                                feed.bind("alice", &ids(&["a", "b"]), later());
                            }
                        }
                        Kind::Handshake => assert_eq!(notice.count, *last),
                        other => panic!("{other:?}"),
                    }
                }
            })
        })
        .collect();
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for _ in 0..EVENTS / 8 {
                    admit(&store, "Patient/1");
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for task in writers.into_iter().chain(listeners) {
        timeout(Duration::from_secs(60), task)
            .await
            .unwrap()
            .unwrap();
    }
}

#[tokio::test]
async fn a_full_queue_ends_the_socket_and_no_other() {
    let store = store(3);
    subscribe(&store, terms("alice", "s"));
    let (mut slow, mut other) = (store.feed(), store.feed());
    slow.bind("alice", &ids(&["s"]), later());
    other.bind("alice", &ids(&["s"]), later());
    assert_eq!(told(&mut other, 1).await, ["handshake 0"]);
    for _ in 0..3 {
        admit(&store, "Patient/1");
    }
    // The slow one has room for a handshake and two events.
    assert!(slow.next().await.is_none());
    assert_eq!(told(&mut other, 3).await, ["event 1", "event 2", "event 3"]);
    let events = store.events("alice", "s", 1, u64::MAX).unwrap().unwrap();
    assert!(matches!(events.kind, Kind::Events(events) if events.len() == 3));
}

#[tokio::test]
async fn a_binding_ends_with_its_token() {
    let store = store(16);
    subscribe(&store, terms("alice", "short"));
    subscribe(&store, terms("alice", "long"));
    let mut feed = store.feed();
    feed.bind("alice", &ids(&["short"]), SystemTime::now());
    feed.bind("alice", &ids(&["long"]), later());
    // An older token takes nothing from a newer one.
    feed.bind("alice", &ids(&["long"]), SystemTime::now());
    admit(&store, "Patient/1");
    for _ in 0..3 {
        assert!(matches!(feed.next().await.unwrap().kind, Kind::Handshake));
    }
    let notice = feed.next().await.unwrap();
    assert_eq!(notice.subscription.id, "long");
    assert!(is_silent(&mut feed).await);
}

#[tokio::test]
async fn nobody_hears_of_what_is_another_one_s() {
    let store = store(16);
    subscribe(&store, terms("alice", "s"));
    let mut feed = store.feed();
    assert_eq!(feed.bind("bob", &ids(&["s", "no such"]), later()), 0);
    admit(&store, "Patient/1");
    assert!(is_silent(&mut feed).await);
    assert!(store.subscription("bob", "s").is_none());
    assert!(store.status("bob", "s").is_none());
    assert!(store.events("bob", "s", 1, 1).is_none());
    assert!(!store.unsubscribe("bob", "s"));
    assert!(store.unsubscribe("alice", "s"));
}

#[tokio::test]
async fn a_filter_is_for_one_patient() {
    let store = store(16);
    let only = Terms {
        patient: Some("Patient/2".into()),
        ..terms("alice", "s")
    };
    subscribe(&store, only);
    let mut feed = store.feed();
    feed.bind("alice", &ids(&["s"]), later());
    for patient in ["Patient/1", "Patient/2", "Patient/22"] {
        admit(&store, patient);
    }
    assert_eq!(told(&mut feed, 2).await, ["handshake 0", "event 1"]);
    assert!(is_silent(&mut feed).await);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_comes_when_nothing_else_did() {
    let store = store(16);
    let beating = Terms {
        heartbeat: Some(Duration::from_secs(10)),
        ..terms("alice", "s")
    };
    subscribe(&store, beating);
    let ended = Terms {
        heartbeat: Some(Duration::from_secs(1)),
        ..terms("alice", "ended")
    };
    subscribe(&store, ended);
    let mut feed = store.feed();
    feed.bind("alice", &ids(&["ended"]), SystemTime::now());
    assert_eq!(told(&mut feed, 1).await, ["handshake 0"]);
    feed.bind("alice", &ids(&["s"]), later());
    let start = Instant::now();
    assert_eq!(told(&mut feed, 2).await, ["handshake 0", "heartbeat 0"]);
    assert_eq!(start.elapsed().as_secs(), 10);
    sleep(Duration::from_secs(6)).await;
    admit(&store, "Patient/1");
    assert_eq!(told(&mut feed, 2).await, ["event 1", "heartbeat 1"]);
    assert_eq!(start.elapsed().as_secs(), 26);
}

#[test]
fn events_that_are_forgotten_are_not_left_out_silently() {
    let store = store(1);
    subscribe(&store, terms("alice", "s"));
    for _ in 0..5_003 {
        admit(&store, "Patient/1");
    }
    let events = |since, until| store.events("alice", "s", since, until).unwrap();
    assert_eq!(events(3, 10).unwrap_err().oldest, 4);
    for (since, until, expected) in [
        (4, 10, 7),
        (5_003, u64::MAX, 1),
        (5_004, u64::MAX, 0),
        (10, 9, 0),
        (0, 0, 0),
    ] {
        let Kind::Events(found) = events(since, until).unwrap().kind else {
            panic!("no events");
        };
        assert_eq!(found.len(), expected, "{since} to {until}");
    }
}
