//! JSON Web Tokens with claims. A socket closes when its token expires.
//!
//! ```sh
//! cargo run -p portcullis --example jwt
//! ```
//!
//! Usually an identity provider issues the tokens. This server issues them itself, for thirty
//! seconds, so that you can watch a socket close:
//!
//! ```sh
//! token=$(curl -s http://127.0.0.1:3000/token)
//! curl -i -m 60 -H "Authorization: Bearer $token" \
//!   -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
//!   -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' http://127.0.0.1:3000/ws
//! ```
//!
//! The second argument is the lifetime of a token in seconds.

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::response::Response;
use axum::routing::{any, get};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use portcullis::{AuthLayer, Claims, GuardedUpgrade, Identity, RequireScopeLayer};
use portcullis_jwt::{Algorithm, Jwt, Key};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;

/// The claims of this application. The registered ones become fields of the identity.
#[derive(Deserialize)]
struct Member {
    tenant: u32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:3000".into());
    let lifetime: u64 = arguments.next().unwrap_or("30".into()).parse()?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);

    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    // For the public keys of an identity provider, use `KeySet::from_jwks`.
    let jwt = Jwt::builder(Key::from_secret(Algorithm::HS256, &secret)?)
        .issuer("https://idp.example.com")
        .audience("chat")
        .claims::<Member>()
        .build()?;

    let app = Router::new()
        .route("/ws", any(ws).layer(RequireScopeLayer::all(["chat"])))
        .route_layer(AuthLayer::new(jwt))
        .route("/token", get(async move || issue(&secret, lifetime)));
    axum::serve(listener, app).await?;
    Ok(())
}

async fn ws(identity: Identity, member: Claims<Member>, upgrade: GuardedUpgrade) -> Response {
    let hello = format!("Hello, {} of tenant {}!", identity.subject(), member.tenant);
    upgrade.on_upgrade(async move |mut socket| {
        let _ = socket.send(hello.into()).await;
        // Returns `None` when the token expires.
        while let Some(Ok(message)) = socket.recv().await {
            let _ = socket.send(message).await;
        }
    })
}

/// Signs a token, as an identity provider does.
fn issue(secret: &[u8], lifetime: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("the clock is after 1970").as_secs();
    let claims = json!({
        "iss": "https://idp.example.com", "aud": "chat", "sub": "alice", "scope": "chat",
        "iat": now, "exp": now + lifetime, "tenant": 7,
    });
    let encode = |part: Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encode(json!({ "alg": "HS256" })), encode(claims));
    let mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length is a key");
    let signature = mac.chain_update(&signed).finalize().into_bytes();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
