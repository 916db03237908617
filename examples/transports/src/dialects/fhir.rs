use std::time::SystemTime;

use axum::extract::ws::Message;
use axum::response::Response;
use portcullis::{GuardedSocket, GuardedUpgrade};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::hello::{Seen, echo};

/// Answers each binding as a FHIR server does, and echoes the rest.
///
/// Whoever came with a header hears first what the handler sees; who came with a binding hears it
/// after the answer to that.
pub(crate) async fn socket(seen: Seen, upgrade: GuardedUpgrade) -> Response {
    let seen = seen.offered(&upgrade);
    let admitted = upgrade.session().is_some();
    upgrade.on_upgrade(async move |mut socket| {
        let mut greeted = admitted;
        if greeted && socket.send(seen.hello(&socket)).await.is_err() {
            return;
        }
        while let Some(Ok(message)) = socket.recv().await {
            let goes_on = match Spoken::of(&message) {
                Spoken::BindWithToken(name) => {
                    let bundle = say(&mut socket, handshake(name).to_string()).await;
                    let hello = seen.hello(&socket);
                    let first = !std::mem::replace(&mut greeted, true);
                    bundle && (!first || socket.send(hello).await.is_ok())
                }
                Spoken::Bind(id) => say(&mut socket, format!("bound {id}")).await,
                Spoken::Other => echo(&mut socket, message).await,
            };
            if !goes_on {
                return;
            }
        }
    })
}

/// What a client says, once the dialect has taken the tokens out.
#[derive(Debug, Eq, PartialEq)]
enum Spoken<'a> {
    /// With the name of what the token stands for in its place.
    BindWithToken(&'a str),
    /// STU3 and R4, on a socket that says who it is by other means.
    Bind(&'a str),
    Other,
}

impl<'a> Spoken<'a> {
    fn of(message: &'a Message) -> Self {
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

async fn say(socket: &mut GuardedSocket, text: String) -> bool {
    socket.send(Message::Text(text.into())).await.is_ok()
}

/// The first notification of a subscription (R5): it is bound, and nothing has happened yet.
fn handshake(name: &str) -> Value {
    let now = OffsetDateTime::from(SystemTime::now()).truncate_to_millisecond();
    json!({
        "resourceType": "Bundle",
        "id": Uuid::new_v4(),
        "type": "subscription-notification",
        // The calendar of this machine would have to lie beyond the year 9999.
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
    fn bindings_are_told_from_the_rest() {
        let rows = [
            ("bind-with-token alice", Spoken::BindWithToken("alice")),
            ("bind 123", Spoken::Bind("123")),
            ("bind  123\n", Spoken::Bind("123")),
            ("bind", Spoken::Other),
            ("binding 123", Spoken::Other),
            ("", Spoken::Other),
        ];
        for (text, spoken) in rows {
            assert_eq!(Spoken::of(&Message::text(text)), spoken, "{text}");
        }
        assert_eq!(
            Spoken::of(&Message::binary(&b"bind 123"[..])),
            Spoken::Other
        );
    }

    #[test]
    fn a_handshake_is_about_its_subscription() {
        let bundle = handshake("alice");
        let status = &bundle["entry"][0]["resource"];
        assert_eq!(status["subscription"]["reference"], "Subscription/alice");
        let written = bundle["timestamp"].as_str().unwrap();
        assert!(OffsetDateTime::parse(written, &Rfc3339).is_ok());
    }
}
