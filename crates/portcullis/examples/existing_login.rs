//! Sockets that use the session cookie of an existing login, here of tower-sessions. Logging out
//! closes the sockets of the login.
//!
//! ```sh
//! cargo run -p portcullis --example existing_login
//!
//! curl -i -c jar -d alice http://127.0.0.1:3000/login
//! curl -i -b jar -H 'Origin: http://127.0.0.1:3000' \
//!   -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
//!   -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' http://127.0.0.1:3000/ws &
//! curl -i -b jar -X POST http://127.0.0.1:3000/logout      # closes the socket
//! ```

use std::error::Error;
use std::time::SystemTime;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{any, post};
use portcullis::carrier::CookieCarrier;
use portcullis::session::Revocation;
use portcullis::{AuthLayer, Credential, GuardedUpgrade, Identity, Profile, Sessions, VerifyError};
use tower_sessions::session::Id;
use tower_sessions::{MemoryStore, Session, SessionManagerLayer, SessionStore};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);

    let store = MemoryStore::default();
    let sessions = Sessions::default();
    let logins = store.clone();
    let auth = AuthLayer::new(move |cookie| verify(logins.clone(), cookie))
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

/// Maps a session cookie to a user.
async fn verify(store: MemoryStore, cookie: Credential) -> Result<Identity, VerifyError> {
    let id: Option<Id> = cookie.expose_secret().parse().ok();
    let record = store.load(&id.ok_or(VerifyError::Invalid)?).await;
    let record = record.map_err(|_| VerifyError::unavailable())?;
    let record = record.ok_or(VerifyError::Invalid)?;
    let login = record.data.get("login").cloned().unwrap_or_default();
    let login = serde_json::from_value::<(String, String)>(login);
    let (login_id, user) = login.map_err(|_| VerifyError::Invalid)?;
    Ok(Identity::builder(user)
        .token_id(login_id)
        .expires_at(SystemTime::from(record.expiry_date))
        .build())
}

/// Logs a user in. A real server checks a password here.
async fn log_in(session: Session, user: String) -> Result<(), StatusCode> {
    let login_id = getrandom::u64().expect("the system provides randomness");
    let stored = async {
        session.cycle_id().await?;
        session.insert("login", (login_id.to_string(), user)).await
    };
    stored.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

/// Logs a user out, and closes the sockets of this login.
async fn log_out(
    State(sessions): State<Sessions>,
    identity: Identity,
    session: Session,
) -> Result<(), StatusCode> {
    let deleted = session.flush().await;
    deleted.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    if let Some(login) = identity.token_id() {
        let _ = sessions.revoke(Revocation::token(login)).await;
    }
    Ok(())
}

async fn ws(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        let hello = format!("Hello, {}!", socket.identity().subject());
        let _ = socket.send(hello.into()).await;
        while let Some(Ok(_)) = socket.recv().await {}
    })
}
