//! Sockets that use the session cookie of an existing login, here of tower-sessions. Logging out
//! closes the sockets of the login.
//!
//! ```sh
//! cargo run -p portcullis --example existing_login
//!
//! curl -i -c jar -d alice http://127.0.0.1:3000/login
//! curl -i -b jar -m 60 -H 'Origin: http://127.0.0.1:3000' \
//!   -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
//!   -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' http://127.0.0.1:3000/ws &
//! curl -i -b jar -X POST http://127.0.0.1:3000/logout      # closes the socket with 3003
//! ```

use std::error::Error;
use std::time::SystemTime;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{any, post};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::carrier::CookieCarrier;
use portcullis::session::Revocation;
use portcullis::{AuthLayer, Credential, GuardedUpgrade, Identity, Profile, Sessions, VerifyError};
use serde::{Deserialize, Serialize};
use tower_sessions::session::Id;
use tower_sessions::{MemoryStore, Session, SessionManagerLayer, SessionStore};

/// The value that this application stores in a session, under the key `login`.
#[derive(Serialize, Deserialize)]
struct Login {
    id: String,
    user: String,
    at: SystemTime,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);

    let store = MemoryStore::default();
    let sessions = Sessions::default();
    let verifier = {
        let store = store.clone();
        move |cookie| verify(store.clone(), cookie)
    };
    let auth = AuthLayer::new(verifier)
        .profile(Profile::new("login").carrier(CookieCarrier::named("id")))
        .sessions(&sessions);
    let app = Router::new()
        .route("/ws", any(ws))
        .route("/logout", post(log_out))
        .route_layer(auth)
        .route("/login", post(log_in))
        // Outside of `AuthLayer`, which removes the cookie. `false`: this server has no TLS.
        .layer(SessionManagerLayer::new(store).with_secure(false))
        .with_state(sessions);
    axum::serve(listener, app).await?;
    Ok(())
}

/// Looks a session cookie up.
async fn verify(store: MemoryStore, cookie: Credential) -> Result<Identity, VerifyError> {
    let id: Id = cookie.expose_secret().parse().map_err(|_| VerifyError::Invalid)?;
    let record = store.load(&id).await.map_err(|_| VerifyError::unavailable())?;
    let record = record.ok_or(VerifyError::Invalid)?;
    let login = record.data.get("login").cloned().unwrap_or_default();
    let login: Login = serde_json::from_value(login).map_err(|_| VerifyError::Invalid)?;
    Ok(Identity::builder(login.user)
        .token_id(login.id)
        .issued_at(login.at)
        .expires_at(SystemTime::from(record.expiry_date))
        .build())
}

/// Logs in a user. A real server checks a password here.
async fn log_in(session: Session, user: String) -> Result<StatusCode, StatusCode> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let (id, at) = (URL_SAFE_NO_PAD.encode(id), SystemTime::now());
    session.cycle_id().await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let stored = session.insert("login", Login { id, user, at }).await;
    stored.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Logs out, and closes the sockets of this login.
async fn log_out(
    State(sessions): State<Sessions>,
    identity: Identity,
    session: Session,
) -> Result<StatusCode, StatusCode> {
    session.flush().await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    if let Some(login) = identity.token_id() {
        let revoked = sessions.revoke(Revocation::token(login)).await;
        revoked.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn ws(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        let hello = format!("Hello, {}!", socket.identity().subject());
        let _ = socket.send(hello.into()).await;
        while let Some(Ok(_)) = socket.recv().await {}
    })
}
