//! Tickets: valid once, for thirty seconds, for their path and their binding. A failed redemption
//! consumes the ticket.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use axum::routing::{any, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis::carrier::{AuthorizationCarrier, QueryCarrier};
use portcullis::testing::{Accepting, TestClient};
use portcullis::{
    AuthLayer, Credential, GuardedUpgrade, Identity, Profile, Verify, VerifyError,
    carrier::{Carrier, Scheme},
    store::{StoreError, TicketKey, TicketStore},
    verify::Handshake,
    ws::mint_handler,
};
use portcullis::{
    Tickets,
    ticket::{Binding, MemoryTickets},
};

use crate::support::{HttpVersion, SECOND, Table, handshake_status};

#[path = "../../../portcullis-redis/tests/suite/tickets.rs"]
#[allow(dead_code, reason = "the redis tests use the rest")]
mod suite;

#[tokio::test(start_paused = true)]
async fn memory_store_fulfills_the_contract() {
    suite::promises(&MemoryTickets::new(100), tokio::time::sleep).await;
    let store = Arc::new(MemoryTickets::new(1_000));
    suite::ledger(&store, tokio::time::sleep).await;
}

/// A thousand tasks redeem the same ticket, a hundred times.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_redemptions_admit_one_request() {
    let store = Arc::new(MemoryTickets::new(10));
    assert_eq!(suite::race(&store, 100, 1_000).await, Ok(()));
}

/// The control for the test above.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn race_detects_a_store_that_is_not_atomic() {
    let store = Arc::new(NotAtomic(MemoryTickets::new(10)));
    let redeemed = suite::race(&store, 100, 1_000).await.unwrap_err();
    assert!(redeemed > 1, "{redeemed}");
}

/// Reads a record first and removes it later.
struct NotAtomic(MemoryTickets);

impl TicketStore for NotAtomic {
    async fn put(&self, key: TicketKey, record: Vec<u8>, time: Duration) -> Result<(), StoreError> {
        self.0.put(key, record, time).await
    }

    async fn take(&self, key: TicketKey) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(record) = self.0.take(key).await? else {
            return Ok(None);
        };
        self.0
            .put(key, record.clone(), Duration::from_secs(30))
            .await
            .ok();
        tokio::task::yield_now().await;
        self.0.take(key).await?;
        Ok(Some(record))
    }
}

struct UnavailableStore;

impl TicketStore for UnavailableStore {
    async fn put(&self, _: TicketKey, _: Vec<u8>, _: Duration) -> Result<(), StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn take(&self, _: TicketKey) -> Result<Option<Vec<u8>>, StoreError> {
        Err(StoreError::Unavailable)
    }
}

/// A store that an attacker can read and write.
#[derive(Default)]
struct ExposedStore(Mutex<HashMap<TicketKey, Vec<u8>>>);

impl TicketStore for ExposedStore {
    async fn put(&self, key: TicketKey, record: Vec<u8>, _: Duration) -> Result<(), StoreError> {
        self.0.lock().unwrap().insert(key, record);
        Ok(())
    }

    async fn take(&self, key: TicketKey) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().unwrap().remove(&key))
    }
}

/// An attacker with access to the store can neither read nor forge an identity.
#[tokio::test]
async fn stored_records_are_sealed_to_their_tickets() {
    type Change = fn(&[u8], &[u8]) -> Vec<u8>;
    let changes: [(&str, Change, bool); 5] = [
        ("unchanged", |record, _| record.to_vec(), true),
        ("of another ticket", |_, other| other.to_vec(), false),
        (
            "a flipped bit",
            |record, _| [&record[..9], &[record[9] ^ 1], &record[10..]].concat(),
            false,
        ),
        (
            "truncated",
            |record, _| record[..record.len() - 1].to_vec(),
            false,
        ),
        ("plain text", |_, _| PLAIN.into(), false),
    ];
    let mut table = Table::new();
    for (name, change, opens) in changes {
        let store = Arc::new(ExposedStore::default());
        let tickets: Tickets<_> = Tickets::new(Arc::clone(&store), ["/ws"]);
        let mint = async |subject: &str| {
            let before: Vec<_> = store.0.lock().unwrap().keys().copied().collect();
            let identity = Identity::new(subject);
            let ticket = tickets.mint(&identity, Binding::default()).await.unwrap();
            let records = store.0.lock().unwrap();
            let (key, record) = records
                .iter()
                .find(|(key, _)| !before.contains(key))
                .unwrap();
            (ticket, *key, record.clone())
        };
        let (ticket, key, record) = mint("alice").await;
        let (_, _, other) = mint("root").await;
        for (subject, record) in [("alice", &record), ("root", &other)] {
            let is_readable = record
                .windows(subject.len())
                .any(|it| it == subject.as_bytes());
            assert!(!is_readable, "{subject}");
        }
        let changed = change(&record, &other);
        store.0.lock().unwrap().insert(key, changed);
        let credential = credential_at("/ws", ticket.expose_secret());
        let answer = tickets.verify(&credential).await;
        let subject = answer.map(|identity| identity.subject().to_owned());
        let expected = match opens {
            true => Ok("alice".to_owned()),
            false => Err(VerifyError::Invalid),
        };
        table.row(name, format!("{expected:?}"), format!("{subject:?}"));
    }
    table.finish();
}

