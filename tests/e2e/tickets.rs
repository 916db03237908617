//! A ticket opens one socket, on the paths it was minted for, within its lifetime.

use futures_util::future;
use http::StatusCode;
use portcullis_e2e::{RedisServer, Server, fetch, get, python, request};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::guarded::{Guarded, Socket, json_of};

const MARKER: &str = "v1.ticket";

#[tokio::test]
async fn a_ticket_can_be_redeemed_by_each_carrier() {
    let guarded = Guarded::start(&["--token-lifetime", "3600"]);
    let alice = guarded.alice();

    let ticket = guarded.ticket(alice).await;
    let mut socket = by_query(&guarded, &ticket).await.expect("it is valid");
    let hello = socket.receive_json().await;
    assert_eq!(hello["subject"], "alice");
    assert!(!hello.to_string().contains(&ticket), "{hello}");
    socket.assert_echoes().await;

    let ticket = guarded.ticket(&guarded.bob).await;
    let socket = by_subprotocol(&guarded, &ticket).await;
    let mut socket = socket.expect("it is valid");
    assert_eq!(socket.protocol.as_deref(), Some(MARKER));
    let hello = socket.receive_json().await;
    assert_eq!(hello["subject"], "bob");
    assert!(!hello.to_string().contains(&ticket), "{hello}");

    let ticket = guarded.ticket(alice).await;
    let mut socket = guarded.pending("ws/first-message").await;
    socket.send_text(&ticket).await;
    assert_eq!(socket.receive_json().await["subject"], "alice");
    socket.assert_echoes().await;
}

/// The second attempt is refused for each pair of carriers.
#[tokio::test]
async fn a_ticket_can_be_redeemed_once() {
    let guarded = Guarded::start(&[]);
    let ways = [Way::Query, Way::Subprotocol, Way::FirstMessage];
    for first in ways {
        let ticket = guarded.ticket(guarded.alice()).await;
        assert_eq!(redeem(&guarded, &ticket, first).await, Ok(()), "{first:?}");
        for (second, refusal) in ways.into_iter().zip([401, 401, 3000]) {
            let outcome = redeem(&guarded, &ticket, second).await;
            assert_eq!(outcome, Err(refusal), "{first:?}, then {second:?}");
        }
    }
}

#[tokio::test]
async fn one_of_a_hundred_concurrent_redemptions_succeeds() {
    let guarded = Guarded::start(&[]);
    let ticket = guarded.ticket(guarded.alice()).await;
    let attempts = (0..100).map(|_| by_query(&guarded, &ticket));
    let outcomes = future::join_all(attempts).await;
    let (winners, losers): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(winners.len(), 1);
    for loser in losers {
        assert_eq!(loser.err().map(|status| status.as_u16()), Some(401));
    }
}

/// A link preview or a prefetch must not consume the ticket of a socket.
#[tokio::test]
async fn a_request_that_is_not_an_upgrade_does_not_consume_a_ticket() {
    let guarded = Guarded::start(&[]);
    let ticket = guarded.ticket(guarded.alice()).await;
    let url = guarded.url(&format!("ws/ticket?ticket={ticket}"));
    for method in ["GET", "HEAD", "POST"] {
        let response = fetch(request(method, &url, None, "")).await;
        assert!(response.status().is_client_error(), "{method}");
    }
    assert_eq!(redeem(&guarded, &ticket, Way::Query).await, Ok(()));
}

/// The ticket is consumed before the path is compared, so that a client cannot try several paths.
#[tokio::test]
async fn a_ticket_for_one_path_is_consumed_on_another() {
    let guarded = Guarded::start(&[]);
    let mint = async |path: &str| {
        let body = json!({ "path": path });
        guarded
            .request("POST", "ticket", guarded.alice(), &body)
            .await
    };
    let answer = mint("/ws/first-message").await;
    let answer = json_of(&answer);
    let ticket = answer["ticket"].as_str().expect("a ticket");
    guarded.server.keep_secret(ticket);
    assert_eq!(redeem(&guarded, ticket, Way::Query).await, Err(401));
    let lost = redeem(&guarded, ticket, Way::FirstMessage).await;
    assert_eq!(lost, Err(3000));

    let answer = mint("/ws/first-message").await;
    let answer = json_of(&answer);
    let ticket = answer["ticket"].as_str().expect("a ticket");
    guarded.server.keep_secret(ticket);
    let redeemed = redeem(&guarded, ticket, Way::FirstMessage).await;
    assert_eq!(redeemed, Ok(()));

    assert_eq!(mint("/ws/header").await.status(), 400);
}

#[tokio::test]
async fn a_ticket_is_refused_on_routes_without_tickets() {
    let guarded = Guarded::start(&[]);
    for path in ["ws/query?token=", "ws/any?token=", "api/me?token="] {
        let ticket = guarded.ticket(guarded.alice()).await;
        let path = format!("{path}{ticket}");
        let refused = guarded.try_open(&path).await;
        assert_eq!(refused.err().map(|status| status.as_u16()), Some(401));
    }
    let ticket = guarded.ticket(guarded.alice()).await;
    let refused = guarded.try_open_as("ws/header", &ticket).await;
    assert_eq!(refused.err().map(|status| status.as_u16()), Some(401));
    for path in ["ticket", "renew", "revoke", "api/me"] {
        let answer = guarded.request("POST", path, &ticket, &json!({})).await;
        assert!(!answer.status().is_success(), "{path}");
    }
}

