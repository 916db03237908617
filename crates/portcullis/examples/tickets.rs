//! Single-use tickets. The long-lived token never appears in a URL.
//!
//! ```sh
//! cargo run -p portcullis --example tickets
//!
//! curl -s -X POST -H 'Authorization: Bearer s3cret' http://127.0.0.1:3000/ticket
//! ```
//!
//! Open the socket with the ticket. It works once, and within thirty seconds:
//!
//! ```sh
//! curl -i -m 1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
//!   -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' "http://127.0.0.1:3000/ws?ticket=$ticket"
//! ```

use std::error::Error;
use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::{any, post};
use portcullis::carrier::QueryCarrier;
use portcullis::ws::mint_handler;
use portcullis::{
    AuthLayer, Claims, GuardedUpgrade, Identity, Profile, StaticTokens, Tickets, VerifyExt,
};
use serde::{Deserialize, Serialize};

/// Claims that a ticket carries from the request that mints it to the socket.
#[derive(Clone, Serialize, Deserialize)]
struct Member {
    tenant: u32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);

    let users = StaticTokens::new([("alice", "s3cret")])?
        .map(|identity: Identity| identity.to_builder().claims(Member { tenant: 7 }).build());
    let tickets = Arc::new(Tickets::in_memory(["/ws"]).with_claims::<Member>());

    // The API accepts tokens. The socket accepts tickets and nothing else.
    let api = Router::new()
        .route("/ticket", post(mint_handler(&tickets)))
        .route_layer(AuthLayer::new(users));
    let by_ticket = Profile::new("ticket").carrier(QueryCarrier::named("ticket"));
    let sockets = Router::new()
        .route("/ws", any(ws))
        .route_layer(AuthLayer::new(tickets).profile(by_ticket));
    axum::serve(listener, api.merge(sockets)).await?;
    Ok(())
}

async fn ws(identity: Identity, member: Claims<Member>, upgrade: GuardedUpgrade) -> Response {
    let hello = format!("Hello, {} of tenant {}!", identity.subject(), member.tenant);
    upgrade.on_upgrade(async move |mut socket| {
        let _ = socket.send(hello.into()).await;
        while let Some(Ok(_)) = socket.recv().await {}
    })
}
