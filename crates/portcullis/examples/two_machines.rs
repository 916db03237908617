//! Two servers that share tickets and revocations through Redis or Valkey.
//!
//! ```sh
//! redis-server --port 6379 &
//! cargo run -p portcullis --example two_machines -- 127.0.0.1:3000 redis://127.0.0.1:6379 &
//! cargo run -p portcullis --example two_machines -- 127.0.0.1:3001 redis://127.0.0.1:6379 &
//! ```
//!
//! A ticket of the first server opens a socket on the second. A logout on the first server closes
//! it:
//!
//! ```sh
//! token='Authorization: Bearer s3cret'
//! curl -s -X POST -H "$token" http://127.0.0.1:3000/ticket
//! curl -i -m 60 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
//!   -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' "http://127.0.0.1:3001/ws?ticket=$ticket" &
//! curl -i -X POST -H "$token" http://127.0.0.1:3000/logout
//! ```

use std::error::Error;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{any, post};
use portcullis::carrier::QueryCarrier;
use portcullis::session::Revocation;
use portcullis::ws::mint_handler;
use portcullis::{
    AuthLayer, GuardedUpgrade, Identity, Profile, Sessions, StaticTokens, Tickets, VerifyExt,
    any_of,
};
use portcullis_redis::{Redis, RedisRevocations, RedisTickets};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:3000".into());
    let redis = arguments.next().unwrap_or("redis://127.0.0.1:6379".into());

    let redis = Redis::open(&redis)?;
    let sessions = Sessions::builder()
        .revocations(RedisRevocations::new(&redis))
        .build();
    // Do not serve before all revocations are known.
    sessions.synchronized().await;

    // A static token has no issue time. "Issued now" lets the user in again after a logout.
    let users = StaticTokens::new([("alice", "s3cret")])?
        .map(|identity: Identity| identity.to_builder().issued_at(SystemTime::now()).build());
    let tickets = Arc::new(Tickets::new(RedisTickets::new(&redis), ["/ws"]));
    let profile = Profile::default().carrier(QueryCarrier::named("ticket"));
    let auth = AuthLayer::new(any_of((users, Arc::clone(&tickets))))
        .profile(profile)
        .sessions(&sessions);

    let app = Router::new()
        .route("/ws", any(ws))
        .route("/ticket", post(mint_handler(&tickets)))
        .route("/logout", post(log_out))
        .route_layer(auth)
        .with_state(sessions);
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

/// Closes all sockets of the user, on both servers.
async fn log_out(State(sessions): State<Sessions>, identity: Identity) -> StatusCode {
    match sessions.revoke(Revocation::subject_of(&identity)).await {
        Ok(_) => StatusCode::NO_CONTENT,
        // Redis is unavailable. The sockets of this server are closed; the client should retry.
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn ws(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        let hello = format!("Hello, {}!", socket.identity().subject());
        let _ = socket.send(hello.into()).await;
        while let Some(Ok(_)) = socket.recv().await {}
    })
}
