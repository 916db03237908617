//! Tickets: T31. Once, within thirty seconds, for the path and whoever they are bound to; and used
//! up by whatever goes wrong.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use axum::routing::{any, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis::carrier::{Authorization, Query};
use portcullis::testing::{Accepting, TestClient};
use portcullis::ticket::{Binding, MemoryTickets, Tickets};
use portcullis::{
    AuthLayer, Carrier, Credential, GuardedUpgrade, Handshake, Identity, Profile, Scheme,
    StoreError, TicketKey, TicketStore, Verify, VerifyError, mint_handler,
};

use crate::site::Over;
use crate::table::Table;

#[path = "../../../portcullis-redis/tests/suite/tickets.rs"]
#[allow(dead_code, reason = "the redis tests use the rest")]
mod suite;

/// The store in memory keeps what every store promises.
#[tokio::test(start_paused = true)]
async fn memory_keeps_the_promises() {
    suite::promises(&MemoryTickets::new(100), tokio::time::sleep).await;
    let store = Arc::new(MemoryTickets::new(1_000));
    suite::ledger(&store, tokio::time::sleep).await;
}

/// A thousand who want the same ticket, a hundred times.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_winner() {
    let store = Arc::new(MemoryTickets::new(10));
    assert_eq!(suite::race(&store, 100, 1_000).await, Ok(()));
}

/// The control: a store that looks first and removes later has more winners.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_naive_store_is_caught() {
    let store = Arc::new(Naive(MemoryTickets::new(10)));
    let winners = suite::race(&store, 100, 1_000).await.unwrap_err();
    assert!(winners > 1, "{winners}");
}

struct Naive(MemoryTickets);

impl TicketStore for Naive {
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

/// A store that does not answer.
struct Away;

impl TicketStore for Away {
    async fn put(&self, _: TicketKey, _: Vec<u8>, _: Duration) -> Result<(), StoreError> {
        Err(StoreError::Unavailable)
    }

    async fn take(&self, _: TicketKey) -> Result<Option<Vec<u8>>, StoreError> {
        Err(StoreError::Unavailable)
    }
}

/// A store that somebody else writes to.
#[derive(Default)]
struct Public(Mutex<HashMap<TicketKey, Vec<u8>>>);

impl TicketStore for Public {
    async fn put(&self, key: TicketKey, record: Vec<u8>, _: Duration) -> Result<(), StoreError> {
        self.0.lock().unwrap().insert(key, record);
        Ok(())
    }

    async fn take(&self, key: TicketKey) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().unwrap().remove(&key))
    }
}

/// Whoever has the store knows nobody's name, and makes nobody's identity.
#[tokio::test]
async fn records_are_sealed_to_their_tickets() {
    type Change = fn(&[u8], &[u8]) -> Vec<u8>;
    let changes: [(&str, Change, bool); 5] = [
        ("nothing", |own, _| own.to_vec(), true),
        ("that of another ticket", |_, other| other.to_vec(), false),
        (
            "a bit",
            |own, _| [&own[..9], &[own[9] ^ 1], &own[10..]].concat(),
            false,
        ),
        ("an end", |own, _| own[..own.len() - 1].to_vec(), false),
        ("plain text", |_, _| PLAIN.into(), false),
    ];
    let mut table = Table::new();
    for (name, change, opens) in changes {
        let store = Arc::new(Public::default());
        let tickets: Tickets<(), _> = Tickets::new(Arc::clone(&store), ["/ws"]);
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
        let (ticket, key, own) = mint("alice").await;
        let (_, _, other) = mint("root").await;
        for (subject, record) in [("alice", &own), ("root", &other)] {
            let is_legible = record
                .windows(subject.len())
                .any(|it| it == subject.as_bytes());
            assert!(!is_legible, "{subject}");
        }
        store.0.lock().unwrap().insert(key, change(&own, &other));
        let answer = tickets.verify(&at("/ws", ticket.expose_secret())).await;
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

/// A ticket of one server opens no socket of another that has the same store.
#[tokio::test]
async fn servers_that_share_a_store() {
    let store = Arc::new(MemoryTickets::new(10));
    let chat: Tickets<(), _> = Tickets::new(Arc::clone(&store), ["/chat", "/rooms/*"]);
    let shell: Tickets<(), _> = Tickets::new(Arc::clone(&store), ["/shell", "/rooms/*"]);
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
            let answer = server.verify(&at(path, ticket.expose_secret())).await;
            table.row((bound, path), opens, answer.is_ok());
        }
    }
    table.finish();
}