const PLAIN: &str = r#"{"version":1,"identity":{"subject":"root","scopes":["admin"],"expires_at":null,
    "issued_at":null,"issuer":null,"audience":null,"token_id":null,"single_use":true,
    "session_ends_at":null,"claims":null},"paths":["/ws"],"path":null}"#;

/// Two servers share a store.
#[tokio::test]
async fn ticket_is_valid_only_for_the_paths_of_both_servers() {
    let store = Arc::new(MemoryTickets::new(10));
    let chat: Tickets<_> = Tickets::new(Arc::clone(&store), ["/chat", "/rooms/*"]);
    let shell: Tickets<_> = Tickets::new(Arc::clone(&store), ["/shell", "/rooms/*"]);
    let mut table = Table::new();
    for (bound, path, by_chat, by_shell) in [
        (None, "/chat", true, false),
        (None, "/shell", false, false),
        (None, "/rooms/7", true, true),
        (Some("/chat"), "/chat", true, false),
        (Some("/rooms/7"), "/rooms/7", true, true),
        (Some("/rooms/7"), "/rooms/8", false, false),
        (Some("/rooms/*"), "/rooms/8", false, false),
    ] {
        for (server, opens) in [(&chat, by_chat), (&shell, by_shell)] {
            let binding = Binding {
                path: bound.map(Into::into),
                ..Binding::default()
            };
            let ticket = chat.mint(&Identity::new("alice"), binding).await.unwrap();
            let credential = credential_at(path, ticket.expose_secret());
            let answer = server.verify(&credential).await;
            table.row((bound, path), opens, answer.is_ok());
        }
    }
    table.finish();
}

/// The credential of an upgrade to `path`.
fn credential_at(path: &str, ticket: &str) -> Credential {
    let handshake = Handshake {
        upgrade: true,
        ..Handshake::new(path)
    };
    Credential::new(Carrier::Query, Scheme::Bearer, ticket).presented_with(handshake)
}

async fn ws(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        let name = socket.identity().subject().to_owned();
        let _ = socket.send(name.into()).await;
    })
}

async fn fails(_: GuardedUpgrade) -> Response {
    panic!("the handler is broken")
}

/// Mints at `/ticket`, and redeems at every other path.
fn app<T: TicketStore>(tickets: &Arc<Tickets<T>>, identity: Identity) -> Router {
    let by_ticket = Profile::new("ticket").carrier(QueryCarrier::named("ticket"));
    Router::new()
        .route("/ticket", post(mint_handler(tickets)))
        .route_layer(AuthLayer::new(Accepting::token("t0k", identity)))
        .merge(
            Router::new()
                .route("/ws", any(ws))
                .route("/other", any(ws))
                .route("/elsewhere", any(ws))
                .route("/fails", any(fails))
                .route_layer(AuthLayer::new(Arc::clone(tickets)).profile(by_ticket))
                .layer(tower_http::catch_panic::CatchPanicLayer::new()),
        )
}

const PATHS: [&str; 3] = ["/ws", "/other", "/fails"];

async fn mint(client: &TestClient, body: &str, origin: Option<&str>) -> (u16, String) {
    let mut request = client.post("/ticket").bearer("t0k").body(body.to_owned());
    if let Some(origin) = origin {
        request = request.origin(origin);
    }
    let response = request.send().await;
    let ticket = response
        .text()
        .split('"')
        .nth(if response.text().starts_with("{\"ticket") {
            3
        } else {
            5
        })
        .unwrap_or_default()
        .to_owned();
    (response.status().as_u16(), ticket)
}

