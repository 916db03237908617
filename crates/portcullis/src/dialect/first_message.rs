use serde_json::Value;

use crate::carrier::MAX_CREDENTIAL;

use super::{
    Accepted, AuthAction, Conversation, Denied, Dialect, Incoming, MessageAction, Reaction,
    message_credential,
};

/// Authenticates a client by its first message: a token, or a JSON object with a token in a field.
///
/// The authentication guide of Python's `websockets` recommends the first form. All later messages
/// are the application's. To renew credentials on an open socket, use
/// [`InBandRenewal`](super::InBandRenewal).
///
/// ```
/// use portcullis::dialect::FirstMessage;
///
/// // ws.send(token)
/// FirstMessage::token();
/// // ws.send(JSON.stringify({ token, room: 7 }))
/// FirstMessage::field("token");
/// ```
///
/// Any other first message closes the socket with the profile's code for an invalid credential,
/// 3000 by default.
#[derive(Clone, Debug)]
pub struct FirstMessage {
    field: Option<Box<str>>,
}

impl FirstMessage {
    /// Expects the token as the whole message.
    pub fn token() -> Self {
        Self { field: None }
    }

    /// Expects a JSON object with the token in this field.
    pub fn field(name: impl Into<Box<str>>) -> Self {
        Self {
            field: Some(name.into()),
        }
    }
}

impl Dialect for FirstMessage {
    fn begin(&self, admitted: bool) -> Box<dyn Conversation> {
        Box::new(First {
            field: self.field.clone(),
            is_authenticated: admitted,
        })
    }
}

struct First {
    field: Option<Box<str>>,
    is_authenticated: bool,
}

impl Conversation for First {
    fn on_message(&mut self, message: Incoming<'_>) -> Reaction<MessageAction> {
        if self.is_authenticated {
            return MessageAction::Forward.into();
        }
        let token = match (message, &self.field) {
            (Incoming::Text(text), None) => Some(text.to_owned()),
            (Incoming::Text(text), Some(field)) => field_of(text, field),
            (Incoming::Binary(_), _) => None,
        };
        match token.filter(|token| is_credential(token)) {
            Some(token) => MessageAction::Verify(message_credential(token)).into(),
            None => MessageAction::Refuse.into(),
        }
    }

    fn on_verified(&mut self, outcome: Result<&Accepted, &Denied>) -> Reaction<AuthAction> {
        match outcome {
            Ok(_) => {
                self.is_authenticated = true;
                AuthAction::Continue.into()
            }
            Err(_) => AuthAction::Refuse.into(),
        }
    }
}

fn field_of(text: &str, field: &str) -> Option<String> {
    match serde_json::from_str(text).ok()? {
        Value::Object(mut object) => match object.remove(field)? {
            Value::String(token) => Some(token),
            _ => None,
        },
        _ => None,
    }
}

/// Returns whether the token is worth a verification.
pub(super) fn is_credential(token: &str) -> bool {
    !token.is_empty() && token.len() <= MAX_CREDENTIAL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_message_is_the_credential() {
        let long = "a".repeat(MAX_CREDENTIAL + 1);
        let rows: [(FirstMessage, Incoming<'_>, Option<&str>); 9] = [
            (FirstMessage::token(), Incoming::Text("t"), Some("t")),
            (FirstMessage::token(), Incoming::Text(""), None),
            (FirstMessage::token(), Incoming::Text(&long), None),
            (FirstMessage::token(), Incoming::Binary(b"t"), None),
            (
                FirstMessage::field("token"),
                Incoming::Text(r#"{"token":"t","x":1}"#),
                Some("t"),
            ),
            (
                FirstMessage::field("token"),
                Incoming::Text(r#"{"token":7}"#),
                None,
            ),
            (
                FirstMessage::field("token"),
                Incoming::Text(r#"["t"]"#),
                None,
            ),
            (FirstMessage::field("token"), Incoming::Text("t"), None),
            (
                FirstMessage::field("a"),
                Incoming::Text(r#"{"token":"t"}"#),
                None,
            ),
        ];
        for (dialect, message, token) in rows {
            match (dialect.begin(false).on_message(message).action, token) {
                (MessageAction::Verify(credential), Some(token)) => {
                    assert_eq!(credential.expose_secret(), token);
                }
                (MessageAction::Refuse, None) => {}
                (next, token) => panic!("{dialect:?} {message:?}: {next:?}, not {token:?}"),
            }
        }
        let admitted = FirstMessage::token()
            .begin(true)
            .on_message(Incoming::Text("hello"));
        assert!(matches!(admitted.action, MessageAction::Forward));
    }
}
