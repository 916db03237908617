use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::Error;
use axum::extract::ws::Message;
use axum::extract::{FromRequestParts, OriginalUri};
use axum::response::Response;
use http::HeaderMap;
use http::request::Parts;
use portcullis::{GuardedSocket, GuardedUpgrade};
use serde::Serialize;

/// Sends a description of the request, then echoes every message.
pub(crate) async fn socket(request: RequestView, upgrade: GuardedUpgrade) -> Response {
    let upgrade = upgrade.protocols(["chat.v2", "chat.v1"]);
    let request = request.with_offer(&upgrade);
    upgrade.on_upgrade(async move |socket| {
        // An error means that the socket is closed.
        let _ = serve(socket, request).await;
    })
}

async fn serve(mut socket: GuardedSocket, request: RequestView) -> Result<(), Error> {
    socket.send(request.describe(&socket)).await?;
    while let Some(message) = socket.recv().await {
        echo(&mut socket, message?).await?;
    }
    Ok(())
}

/// Sends a text or binary message back.
pub(crate) async fn echo(socket: &mut GuardedSocket, message: Message) -> Result<(), Error> {
    match message {
        Message::Text(_) | Message::Binary(_) => socket.send(message).await,
        _ => Ok(()),
    }
}

/// The parts of a request that a handler can see.
///
/// The page and the tests check that they contain no credential.
#[derive(Clone, Serialize)]
pub(crate) struct RequestView {
    #[serde(rename = "offered")]
    offered_protocols: Vec<String>,
    uri: String,
    original_uri: String,
    headers: BTreeMap<String, String>,
}

impl RequestView {
    /// Adds the subprotocols that the client offers.
    pub(crate) fn with_offer(mut self, upgrade: &GuardedUpgrade) -> Self {
        self.offered_protocols = upgrade.requested_protocols().iter().map(text).collect();
        self
    }

    /// Returns the first message of a socket: the request, the identity and the session as JSON.
    pub(crate) fn describe(&self, socket: &GuardedSocket) -> Message {
        let (identity, session) = (socket.identity(), socket.session());
        let description = Description {
            subject: identity.subject(),
            carrier: identity.proof().map(|proof| proof.carrier.as_str()),
            scheme: identity.proof().map(|proof| proof.scheme.as_str()),
            session: session.id().to_string(),
            expires_in: session.expires_in().as_secs(),
            protocol: socket.protocol().map(|protocol| text(protocol.as_bytes())),
            request: self,
        };
        let description = serde_json::to_string(&description).unwrap_or_default();
        Message::Text(description.into())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestView {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let OriginalUri(original_uri) = OriginalUri::from_request_parts(parts, state).await?;
        Ok(Self {
            offered_protocols: Vec::new(),
            uri: parts.uri.to_string(),
            original_uri: original_uri.to_string(),
            headers: join_headers(&parts.headers),
        })
    }
}

#[derive(Serialize)]
struct Description<'a> {
    subject: &'a str,
    carrier: Option<&'static str>,
    scheme: Option<&'static str>,
    session: String,
    expires_in: u64,
    protocol: Option<String>,
    #[serde(flatten)]
    request: &'a RequestView,
}

/// Joins the values of each header with commas.
fn join_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let join = |name| {
        let values = headers.get_all(name).iter();
        let values: Vec<_> = values.map(|value| text(value.as_bytes())).collect();
        values.join(", ")
    };
    let names = headers.keys();
    names.map(|name| (name.to_string(), join(name))).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
