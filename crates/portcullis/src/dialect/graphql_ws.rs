use std::time::Duration;

use portcullis_core::VerifyError;
use serde_json::{Map, Value, json};

use super::first_message::is_credential;
use super::{
    Accepted, AuthAction, Conversation, Denied, Dialect, Incoming, MessageAction, Reaction,
    may_contain, message_credential,
};
use crate::close::{CloseCodes, CloseFrame};

/// Authenticates clients of GraphQL over WebSocket (`graphql-transport-ws`) by the payload of
/// `connection_init`.
///
/// The payload is `{"token":"…"}`, `{"authToken":"…"}`, or an HTTP header in any case,
/// `{"Authorization":"Bearer …"}`, also inside of `{"headers":{…}}`.
///
/// By default, the application sends `connection_ack`, as `async-graphql` does: its first message
/// is the `connection_init` without the credential. If the application does not answer
/// `connection_init`, call [`acknowledge`](Self::acknowledge).
///
/// | event | close code |
/// |---|---|
/// | no `connection_init` within three seconds | 4408 |
/// | a second `connection_init` | 4429 |
/// | another message before it | 4401 |
/// | a message that is not of the protocol | 4400 |
/// | an invalid credential, or none | 4401 |
/// | an expired credential, or one that does not allow the request | 4403 |
/// | the credential expires while the socket is open | 4403 |
///
/// The client library does not retry after 4401. After 4403 it reconnects with new
/// `connectionParams`.
#[derive(Clone, Debug, Default)]
pub struct GraphqlWs {
    acknowledges: bool,
}

impl GraphqlWs {
    /// Creates the dialect for an application that answers `connection_init` itself.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends `connection_ack` in the dialect; the application does not receive `connection_init`.
    #[must_use]
    pub fn acknowledge(mut self) -> Self {
        self.acknowledges = true;
        self
    }
}

impl Dialect for GraphqlWs {
    fn begin(&self, admitted: bool) -> Box<dyn Conversation> {
        Box::new(Graphql {
            acknowledges: self.acknowledges,
            admitted,
            initialized: false,
            payload: None,
        })
    }

    fn time_limit(&self) -> Duration {
        Duration::from_secs(3)
    }

    fn close_codes(&self) -> Option<CloseCodes> {
        Some(CloseCodes::graphql())
    }
}

struct Graphql {
    acknowledges: bool,
    /// The handshake contained a valid credential.
    admitted: bool,
    initialized: bool,
    /// The payload of `connection_init` without the credential.
    payload: Option<Map<String, Value>>,
}

impl Conversation for Graphql {
    fn on_message(&mut self, message: Incoming<'_>) -> Reaction<MessageAction> {
        let Incoming::Text(text) = message else {
            return close(4400, "Invalid message");
        };
        if self.initialized {
            // Only `connection_init` matters now; most messages need no parsing.
            let is_init = may_contain(text, "connection_init")
                && kind_of(text).is_some_and(|(kind, _)| kind == "connection_init");
            return match is_init {
                true => close(4429, "Too many initialisation requests"),
                false => MessageAction::Forward.into(),
            };
        }
        let Some((kind, payload)) = kind_of(text) else {
            return close(4400, "Invalid message");
        };
        match &*kind {
            "connection_init" => self.initialize(payload),
            "ping" => Reaction::from(MessageAction::Consume).reply(r#"{"type":"pong"}"#),
            "pong" => MessageAction::Consume.into(),
            "subscribe" | "complete" => close(4401, "Unauthorized"),
            _ => close(4400, "Invalid message"),
        }
    }

    fn on_verified(&mut self, outcome: Result<&Accepted, &Denied>) -> Reaction<AuthAction> {
        match outcome {
            Ok(_) => match self.acknowledgement() {
                Acknowledgement::Sent(reply) => Reaction::from(AuthAction::Continue).reply(reply),
                Acknowledgement::Delegated(init) => AuthAction::Deliver(init).into(),
            },
            Err(denied) => {
                let frame = denied.frame(&CloseCodes::graphql());
                let reason = match denied.verify_error() {
                    VerifyError::Expired | VerifyError::Forbidden => "Forbidden",
                    VerifyError::Invalid => "Unauthorized",
                    _ => return AuthAction::Close(frame).into(),
                };
                AuthAction::Close(CloseFrame::new(frame.code(), reason)).into()
            }
        }
    }
}

impl Graphql {
    fn initialize(&mut self, payload: Option<Value>) -> Reaction<MessageAction> {
        self.initialized = true;
        let mut payload = match payload {
            Some(Value::Object(payload)) => payload,
            Some(Value::Null) | None => Map::new(),
            Some(_) => return close(4400, "Invalid message"),
        };
        let mut tokens = take_tokens(&mut payload).into_iter();
        self.payload = Some(payload);
        let token = tokens.next();
        if tokens.any(|other| Some(other) != token) {
            return close(4400, "Invalid message");
        }
        match token {
            Some(token) if is_credential(&token) => {
                MessageAction::Verify(message_credential(token)).into()
            }
            // The handshake has authenticated the client.
            None if self.admitted => match self.acknowledgement() {
                Acknowledgement::Sent(reply) => Reaction::from(MessageAction::Consume).reply(reply),
                Acknowledgement::Delegated(init) => MessageAction::Replace(init).into(),
            },
            _ => close(4401, "Unauthorized"),
        }
    }

