use std::collections::BTreeMap;
use std::time::Duration;

use fhir_subscriptions_resources::codes::EncounterStatus;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::NotificationKind as Kind;
use super::*;
use crate::topics::TOPICS;

fn settings(owner: &str, id: &str) -> SubscriptionSettings {
    SubscriptionSettings {
        id: id.into(),
        owner: owner.into(),
        topic: &TOPICS[0],
        patient: None,
        content: Content::IdOnly,
        heartbeat: None,
    }
}

fn subscribe(store: &Store, settings: SubscriptionSettings) {
    store.subscribe(settings, json!({})).unwrap();
}

fn create_encounter(store: &Store, patient: &str) {
    let input = EncounterInput {
        status: EncounterStatus::InProgress,
        patient: Some(patient.into()),
        resource: json!({ "resourceType": "Encounter", "status": "in-progress" }),
    };
    store.create(input).unwrap();
}

fn in_an_hour() -> SystemTime {
    SystemTime::now() + Duration::from_secs(3600)
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// Receives `count` notifications, and formats them as `handshake 0` and `event 1`.
async fn receive(feed: &mut Feed, count: usize) -> Vec<String> {
    let mut received = Vec::new();
    for _ in 0..count {
        let notification = feed.next().await.unwrap();
        received.push(match notification.kind {
            Kind::Handshake => format!("handshake {}", notification.count),
            Kind::Heartbeat => format!("heartbeat {}", notification.count),
            Kind::Event(event) => format!("event {}", event.number),
            other => panic!("{other:?}"),
        });
    }
    received
}

async fn is_empty(feed: &mut Feed) -> bool {
    timeout(Duration::ZERO, feed.next()).await.is_err()
}

#[tokio::test]
async fn events_continue_at_the_count_in_the_handshake() {
    let store = Store::new(16);
    subscribe(&store, settings("alice", "s"));
    create_encounter(&store, "Patient/1");
    let mut feed = store.add_socket();
    create_encounter(&store, "Patient/1");
    assert_eq!(feed.bind("alice", &ids(&["s"]), in_an_hour()), 1);
    create_encounter(&store, "Patient/1");
    assert_eq!(feed.bind("alice", &ids(&["s"]), in_an_hour()), 1);
    create_encounter(&store, "Patient/1");
    let expected = ["handshake 2", "event 3", "handshake 3", "event 4"];
    assert_eq!(receive(&mut feed, 4).await, expected);
    assert!(is_empty(&mut feed).await);
}

/// Eight writers, and eight sockets that bind repeatedly. Each socket receives each number once and
/// in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_event_is_lost_or_duplicated_while_tokens_are_renewed() {
    const EVENTS: u64 = 800;
    let store = Store::new(10_000);
    subscribe(&store, settings("alice", "a"));
    subscribe(&store, settings("alice", "b"));
    let listeners: Vec<_> = (0..8)
        .map(|_| {
            let mut feed = store.add_socket();
            assert_eq!(feed.bind("alice", &ids(&["a", "b"]), in_an_hour()), 2);
            tokio::spawn(async move {
                let mut last: BTreeMap<String, u64> = BTreeMap::new();
                while last.len() < 2 || last.values().any(|last| *last < EVENTS) {
                    let notification = feed.next().await.unwrap();
                    let last = last
                        .entry(notification.subscription.id.clone())
                        .or_default();
                    match notification.kind {
                        Kind::Event(event) => {
                            assert_eq!(event.number, *last + 1);
                            *last += 1;
                            if last.is_multiple_of(50) {
                                feed.bind("alice", &ids(&["a", "b"]), in_an_hour());
                            }
                        }
                        Kind::Handshake => assert_eq!(notification.count, *last),
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
                    create_encounter(&store, "Patient/1");
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
async fn a_full_queue_closes_only_its_own_socket() {
    let store = Store::new(3);
    subscribe(&store, settings("alice", "s"));
    let (mut slow, mut other) = (store.add_socket(), store.add_socket());
    slow.bind("alice", &ids(&["s"]), in_an_hour());
    other.bind("alice", &ids(&["s"]), in_an_hour());
    assert_eq!(receive(&mut other, 1).await, ["handshake 0"]);
    for _ in 0..3 {
        create_encounter(&store, "Patient/1");
    }
    // The queue of the slow socket holds the handshake and two events.
    assert!(slow.next().await.is_none());
    assert_eq!(
        receive(&mut other, 3).await,
        ["event 1", "event 2", "event 3"]
    );
    let events = store.events("alice", "s", 1, u64::MAX).unwrap().unwrap();
    assert!(matches!(events.kind, Kind::Events(events) if events.len() == 3));
}

#[tokio::test]
async fn a_binding_ends_when_its_token_expires() {
    let store = Store::new(16);
    subscribe(&store, settings("alice", "short"));
    subscribe(&store, settings("alice", "long"));
    let mut feed = store.add_socket();
    feed.bind("alice", &ids(&["short"]), SystemTime::now());
    feed.bind("alice", &ids(&["long"]), in_an_hour());
    // A token that expires earlier does not shorten the binding.
    feed.bind("alice", &ids(&["long"]), SystemTime::now());
    create_encounter(&store, "Patient/1");
    for _ in 0..3 {
        assert!(matches!(feed.next().await.unwrap().kind, Kind::Handshake));
    }
    let notification = feed.next().await.unwrap();
    assert_eq!(notification.subscription.id, "long");
    assert!(is_empty(&mut feed).await);
}

#[tokio::test]
async fn other_users_cannot_access_a_subscription() {
    let store = Store::new(16);
    subscribe(&store, settings("alice", "s"));
    let mut feed = store.add_socket();
    assert_eq!(feed.bind("bob", &ids(&["s", "no such"]), in_an_hour()), 0);
    create_encounter(&store, "Patient/1");
    assert!(is_empty(&mut feed).await);
    assert!(store.subscription("bob", "s").is_none());
    assert!(store.status("bob", "s").is_none());
    assert!(store.events("bob", "s", 1, 1).is_none());
    assert!(!store.unsubscribe("bob", "s"));
    assert!(store.unsubscribe("alice", "s"));
}

#[tokio::test]
async fn a_filter_selects_the_encounters_of_one_patient() {
    let store = Store::new(16);
    let filtered = SubscriptionSettings {
        patient: Some("Patient/2".into()),
        ..settings("alice", "s")
    };
    subscribe(&store, filtered);
    let mut feed = store.add_socket();
    feed.bind("alice", &ids(&["s"]), in_an_hour());
    for patient in ["Patient/1", "Patient/2", "Patient/22"] {
        create_encounter(&store, patient);
    }
    assert_eq!(receive(&mut feed, 2).await, ["handshake 0", "event 1"]);
    assert!(is_empty(&mut feed).await);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_is_sent_after_a_period_without_notifications() {
    let store = Store::new(16);
    let active = SubscriptionSettings {
        heartbeat: Some(Duration::from_secs(10)),
        ..settings("alice", "s")
    };
    subscribe(&store, active);
    let expired = SubscriptionSettings {
        heartbeat: Some(Duration::from_secs(1)),
        ..settings("alice", "expired")
    };
    subscribe(&store, expired);
    let mut feed = store.add_socket();
    feed.bind("alice", &ids(&["expired"]), SystemTime::now());
    assert_eq!(receive(&mut feed, 1).await, ["handshake 0"]);
    feed.bind("alice", &ids(&["s"]), in_an_hour());
    let start = Instant::now();
    assert_eq!(receive(&mut feed, 2).await, ["handshake 0", "heartbeat 0"]);
    assert_eq!(start.elapsed().as_secs(), 10);
    sleep(Duration::from_secs(6)).await;
    create_encounter(&store, "Patient/1");
    assert_eq!(receive(&mut feed, 2).await, ["event 1", "heartbeat 1"]);
    assert_eq!(start.elapsed().as_secs(), 26);
}

#[test]
fn a_range_with_discarded_events_is_an_error() {
    let store = Store::new(1);
    subscribe(&store, settings("alice", "s"));
    for _ in 0..5_003 {
        create_encounter(&store, "Patient/1");
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
            panic!("expected events");
        };
        assert_eq!(found.len(), expected, "{since} to {until}");
    }
}