#[tokio::test]
async fn a_ticket_needs_a_valid_credential_in_a_header_of_a_post() {
    let guarded = Guarded::start(&[]);
    let wrong = guarded.server.unknown_secret();
    let url = guarded.url("ticket");
    for token in [None, Some(wrong.as_str())] {
        let answer = fetch(request("POST", &url, token, "")).await;
        assert_eq!(answer.status(), 401);
    }
    // A URL is logged, and intermediaries can repeat a GET.
    let alice = guarded.alice();
    let answer = fetch(request("POST", &format!("{url}?token={alice}"), None, "")).await;
    assert_eq!(answer.status(), 401);
    assert!(!get(&url).await.status().is_success());
    let answer = guarded.request("GET", "ticket", alice, &json!({})).await;
    assert_eq!(answer.status(), 405);
}

/// A revocation also covers the tickets of the subject.
#[tokio::test]
async fn a_ticket_of_a_revoked_subject_is_refused() {
    let guarded = Guarded::start(&[]);
    let ticket = guarded.ticket(guarded.alice()).await;
    guarded.revoke(&json!({ "subject": "alice" })).await;
    assert_eq!(redeem(&guarded, &ticket, Way::Query).await, Err(401));
}

#[tokio::test]
async fn a_ticket_of_one_machine_is_redeemed_at_another() {
    let redis = RedisServer::start();
    let [one, other] = [(); 2].map(|()| Guarded::start(&["--redis", &redis.url()]));
    let ticket = one.ticket(one.alice()).await;
    other.server.keep_secret(&ticket);
    assert_eq!(redeem(&other, &ticket, Way::Query).await, Ok(()));
    assert_eq!(redeem(&one, &ticket, Way::Query).await, Err(401));
    assert_eq!(redeem(&other, &ticket, Way::Query).await, Err(401));
}

#[tokio::test]
async fn python_websockets_redeems_tickets() {
    let guarded = Guarded::start(&[]);
    let mut exchanges = Vec::new();
    let ticket = guarded.ticket(guarded.alice()).await;
    let query = format!("ticket={ticket}");
    exchanges.push(json!({ "path": "ws/ticket", "query": query, "send": [null, "echo"] }));
    exchanges.push(json!({ "path": "ws/ticket", "query": query }));
    let ticket = guarded.ticket(guarded.alice()).await;
    let offer = json!([MARKER, format!("{MARKER}.{ticket}")]);
    exchanges.push(json!({ "path": "ws/ticket", "subprotocols": offer }));
    let ticket = guarded.ticket(guarded.alice()).await;
    exchanges.push(json!({ "path": "ws/first-message", "send": [ticket] }));

    let results = exchange(&guarded.server, exchanges).await;
    assert_eq!(results[0]["status"], 101, "{results}");
    assert_eq!(results[0]["received"][1], "echo", "{results}");
    assert_eq!(results[1]["status"], 401, "{results}");
    assert_eq!(results[2]["protocol"], MARKER, "{results}");
    for redeemed in [0, 2, 3] {
        let hello = results[redeemed]["received"][0]
            .as_str()
            .expect("a message");
        let hello: Value = serde_json::from_str(hello).expect("JSON");
        assert_eq!(hello["subject"], "alice", "{results}");
    }
}

async fn exchange(server: &Server, exchanges: Vec<Value>) -> Value {
    let base = server.websocket_base();
    let outcome = python("exchange.py", &[&base], &Value::from(exchanges)).await;
    outcome.unwrap_or_else(|error| panic!("{error}"))
}

/// The carriers of a ticket.
#[derive(Clone, Copy, Debug)]
enum Way {
    Query,
    Subprotocol,
    FirstMessage,
}

/// Redeems a ticket. A refusal has the status of the handshake or the close code.
async fn redeem(guarded: &Guarded, ticket: &str, way: Way) -> Result<(), u16> {
    let status = |status: StatusCode| status.as_u16();
    match way {
        Way::Query => by_query(guarded, ticket).await.map(drop).map_err(status),
        Way::Subprotocol => by_subprotocol(guarded, ticket)
            .await
            .map(drop)
            .map_err(status),
        Way::FirstMessage => {
            let mut socket = guarded.pending("ws/first-message").await;
            socket.send_text(ticket).await;
            match socket.next().await {
                Message::Text(_) => Ok(()),
                Message::Close(Some(frame)) => Err(frame.code.into()),
                other => panic!("{other:?}"),
            }
        }
    }
}

async fn by_query(guarded: &Guarded, ticket: &str) -> Result<Socket, StatusCode> {
    guarded
        .try_open(&format!("ws/ticket?ticket={ticket}"))
        .await
}

async fn by_subprotocol(guarded: &Guarded, ticket: &str) -> Result<Socket, StatusCode> {
    let offer = format!("{MARKER}, {MARKER}.{ticket}");
    let headers = [("sec-websocket-protocol", offer.as_str())];
    Socket::open(&guarded.websocket_url("ws/ticket"), &headers).await
}