    fn acknowledgement(&mut self) -> Acknowledgement {
        let payload = self.payload.take().unwrap_or_default();
        match self.acknowledges {
            true => Acknowledgement::Sent(r#"{"type":"connection_ack"}"#),
            false => {
                let init = json!({ "type": "connection_init", "payload": payload });
                Acknowledgement::Delegated(init.to_string())
            }
        }
    }
}

enum Acknowledgement {
    /// The dialect replies with this.
    Sent(&'static str),
    /// The application gets this `connection_init`, and replies.
    Delegated(String),
}

/// Returns the type and the payload of a message.
fn kind_of(text: &str) -> Option<(String, Option<Value>)> {
    let Ok(Value::Object(mut message)) = serde_json::from_str(text) else {
        return None;
    };
    let Some(Value::String(kind)) = message.remove("type") else {
        return None;
    };
    Some((kind, message.remove("payload")))
}

/// Removes and returns everything that looks like a credential, because the payload is forwarded to
/// the application.
fn take_tokens(payload: &mut Map<String, Value>) -> Vec<String> {
    let mut found: Vec<_> = ["token", "authToken"]
        .iter()
        .filter_map(|name| payload.remove(*name))
        .collect();
    found.extend(take_headers(payload));
    if let Some(Value::Object(headers)) = payload.get_mut("headers") {
        found.extend(take_headers(headers));
    }
    let texts = found.into_iter().filter_map(|value| match value {
        Value::String(token) => Some(without_scheme(token)),
        _ => None,
    });
    texts.collect()
}

/// Removes the `Authorization` entries, in any case.
fn take_headers(headers: &mut Map<String, Value>) -> Vec<Value> {
    let is_authorization = |name: &&String| name.eq_ignore_ascii_case("authorization");
    let names: Vec<_> = headers.keys().filter(is_authorization).cloned().collect();
    names
        .iter()
        .filter_map(|name| headers.remove(name))
        .collect()
}

fn without_scheme(token: String) -> String {
    match token.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => rest.trim().to_owned(),
        _ => token,
    }
}

fn close(code: u16, reason: &'static str) -> Reaction<MessageAction> {
    MessageAction::Close(CloseFrame::new(code, reason)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the actions for messages on a pending socket, one after the other.
    fn converse(messages: &[&str]) -> String {
        let mut conversation = GraphqlWs::new().begin(false);
        let mut said = Vec::new();
        for message in messages {
            let reaction = conversation.on_message(Incoming::Text(message));
            said.extend(reaction.replies);
            said.push(match reaction.action {
                MessageAction::Verify(credential) => {
                    format!("verify {}", credential.expose_secret())
                }
                MessageAction::Close(frame) => frame.code().to_string(),
                MessageAction::Consume => "consume".into(),
                MessageAction::Forward => "forward".into(),
                MessageAction::Replace(text) => text,
                MessageAction::Refuse => "refuse".into(),
            });
        }
        said.join(" ")
    }

    #[test]
    fn messages_before_authentication() {
        let init = r#"{"type":"connection_init","payload":{"token":"t"}}"#;
        let rows: [(&[&str], &str); 17] = [
            (&[init], "verify t"),
            (&[init, init], "verify t 4429"),
            (
                &[init, r#"{"type":"connection\u005finit"}"#],
                "verify t 4429",
            ),
            (&[r#"{"type":"subscribe","id":"1","payload":{}}"#], "4401"),
            (&[r#"{"type":"complete","id":"1"}"#], "4401"),
            (&["{"], "4400"),
            (&["[]"], "4400"),
            (&[r#"{"type":"start"}"#], "4400"),
            (&[r#"{"type":"connection_init"}"#], "4401"),
            (&[r#"{"type":"connection_init","payload":7}"#], "4400"),
            (
                &[r#"{"type":"connection_init","payload":{"authToken":"t"}}"#],
                "verify t",
            ),
            (
                &[r#"{"type":"connection_init","payload":{"AUTHORIZATION":"bearer t"}}"#],
                "verify t",
            ),
            (
                &[
                    r#"{"type":"connection_init","payload":{"headers":{"Authorization":"Bearer t"}}}"#,
                ],
                "verify t",
            ),
            (
                &[
                    r#"{"type":"connection_init","payload":{"token":"t","Authorization":"Bearer t"}}"#,
                ],
                "verify t",
            ),
            (
                &[r#"{"type":"connection_init","payload":{"token":"t","authToken":"u"}}"#],
                "4400",
            ),
            (
                &[r#"{"type":"ping"}"#, init],
                r#"{"type":"pong"} consume verify t"#,
            ),
            (
                &[init, r#"{"type":"subscribe","id":"1"}"#],
                "verify t forward",
            ),
        ];
        for (messages, expected) in rows {
            assert_eq!(converse(messages), expected, "{messages:?}");
        }
    }

    #[test]
    fn the_application_gets_the_payload_without_the_credential() {
        let mut conversation = GraphqlWs::new().begin(true);
        let init = r#"{"type":"connection_init","payload":{"room":7,"headers":{"a":"b"}}}"#;
        match conversation.on_message(Incoming::Text(init)).action {
            MessageAction::Replace(text) => {
                assert!(
                    text.contains(r#""room":7"#) && text.contains(r#""a":"b""#),
                    "{text}"
                );
            }
            other => panic!("{other:?}"),
        }
        let headers = json!({ "authorization": "s3cret", "Authorization": "Bearer s3cret" });
        let mut payload = json!({
            "token": "s3cret", "authToken": "s3cret", "Authorization": "s3cret", "headers": headers,
        });
        let Value::Object(object) = &mut payload else {
            unreachable!()
        };
        assert_eq!(take_tokens(object), ["s3cret"; 5]);
        assert!(!payload.to_string().contains("s3cret"));
    }
}