/// A ticket that comes with an upgrade to `path`.
fn at(path: &str, ticket: &str) -> Credential {
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

/// Mints at `/ticket`, redeems at `/ws`, `/other` and `/fails`.
fn app<T: TicketStore>(tickets: &Arc<Tickets<(), T>>, identity: Identity) -> Router {
    let by_ticket = Profile::new("ticket").carrier(Query::named("ticket"));
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
async fn redemptions() {
    let mut table = Table::new();
    for over in Over::BOTH {
        let tickets: Arc<Tickets> = Arc::new(Tickets::in_memory(PATHS));
        let client = over.client(app(&tickets, Identity::new("alice")));
        let new = async |body: &str| {
            let (status, ticket) = mint(&client, body, None).await;
            assert_eq!((status, ticket.len()), (200, 22), "{ticket}");
            ticket
        };

        let ticket = new("").await;
        table.row(
            (over, "first"),
            "alice",
            redeem(&client, "/ws", &ticket, None).await,
        );
        table.row(
            (over, "again"),
            "401",
            redeem(&client, "/ws", &ticket, None).await,
        );
        // Wrong, and gone with it.
        let ticket = new("").await;
        table.row(
            (over, "path"),
            "401",
            redeem(&client, "/elsewhere", &ticket, None).await,
        );
        table.row(
            (over, "path, then"),
            "401",
            redeem(&client, "/ws", &ticket, None).await,
        );
        let ticket = new(r#"{"path":"/other"}"#).await;
        table.row(
            (over, "one path"),
            "401",
            redeem(&client, "/ws", &ticket, None).await,
        );
        table.row(
            (over, "one path, then"),
            "401",
            redeem(&client, "/other", &ticket, None).await,
        );
        let ticket = new(r#"{"path":"/other"}"#).await;
        table.row(
            (over, "its path"),
            "alice",
            redeem(&client, "/other", &ticket, None).await,
        );
        // A handshake that fails afterwards.
        let ticket = new("").await;
        table.row(
            (over, "fails"),
            "500",
            redeem(&client, "/fails", &ticket, None).await,
        );
        table.row(
            (over, "fails, then"),
            "401",
            redeem(&client, "/ws", &ticket, None).await,
        );
        // An ordinary request is refused, and uses nothing up.
        let ticket = new("").await;
        let get = client.get(&format!("/ws?ticket={ticket}")).send().await;
        table.row((over, "GET"), 401, get.status().as_u16());
        table.row(
            (over, "GET, then"),
            "alice",
            redeem(&client, "/ws", &ticket, None).await,
        );
        // What is none.
        for nonsense in ["x", "AAAAAAAAAAAAAAAAAAAAAA", "!!!!!!!!!!!!!!!!!!!!!!"] {
            table.row(
                (over, nonsense),
                "401",
                redeem(&client, "/ws", nonsense, None).await,
            );
        }
        // A millisecond before the end, and one after it.
        let millisecond = Duration::from_millis(1);
        for (wait, expected) in [(30_000 - 1, "alice"), (30_000 + 1, "401")] {
            let ticket = new("").await;
            tokio::time::advance(wait * millisecond).await;
            table.row(
                (over, wait),
                expected,
                redeem(&client, "/ws", &ticket, None).await,
            );
        }
    }
    table.finish();
}

/// As a password: the name beside it is the subject's, or the ticket is used up for nothing.
#[tokio::test]
async fn beside_a_name() {
    let passwords = || Profile::new("passwords").carrier(Authorization::basic());
    let mut table = Table::new();
    for over in Over::BOTH {
        for (name, expected) in [("alice", "200"), ("mallory", "401"), ("", "401")] {
            let tickets: Arc<Tickets> = Arc::new(Tickets::in_memory(PATHS));
            let alice = Identity::new("alice");
            let ticket = tickets.mint(&alice, Binding::default()).await.unwrap();
            let app = Router::new()
                .route("/ws", any(ws))
                .route_layer(AuthLayer::new(Arc::clone(&tickets)).profile(passwords()));
            let pair = STANDARD.encode(format!("{name}:{}", ticket.expose_secret()));
            for expected in [expected, "401"] {
                let handshake = over.client(app.clone()).websocket("/ws");
                let handshake = handshake.header("authorization", format!("Basic {pair}"));
                let status = match handshake.connect().await {
                    Ok(_) => "200".to_owned(),
                    Err(response) => response.status().as_u16().to_string(),
                };
                table.row((over, name), expected, status);
            }
        }
    }
    table.finish();
}

#[tokio::test(start_paused = true)]
async fn bound_to_an_origin() {
    const PAGE: Option<&str> = Some("https://app.example.com");
    const EVIL: Option<&str> = Some("https://evil.example");
    let mut table = Table::new();
    for over in Over::BOTH {
        let tickets: Arc<Tickets> = Arc::new(Tickets::in_memory(PATHS).bind_origin());
        let client = over.client(app(&tickets, Identity::new("alice")));
        for (minted, redeemed, expected) in [
            (PAGE, PAGE, "alice"),
            (PAGE, EVIL, "401"),
            (PAGE, None, "401"),
            (None, PAGE, "401"),
            (None, None, "alice"),
        ] {
            let (_, ticket) = mint(&client, "", minted).await;
            let row = (over, minted, redeemed);
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
async fn bound_to_an_address() {
    use axum::extract::connect_info::MockConnectInfo;
    use std::net::SocketAddr;

    let tickets: Arc<Tickets> = Arc::new(Tickets::in_memory(PATHS).bind_peer());
    let app = app(&tickets, Identity::new("alice"));
    let at = |last: u8, port| {
        // axum's extractor looks for this one, and our layers for the true one.
        let peer = SocketAddr::from(([127, 0, 0, last], port));
        let app = app.clone().layer(MockConnectInfo(peer));
        app.layer(axum::Extension(axum::extract::ConnectInfo(peer)))
    };
    for over in Over::BOTH {
        let (_, ticket) = mint(&over.client(at(1, 1)), "", None).await;
        let same = over.client(at(1, 2));
        assert_eq!(
            redeem(&same, "/ws", &ticket, None).await,
            "alice",
            "another port"
        );
        let (_, ticket) = mint(&over.client(at(1, 1)), "", None).await;
        let other = over.client(at(2, 1));
        assert_eq!(redeem(&other, "/ws", &ticket, None).await, "401");
        assert_eq!(redeem(&same, "/ws", &ticket, None).await, "401", "used up");
    }
}

/// What minting answers.
#[tokio::test(start_paused = true)]
async fn minting() {
    let alice = || Identity::new("alice");
    let mut table = Table::new();
    for over in Over::BOTH {
        let tickets: Arc<Tickets> = Arc::new(Tickets::in_memory(PATHS));
        let client = over.client(app(&tickets, alice()));
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
            table.row((over, body), expected, mint(&client, body, None).await.0);
        }
        let nobody = client.post("/ticket").send().await;
        table.row((over, "nobody"), 401, nobody.status().as_u16());

        let small: Arc<Tickets> = Arc::new(Tickets::new(MemoryTickets::new(1), PATHS));
        let client = over.client(app(&small, alice()));
        table.row((over, "room"), 200, mint(&client, "", None).await.0);
        table.row((over, "full"), 429, mint(&client, "", None).await.0);
        tokio::time::advance(Duration::from_secs(31)).await;
        table.row((over, "room again"), 200, mint(&client, "", None).await.0);

        let away: Arc<Tickets<(), Away>> = Arc::new(Tickets::new(Away, PATHS));
        let client = over.client(app(&away, alice()));
        table.row((over, "away"), 503, mint(&client, "", None).await.0);
        table.row(
            (over, "away, redeemed"),
            "503",
            redeem(&client, "/ws", "AAAAAAAAAAAAAAAAAAAAAA", None).await,
        );

        // A verifier may have a leeway, and its ticket has none.
        let ended = std::time::SystemTime::now() - Duration::from_secs(10);
        let late = Identity::builder("alice").expires_at(ended).build();
        let client = over.client(app(&tickets, late));
        table.row((over, "ended"), 401, mint(&client, "", None).await.0);
    }
    table.finish();
}
