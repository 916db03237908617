use std::collections::BTreeMap;

use axum::extract::OriginalUri;
use axum::extract::ws::Message;
use axum::response::Response;
use http::{HeaderMap, Uri};
use portcullis::{GuardedUpgrade, Identity};
use serde::Serialize;

/// What the handler sees of the request. There is no secret left in it.
#[derive(Serialize)]
struct Hello {
    subject: String,
    carrier: Option<&'static str>,
    scheme: Option<&'static str>,
    protocol: Option<String>,
    offered: Vec<String>,
    uri: String,
    original_uri: String,
    headers: BTreeMap<String, String>,
}

/// Says what it sees, then echoes.
pub(crate) async fn socket(
    identity: Identity,
    uri: Uri,
    OriginalUri(original_uri): OriginalUri,
    headers: HeaderMap,
    upgrade: GuardedUpgrade,
) -> Response {
    let upgrade = upgrade.protocols(["chat.v2", "chat.v1"]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let hello = Hello {
        subject: identity.subject().to_owned(),
        carrier: identity.proof().map(|proof| proof.carrier.as_str()),
        scheme: identity.proof().map(|proof| proof.scheme.as_str()),
        protocol: upgrade
            .selected_protocol()
            .map(|protocol| text(protocol.as_bytes())),
        offered: upgrade.requested_protocols().iter().map(text).collect(),
        uri: uri.to_string(),
        original_uri: original_uri.to_string(),
        headers: headers
            .keys()
            .map(|name| {
                let lines: Vec<_> = headers
                    .get_all(name)
                    .iter()
                    .map(|line| text(line.as_bytes()))
                    .collect();
                (name.to_string(), lines.join(", "))
            })
            .collect(),
    };
    let hello = serde_json::to_string(&hello).unwrap_or_default();
    upgrade.on_upgrade(async move |mut socket| {
        if socket.send(Message::Text(hello.into())).await.is_err() {
            return;
        }
        while let Some(Ok(message)) = socket.recv().await {
            if matches!(message, Message::Text(_) | Message::Binary(_))
                && socket.send(message).await.is_err()
            {
                return;
            }
        }
    })
}