async fn redeem(client: &TestClient, path: &str, ticket: &str, origin: Option<&str>) -> String {
    let mut request = client.websocket(&format!("{path}?ticket={ticket}"));
    if let Some(origin) = origin {
        request = request.origin(origin);
    }
    match request.connect().await {
        Ok(mut socket) => socket.text().await,
        Err(response) => response.status().as_u16().to_string(),
    }
}

#[tokio::test(start_paused = true)]
async fn ticket_is_redeemed_once_for_its_path_in_time() {
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        let tickets: Arc<Tickets> = Arc::new(Tickets::in_memory(PATHS));
        let client = version.client(app(&tickets, Identity::new("alice")));
        let new = async |body: &str| {
            let (status, ticket) = mint(&client, body, None).await;
            assert_eq!((status, ticket.len()), (200, 22), "{ticket}");
            ticket
        };

        let ticket = new("").await;
        table.row(
            (version, "first"),
            "alice",
            redeem(&client, "/ws", &ticket, None).await,
        );
        table.row(
            (version, "again"),
            "401",
            redeem(&client, "/ws", &ticket, None).await,
        );
        // A failed redemption consumes the ticket.
        let ticket = new("").await;
        table.row(
            (version, "path"),
            "401",
            redeem(&client, "/elsewhere", &ticket, None).await,
        );
        table.row(
            (version, "path, then"),
            "401",
            redeem(&client, "/ws", &ticket, None).await,
        );
        let ticket = new(r#"{"path":"/other"}"#).await;
        table.row(
            (version, "one path"),
            "401",
            redeem(&client, "/ws", &ticket, None).await,
        );
        table.row(
            (version, "one path, then"),
            "401",
            redeem(&client, "/other", &ticket, None).await,
        );
        let ticket = new(r#"{"path":"/other"}"#).await;
        table.row(
            (version, "its path"),
            "alice",
            redeem(&client, "/other", &ticket, None).await,
        );
        // A handshake that fails after the redemption.
        let ticket = new("").await;
        table.row(
            (version, "fails"),
            "500",
            redeem(&client, "/fails", &ticket, None).await,
        );
        table.row(
            (version, "fails, then"),
            "401",
            redeem(&client, "/ws", &ticket, None).await,
        );
        // An ordinary request is refused and does not consume the ticket.
        let ticket = new("").await;
        let get = client.get(&format!("/ws?ticket={ticket}")).send().await;
        table.row((version, "GET"), 401, get.status().as_u16());
        table.row(
            (version, "GET, then"),
            "alice",
            redeem(&client, "/ws", &ticket, None).await,
        );
        // Not a ticket.
        for invalid in ["x", "AAAAAAAAAAAAAAAAAAAAAA", "!!!!!!!!!!!!!!!!!!!!!!"] {
            table.row(
                (version, invalid),
                "401",
                redeem(&client, "/ws", invalid, None).await,
            );
        }
        // One millisecond before and after the expiry.
        let millisecond = Duration::from_millis(1);
        for (wait, expected) in [(30_000 - 1, "alice"), (30_000 + 1, "401")] {
            let ticket = new("").await;
            tokio::time::advance(wait * millisecond).await;
            table.row(
                (version, wait),
                expected,
                redeem(&client, "/ws", &ticket, None).await,
            );
        }
    }
    table.finish();
}

/// A password with another user name consumes the ticket.
#[tokio::test]
async fn ticket_as_a_password_requires_the_user_name_of_its_subject() {
    let passwords = || Profile::new("passwords").carrier(AuthorizationCarrier::basic());
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        for (name, expected) in [("alice", "open"), ("mallory", "401"), ("", "401")] {
            let tickets: Arc<Tickets> = Arc::new(Tickets::in_memory(PATHS));
            let alice = Identity::new("alice");
            let ticket = tickets.mint(&alice, Binding::default()).await.unwrap();
            let app = Router::new()
                .route("/ws", any(ws))
                .route_layer(AuthLayer::new(Arc::clone(&tickets)).profile(passwords()));
            let pair = STANDARD.encode(format!("{name}:{}", ticket.expose_secret()));
            for expected in [expected, "401"] {
                let handshake = version.client(app.clone()).websocket("/ws");
                let handshake = handshake.header("authorization", format!("Basic {pair}"));
                let status = handshake_status(&handshake.connect().await);
                table.row((version, name), expected, status);
            }
        }
    }
    table.finish();
}

