//! Subscriptions of async-graphql. The client sends its token in `connection_init`.
//!
//! ```sh
//! cargo run -p portcullis --example graphql
//! ```
//!
//! With the package `graphql-ws` in Node:
//!
//! ```js
//! import { createClient } from "graphql-ws";
//!
//! const client = createClient({
//!   url: "ws://127.0.0.1:3000/graphql",
//!   connectionParams: { token: "s3cret" },
//! });
//! for await (const result of client.iterate({ query: "subscription { countdown(from: 3) }" })) {
//!   console.log(result);
//! }
//! ```

use std::error::Error;
use std::time::Duration;

use async_graphql::http::ALL_WEBSOCKET_PROTOCOLS;
use async_graphql::{Context, Data, EmptyMutation, Object, Schema, Subscription};
use async_graphql_axum::{GraphQLProtocol, GraphQLWebSocket};
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::any;
use futures_util::{Stream, stream};
use portcullis::dialect::GraphqlWs;
use portcullis::{AuthLayer, GuardedUpgrade, Identity, StaticTokens};

type Api = Schema<Query, EmptyMutation, Countdown>;

struct Query;

#[Object]
impl Query {
    async fn me(&self, context: &Context<'_>) -> async_graphql::Result<String> {
        Ok(context.data::<Identity>()?.subject().to_owned())
    }
}

struct Countdown;

#[Subscription]
impl Countdown {
    /// Counts down once a second, in the name of the user.
    async fn countdown(
        &self,
        context: &Context<'_>,
        from: u32,
    ) -> async_graphql::Result<impl Stream<Item = String> + use<>> {
        let subject = context.data::<Identity>()?.subject().to_owned();
        Ok(stream::unfold(from, move |left| {
            let line = format!("{subject}: {left}");
            async move {
                let next = left.checked_sub(1)?;
                tokio::time::sleep(Duration::from_secs(1)).await;
                Some((line, next))
            }
        }))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);

    let tokens = StaticTokens::new([("alice", "s3cret")])?;
    let app = Router::new()
        .route("/graphql", any(graphql))
        // Admits sockets without a credential, and waits for `connection_init`.
        .route_layer(AuthLayer::new(tokens).dialect(GraphqlWs::new()))
        .with_state(Schema::new(Query, EmptyMutation, Countdown));
    axum::serve(listener, app).await?;
    Ok(())
}

async fn graphql(
    State(api): State<Api>,
    protocol: GraphQLProtocol,
    upgrade: GuardedUpgrade,
) -> Response {
    let upgrade = upgrade.protocols(ALL_WEBSOCKET_PROTOCOLS);
    // Runs after the client has authenticated.
    upgrade.on_upgrade(async move |socket| {
        let mut data = Data::default();
        data.insert(socket.identity());
        let socket = GraphQLWebSocket::new(socket, api, protocol).with_data(data);
        socket.serve().await;
    })
}
