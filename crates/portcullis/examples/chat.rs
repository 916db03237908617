//! A chat room with static tokens, and a page that opens the socket.
//!
//! ```sh
//! cargo run -p portcullis --example chat
//! ```
//!
//! Open the page in two tabs, with the tokens `s3cret` and `hunter2`. Or use a shell:
//!
//! ```sh
//! handshake() { curl -si -m 1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' \
//!   -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' \
//!   http://127.0.0.1:3000/ws "$@" | head -1; }
//! handshake                                       # HTTP/1.1 401 Unauthorized
//! handshake -H 'Authorization: Bearer s3cret'     # HTTP/1.1 101 Switching Protocols
//! ```

use std::error::Error;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::Message;
use axum::response::{Html, Response};
use axum::routing::{any, get};
use portcullis::{AuthLayer, GuardedUpgrade, Identity, StaticTokens};
use tokio::sync::broadcast::{self, Sender};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);

    let tokens = StaticTokens::new([("alice", "s3cret"), ("bob", "hunter2")])?;
    let (room, _) = broadcast::channel(100);
    let app = Router::new()
        .route("/ws", any(join))
        .route_layer(AuthLayer::new(tokens)) // protects the routes above
        .route("/", get(async || Html(PAGE)))
        .with_state(room);
    axum::serve(listener, app).await?;
    Ok(())
}

async fn join(
    State(room): State<Sender<String>>,
    identity: Identity,
    upgrade: GuardedUpgrade,
) -> Response {
    let upgrade = upgrade.protocols(["chat.v2"]);
    upgrade.on_upgrade(async move |mut socket| {
        let mut lines = room.subscribe();
        loop {
            tokio::select! {
                Ok(line) = lines.recv() => {
                    if socket.send(line.into()).await.is_err() {
                        return;
                    }
                }
                message = socket.recv() => match message {
                    Some(Ok(Message::Text(text))) => {
                        let _ = room.send(format!("{}: {text}", identity.subject()));
                    }
                    Some(Ok(_)) => {}
                    // The client has left, or the session has ended.
                    _ => return,
                },
            }
        }
    })
}

const PAGE: &str = r#"<!doctype html>
<meta charset="utf-8">
<title>Chat</title>
<form id="join"><input name="token" placeholder="token"><button>Join</button></form>
<form id="say"><input name="text" autocomplete="off"><button>Send</button></form>
<pre id="lines"></pre>
<script>
  function openSocket(url, protocol, token) {
    const bytes = new TextEncoder().encode(token);
    const base64url = btoa(String.fromCharCode(...bytes))
      .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
    return new WebSocket(url, [protocol, "v1.bearer." + base64url]);
  }
  const [join, say, lines] = ["join", "say", "lines"].map(id => document.getElementById(id));
  let socket;
  join.onsubmit = () => {
    socket = openSocket(`ws://${location.host}/ws`, "chat.v2", join.token.value);
    socket.onmessage = message => lines.append(message.data + "\n");
    socket.onclose = close => lines.append(`closed with ${close.code}\n`);
    return false;
  };
  say.onsubmit = () => { socket?.send(say.text.value); say.reset(); return false; };
</script>
"#;
