use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::extract::ws::Message;
use axum::extract::{FromRequestParts, OriginalUri};
use axum::response::Response;
use http::HeaderMap;
use http::request::Parts;
use portcullis::{GuardedSocket, GuardedUpgrade};
use serde::Serialize;

/// Says what it sees, then echoes.
pub(crate) async fn socket(seen: Seen, upgrade: GuardedUpgrade) -> Response {
    let upgrade = upgrade.protocols(["chat.v2", "chat.v1"]);
    let seen = seen.offered(&upgrade);
    upgrade.on_upgrade(async move |mut socket| {
        if socket.send(seen.hello(&socket)).await.is_err() {
            return;
        }
        while let Some(Ok(message)) = socket.recv().await {
            if !echo(&mut socket, message).await {
                return;
            }
        }
    })
}

/// Sends a message back to where it came from. Whether that worked.
pub(crate) async fn echo(socket: &mut GuardedSocket, message: Message) -> bool {
    match message {
        Message::Text(_) | Message::Binary(_) => socket.send(message).await.is_ok(),
        _ => true,
    }
}

/// What a handler sees of the request. There is no secret left in it.
#[derive(Clone, Serialize)]
pub(crate) struct Seen {
    offered: Vec<String>,
    uri: String,
    original_uri: String,
    headers: BTreeMap<String, String>,
}

impl Seen {
    pub(crate) fn offered(mut self, upgrade: &GuardedUpgrade) -> Self {
        self.offered = upgrade.requested_protocols().iter().map(text).collect();
        self
    }

    /// The first message of a socket. Who is at the other end is known by then, however it was
    /// said.
    pub(crate) fn hello(&self, socket: &GuardedSocket) -> Message {
        let (identity, session) = (socket.identity(), socket.session());
        let hello = Hello {
            subject: identity.subject(),
            carrier: identity.proof().map(|proof| proof.carrier.as_str()),
            scheme: identity.proof().map(|proof| proof.scheme.as_str()),
            session: session.id().to_string(),
            expires_in: session.expires_in().as_secs(),
            protocol: socket.protocol().map(|protocol| text(protocol.as_bytes())),
            seen: self,
        };
        let hello = serde_json::to_string(&hello).unwrap_or_default();
        Message::Text(hello.into())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Seen {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let OriginalUri(original_uri) = OriginalUri::from_request_parts(parts, state).await?;
        Ok(Self {
            offered: Vec::new(),
            uri: parts.uri.to_string(),
            original_uri: original_uri.to_string(),
            headers: lines(&parts.headers),
        })
    }
}

#[derive(Serialize)]
struct Hello<'a> {
    subject: &'a str,
    carrier: Option<&'static str>,
    scheme: Option<&'static str>,
    session: String,
    expires_in: u64,
    protocol: Option<String>,
    #[serde(flatten)]
    seen: &'a Seen,
}

fn lines(headers: &HeaderMap) -> BTreeMap<String, String> {
    let lines = |name| {
        let lines = headers.get_all(name).iter();
        let lines: Vec<_> = lines.map(|line| text(line.as_bytes())).collect();
        lines.join(", ")
    };
    let names = headers.keys();
    names.map(|name| (name.to_string(), lines(name))).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