#[tokio::test(start_paused = true)]
async fn ticket_bound_to_an_origin_is_refused_from_another() {
    const PAGE: Option<&str> = Some("https://app.example.com");
    const EVIL: Option<&str> = Some("https://evil.example");
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        let tickets: Arc<Tickets> = Arc::new(Tickets::in_memory(PATHS).bind_origin());
        let client = version.client(app(&tickets, Identity::new("alice")));
        for (minted, redeemed, expected) in [
            (PAGE, PAGE, "alice"),
            (PAGE, EVIL, "401"),
            (PAGE, None, "401"),
            (None, PAGE, "401"),
            (None, None, "alice"),
        ] {
            let (_, ticket) = mint(&client, "", minted).await;
            let row = (version, minted, redeemed);
            table.row(
                row,
                expected,
                redeem(&client, "/ws", &ticket, redeemed).await,
            );
            table.row(
                (row, "then"),
                "401",
                redeem(&client, "/ws", &ticket, minted).await,
            );
        }
    }
    table.finish();
}

#[tokio::test(start_paused = true)]
async fn ticket_bound_to_an_address_is_refused_from_another() {
    use axum::extract::connect_info::MockConnectInfo;
    use std::net::SocketAddr;

    let tickets: Arc<Tickets> = Arc::new(Tickets::in_memory(PATHS).bind_peer());
    let app = app(&tickets, Identity::new("alice"));
    let at = |last: u8, port| {
        // axum's extractor reads `MockConnectInfo`, and the layers read `ConnectInfo`.
        let peer = SocketAddr::from(([127, 0, 0, last], port));
        let app = app.clone().layer(MockConnectInfo(peer));
        app.layer(axum::Extension(axum::extract::ConnectInfo(peer)))
    };
    for version in HttpVersion::ALL {
        let (_, ticket) = mint(&version.client(at(1, 1)), "", None).await;
        let same = version.client(at(1, 2));
        assert_eq!(
            redeem(&same, "/ws", &ticket, None).await,
            "alice",
            "another port"
        );
        let (_, ticket) = mint(&version.client(at(1, 1)), "", None).await;
        let other = version.client(at(2, 1));
        assert_eq!(redeem(&other, "/ws", &ticket, None).await, "401");
        assert_eq!(redeem(&same, "/ws", &ticket, None).await, "401", "consumed");
    }
}

#[tokio::test(start_paused = true)]
async fn mint_endpoint_validates_requests_and_reports_a_full_store() {
    let alice = || Identity::new("alice");
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        let tickets: Arc<Tickets> = Arc::new(Tickets::in_memory(PATHS));
        let client = version.client(app(&tickets, alice()));
        let long = format!(r#"{{"path":"{}"}}"#, "a".repeat(2_000));
        for (body, expected) in [
            ("", 200),
            ("{}", 200),
            (r#"{"path":"/ws"}"#, 200),
            (r#"{"path":"/nowhere"}"#, 400),
            (r#"{"paths":"/ws"}"#, 400),
            ("[]x", 400),
            (&long, 400),
        ] {
            table.row((version, body), expected, mint(&client, body, None).await.0);
        }
        let anonymous = client.post("/ticket").send().await;
        table.row((version, "no token"), 401, anonymous.status().as_u16());

        let small: Arc<Tickets> = Arc::new(Tickets::new(MemoryTickets::new(1), PATHS));
        let client = version.client(app(&small, alice()));
        table.row(
            (version, "empty store"),
            200,
            mint(&client, "", None).await.0,
        );
        table.row(
            (version, "full store"),
            429,
            mint(&client, "", None).await.0,
        );
        tokio::time::advance(31 * SECOND).await;
        table.row(
            (version, "store after expiry"),
            200,
            mint(&client, "", None).await.0,
        );

        let unavailable: Arc<Tickets<UnavailableStore>> =
            Arc::new(Tickets::new(UnavailableStore, PATHS));
        let client = version.client(app(&unavailable, alice()));
        table.row(
            (version, "unavailable store"),
            503,
            mint(&client, "", None).await.0,
        );
        table.row(
            (version, "unavailable store, redeemed"),
            "503",
            redeem(&client, "/ws", "AAAAAAAAAAAAAAAAAAAAAA", None).await,
        );

        // A verifier may have a leeway. A ticket has none.
        let ended = std::time::SystemTime::now() - 10 * SECOND;
        let expired = Identity::builder("alice").expires_at(ended).build();
        let client = version.client(app(&tickets, expired));
        table.row((version, "expired"), 401, mint(&client, "", None).await.0);
    }
    table.finish();
}
