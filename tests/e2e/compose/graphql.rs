//! async-graphql's subscriptions behind `AuthLayer`: the client offers the token together with
//! `graphql-transport-ws`, and the server selects the latter.

use async_graphql::{Context, Data, EmptyMutation, Object, Schema, Subscription};
use async_graphql_axum::{GraphQLProtocol, GraphQLSubscription, GraphQLWebSocket};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::any;
use futures_util::{Stream, stream};
use portcullis::testing::{Accepting, Message, TestSocket};
use portcullis::{AuthLayer, GuardedUpgrade, Identity};
use portcullis_e2e::{leaks, new_secret};
use serde_json::{Value, json};

use super::{Probe, clients, entry, record};

const PROTOCOL: &str = "graphql-transport-ws";

/// The service of async-graphql, and a handler that passes the identity to the resolvers. Each has the
/// subject that the resolvers see.
const ROUTES: [(&str, &str); 2] = [("/service", "anonymous"), ("/handler", "alice")];

#[tokio::test]
async fn a_subscription_delivers_events() {
    let token = new_secret();
    let (app, probe) = site(&token);
    for client in clients(app) {
        for (path, subject) in ROUTES {
            for offered in [[PROTOCOL, &*entry(&token)], [&*entry(&token), PROTOCOL]] {
                let handshake = client.websocket(path).protocols(offered);
                let mut socket = handshake.connect().await.unwrap();
                assert_eq!(socket.protocol(), Some(PROTOCOL));
                assert_delivers(&mut socket, subject).await;
            }
        }
    }
    assert_eq!(probe.requests(), 2 * 2 * 2);
    let recorded = probe.text();
    let line = format!("\nsec-websocket-protocol: {PROTOCOL}");
    assert_eq!(recorded.matches(&line).count(), probe.requests());
    assert_eq!(leaks(&recorded, &[token]), [""; 0]);
}

#[tokio::test]
async fn a_handshake_without_a_valid_token_reaches_no_handler() {
    let (app, probe) = site(&new_secret());
    for client in clients(app) {
        for (path, _) in ROUTES {
            for offered in [vec![PROTOCOL], vec![PROTOCOL, &entry("another")]] {
                let handshake = client.websocket(path).protocols(offered);
                let refused = handshake.connect().await.unwrap_err();
                assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
            }
        }
    }
    assert_eq!(probe.requests(), 0);
}

/// Runs a subscription as the `graphql-ws` client does, and asserts that its events arrive.
async fn assert_delivers(socket: &mut TestSocket, subject: &str) {
    send(socket, &json!({ "type": "connection_init" })).await;
    assert_eq!(receive(socket).await["type"], "connection_ack");
    let payload = json!({ "query": "subscription { greetings }" });
    send(
        socket,
        &json!({ "id": "1", "type": "subscribe", "payload": payload }),
    )
    .await;
    for word in ["Hello", "Goodbye"] {
        let next = receive(socket).await;
        assert_eq!(next["type"], "next");
        let greeting = &next["payload"]["data"]["greetings"];
        assert_eq!(*greeting, format!("{word}, {subject}"));
    }
    assert_eq!(
        receive(socket).await,
        json!({ "id": "1", "type": "complete" })
    );
}

async fn send(socket: &mut TestSocket, message: &Value) {
    let text = message.to_string();
    socket.send(Message::text(text)).await.unwrap();
}

async fn receive(socket: &mut TestSocket) -> Value {
    serde_json::from_str(&socket.text().await).unwrap()
}

type Api = Schema<Query, EmptyMutation, Greetings>;

struct Query;

#[Object]
impl Query {
    async fn version(&self) -> u32 {
        1
    }
}

struct Greetings;

#[Subscription]
impl Greetings {
    async fn greetings(&self, context: &Context<'_>) -> impl Stream<Item = String> + use<> {
        let identity = context.data_opt::<Identity>();
        let subject = identity.map_or("anonymous", Identity::subject);
        let greetings = ["Hello", "Goodbye"].map(|word| format!("{word}, {subject}"));
        stream::iter(greetings)
    }
}

fn site(token: &str) -> (Router, Probe) {
    let probe = Probe::default();
    let auth = AuthLayer::new(Accepting::token(token, Identity::new("alice")));
    let schema = Schema::new(Query, EmptyMutation, Greetings);
    let app = Router::new()
        .route_service("/service", GraphQLSubscription::new(schema.clone()))
        .route("/handler", any(subscribe))
        .with_state(schema)
        .route_layer(from_fn_with_state(probe.clone(), record))
        .route_layer(auth);
    (app, probe)
}

async fn subscribe(
    State(schema): State<Api>,
    identity: Identity,
    protocol: GraphQLProtocol,
    upgrade: GuardedUpgrade,
) -> Response {
    let mut data = Data::default();
    data.insert(identity);
    upgrade.protocols([PROTOCOL]).on_upgrade(move |socket| {
        GraphQLWebSocket::new(socket, schema, protocol)
            .with_data(data)
            .serve()
    })
}
