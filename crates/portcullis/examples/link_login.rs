//! A link with `?token=` that logs the browser in. The token moves into an encrypted cookie, which
//! also authenticates the socket.
//!
//! ```sh
//! cargo run -p portcullis --example link_login
//! ```
//!
//! Open the link that the server prints. The page has no token in its address, greets the user, and
//! opens a socket.

use std::error::Error;

use axum::extract::Request;
use axum::response::{AppendHeaders, Html, IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Router, ServiceExt};
use portcullis::carrier::QueryCarrier;
use portcullis::seal::{CookieKey, CookieKeys, SealedCookie};
use portcullis::{AuthLayer, GuardedUpgrade, Identity, PersistTokenLayer, Profile, StaticTokens};
use tower::Layer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}/?token=s3cret", listener.local_addr()?);

    let cookie = SealedCookie::new("session", CookieKeys::new(&CookieKey::generate()));
    let profile = Profile::default()
        .carrier(QueryCarrier::named("token"))
        .carrier(cookie.clone());
    let auth = AuthLayer::new(StaticTokens::new([("alice", "s3cret")])?)
        .profile(profile)
        .hosts(["localhost", "127.0.0.1", "::1"])?;
    let links = PersistTokenLayer::for_auth(&auth, cookie.clone());

    let log_out = async move || (AppendHeaders(cookie.removal()), "Goodbye!").into_response();
    let app = Router::new()
        .route("/", get(page))
        .route("/ws", any(ws))
        .route("/logout", post(log_out))
        .route_layer(auth);
    // Around the whole router.
    let app = ServiceExt::<Request>::into_make_service(links.layer(app));
    axum::serve(listener, app).await?;
    Ok(())
}

async fn page(identity: Identity) -> Html<String> {
    Html(format!(
        r#"<!doctype html>
<meta charset="utf-8">
<title>Portcullis</title>
<p>Hello, {}!
<form method="post" action="/logout"><button>Log out</button></form>
<pre id="lines"></pre>
<script>
  // The browser sends the cookie.
  const socket = new WebSocket(`ws://${{location.host}}/ws`);
  socket.onmessage = message => document.getElementById("lines").append(message.data + "\n");
</script>
"#,
        identity.subject() // a name from `StaticTokens`; escape names that users choose
    ))
}

async fn ws(upgrade: GuardedUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        let hello = format!("Hello, {}!", socket.identity().subject());
        let _ = socket.send(hello.into()).await;
        while let Some(Ok(_)) = socket.recv().await {}
    })
}
