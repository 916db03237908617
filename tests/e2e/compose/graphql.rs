//! async-graphql's subscriptions behind `AuthLayer`: the token rides beside `graphql-transport-ws`,
//! and that is what is selected.

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

use super::{Probe, clients, entry, note};

const PROTOCOL: &str = "graphql-transport-ws";

/// A service of async-graphql's own, and a handler that hands the identity to the resolvers.
const ROUTES: [(&str, &str); 2] = [("/service", "nobody"), ("/handler", "alice")];

#[tokio::test]
async fn a_subscription_delivers() {
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
    let seen = probe.text();
    let line = format!("\nsec-websocket-protocol: {PROTOCOL}");
    assert_eq!(seen.matches(&line).count(), probe.requests());
    assert_eq!(leaks(&seen, &[token]), [""; 0]);
}

#[tokio::test]
async fn without_a_good_token_nothing_is_called() {
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

/// The whole of a subscription, as the `graphql-ws` client opens it.
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
        let subject = identity.map_or("nobody", Identity::subject);
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
        .route_layer(from_fn_with_state(probe.clone(), note))
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
