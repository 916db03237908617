use serde_json::Value;

use super::{
    Accepted, Conversation, Denied, Dialect, Heard, LONGEST_CREDENTIAL, Next, Reaction, spoken,
};

/// The first message is the credential: as it is, or in a field of a JSON object.
///
/// The first form is that of the guide of Python's `websockets`. After it every message is the
/// application's; [`InBandRenewal`](super::InBandRenewal) is for sockets that renew.
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
/// A message that is something else closes the socket as a bad credential does: with the profile's
/// code, 3000 unless set.
#[derive(Clone, Debug)]
pub struct FirstMessage {
    field: Option<Box<str>>,
}

impl FirstMessage {
    /// The message is the token.
    pub fn token() -> Self {
        Self { field: None }
    }

    /// The message is a JSON object, and this field of it is the token.
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
            is_over: admitted,
        })
    }
}

struct First {
    field: Option<Box<str>>,
    is_over: bool,
}

impl Conversation for First {
    fn hear(&mut self, message: Heard<'_>) -> Reaction {
        if self.is_over {
            return Next::Pass.into();
        }
        let token = match (message, &self.field) {
            (Heard::Text(text), None) => Some(text.to_owned()),
            (Heard::Text(text), Some(field)) => field_of(text, field),
            (Heard::Binary(_), _) => None,
        };
        match token.filter(|token| is_credential(token)) {
            Some(token) => Next::Verify(spoken(token)).into(),
            // It is no credential, which closes the socket.
            None => Next::Pass.into(),
        }
    }

    fn judged(&mut self, judgement: Result<&Accepted, &Denied>) -> Reaction {
        match judgement {
            Ok(_) => {
                self.is_over = true;
                Next::Wait.into()
            }
            // There is no second try; the profile says by which code.
            Err(_) => Next::Pass.into(),
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

/// Whether it is worth a question.
pub(super) fn is_credential(token: &str) -> bool {
    !token.is_empty() && token.len() <= LONGEST_CREDENTIAL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_for_a_credential() {
        let long = "a".repeat(LONGEST_CREDENTIAL + 1);
        let rows: [(FirstMessage, Heard<'_>, Option<&str>); 9] = [
            (FirstMessage::token(), Heard::Text("t"), Some("t")),
            (FirstMessage::token(), Heard::Text(""), None),
            (FirstMessage::token(), Heard::Text(&long), None),
            (FirstMessage::token(), Heard::Binary(b"t"), None),
            (
                FirstMessage::field("token"),
                Heard::Text(r#"{"token":"t","x":1}"#),
                Some("t"),
            ),
            (
                FirstMessage::field("token"),
                Heard::Text(r#"{"token":7}"#),
                None,
            ),
            (FirstMessage::field("token"), Heard::Text(r#"["t"]"#), None),
            (FirstMessage::field("token"), Heard::Text("t"), None),
            (
                FirstMessage::field("a"),
                Heard::Text(r#"{"token":"t"}"#),
                None,
            ),
        ];
        for (dialect, message, token) in rows {
            match (dialect.begin(false).hear(message).next, token) {
                (Next::Verify(credential), Some(token)) => {
                    assert_eq!(credential.expose_secret(), token);
                }
                (Next::Pass, None) => {}
                (next, token) => panic!("{dialect:?} {message:?}: {next:?}, not {token:?}"),
            }
        }
        let admitted = FirstMessage::token().begin(true).hear(Heard::Text("hello"));
        assert!(matches!(admitted.next, Next::Pass));
    }
}
