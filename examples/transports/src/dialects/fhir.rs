use std::time::SystemTime;

use axum::Error;
use axum::extract::ws::Message;
use axum::response::Response;
use portcullis::{GuardedSocket, GuardedUpgrade};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::echo::{RequestView, echo};

/// Answers each binding as a FHIR server does, and echoes all other messages.
///
/// The description of the request is the first message for a client that authenticated with a
/// header. For a client that authenticated with a binding, it follows the answer to that binding.
pub(crate) async fn socket(request: RequestView, upgrade: GuardedUpgrade) -> Response {
    let request = request.with_offer(&upgrade);
    let is_authenticated = upgrade.session().is_some();
    upgrade.on_upgrade(async move |socket| {
        // An error means that the socket is closed.
        let _ = serve(socket, request, is_authenticated).await;
    })
}

async fn serve(
    mut socket: GuardedSocket,
    request: RequestView,
    is_authenticated: bool,
) -> Result<(), Error> {
    let mut is_described = is_authenticated;
    if is_described {
        socket.send(request.describe(&socket)).await?;
    }
    while let Some(message) = socket.recv().await {
        let message = message?;
        match Request::parse(&message) {
            Request::BindWithToken(name) => {
                let handshake = handshake(name).to_string();
                socket.send(Message::text(handshake)).await?;
                if !is_described {
                    is_described = true;
                    socket.send(request.describe(&socket)).await?;
                }
            }
            Request::Bind(id) => socket.send(Message::text(format!("bound {id}"))).await?,
            Request::Other => echo(&mut socket, message).await?,
        }
    }
    Ok(())
}

/// A message of the client, after the dialect has removed the token.
#[derive(Debug, Eq, PartialEq)]
enum Request<'a> {
    /// `bind-with-token`, with the name of the token in place of the token.
    BindWithToken(&'a str),
    /// `bind` of STU3 and R4, on a socket that was authenticated by its handshake.
    Bind(&'a str),
    Other,
}

impl<'a> Request<'a> {
    fn parse(message: &'a Message) -> Self {
        let Message::Text(text) = message else {
            return Self::Other;
        };
        match text.split_once(' ') {
            Some(("bind-with-token", name)) => Self::BindWithToken(name.trim()),
            Some(("bind", id)) => Self::Bind(id.trim()),
            _ => Self::Other,
        }
    }
}

/// Returns the first notification of an R5 subscription, which confirms the binding.
fn handshake(name: &str) -> Value {
    let now = OffsetDateTime::from(SystemTime::now()).truncate_to_millisecond();
    json!({
        "resourceType": "Bundle",
        "id": Uuid::new_v4(),
        "type": "subscription-notification",
        // Formatting fails only for years after 9999.
        "timestamp": now.format(&Rfc3339).ok(),
        "entry": [{
            "fullUrl": Uuid::new_v4().urn().to_string(),
            "resource": {
                "resourceType": "SubscriptionStatus",
                "status": "active",
                "type": "handshake",
                "eventsSinceSubscriptionStart": "0",
                "subscription": { "reference": format!("Subscription/{name}") },
            },
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bindings_are_recognized() {
        let rows = [
            ("bind-with-token alice", Request::BindWithToken("alice")),
            ("bind 123", Request::Bind("123")),
            ("bind  123\n", Request::Bind("123")),
            ("bind", Request::Other),
            ("binding 123", Request::Other),
            ("", Request::Other),
        ];
        for (text, request) in rows {
            assert_eq!(Request::parse(&Message::text(text)), request, "{text}");
        }
        assert_eq!(
            Request::parse(&Message::binary(&b"bind 123"[..])),
            Request::Other
        );
    }

    #[test]
    fn a_handshake_refers_to_its_subscription() {
        let bundle = handshake("alice");
        let status = &bundle["entry"][0]["resource"];
        assert_eq!(status["subscription"]["reference"], "Subscription/alice");
        let timestamp = bundle["timestamp"].as_str().unwrap();
        assert!(OffsetDateTime::parse(timestamp, &Rfc3339).is_ok());
    }
}
