use std::time::Duration;

use serde_json::{Value, json};

use super::first_message::is_credential;
use super::{Accepted, Conversation, Denied, Dialect, Heard, Next, Reaction, may_say, spoken};
use crate::session::RenewError;

/// Renewals on a socket that was opened with a credential as ever:
///
/// ```json
/// → {"type":"auth","token":"…"}
/// ← {"type":"auth","expires_in":3600}
/// ```
///
/// A token that does not renew the session gets `{"type":"auth","error":"…"}`, and the session goes
/// on; one of somebody else closes it. With
/// [`warn_before`](crate::session::SessionsBuilder::warn_before) the client is told
/// `{"type":"auth","expiring_in":60}` when it is time. Every other message is the application's.
///
/// ```
/// use portcullis::dialect::InBandRenewal;
///
/// InBandRenewal::new();
/// // {"type":"renew","access_token":"…"}
/// InBandRenewal::new().message_type("renew").field("access_token");
/// ```
///
/// A request without a credential is refused as ever; [`or_first`](Self::or_first) lets a client
/// say who it is in the same message.
#[derive(Clone, Debug)]
pub struct InBandRenewal {
    message_type: Box<str>,
    field: Box<str>,
    admits_pending: bool,
}

impl InBandRenewal {
    /// With `{"type":"auth","token":…}`.
    pub fn new() -> Self {
        Self {
            message_type: "auth".into(),
            field: "token".into(),
            admits_pending: false,
        }
    }

    /// The `type` of the messages; `auth` unless set.
    #[must_use]
    pub fn message_type(mut self, name: impl Into<Box<str>>) -> Self {
        self.message_type = name.into();
        self
    }

    /// The field with the token; `token` unless set.
    #[must_use]
    pub fn field(mut self, name: impl Into<Box<str>>) -> Self {
        self.field = name.into();
        self
    }

    /// Lets a request in that bears no credential. Its first message has to bring one.
    #[must_use]
    pub fn or_first(mut self) -> Self {
        self.admits_pending = true;
        self
    }
}

impl Default for InBandRenewal {
    fn default() -> Self {
        Self::new()
    }
}

impl Dialect for InBandRenewal {
    fn begin(&self, _: bool) -> Box<dyn Conversation> {
        Box::new(Renewing {
            dialect: self.clone(),
        })
    }

    fn admits_pending(&self) -> bool {
        self.admits_pending
    }
}

struct Renewing {
    dialect: InBandRenewal,
}

impl Conversation for Renewing {
    fn hear(&mut self, message: Heard<'_>) -> Reaction {
        let InBandRenewal {
            message_type,
            field,
            ..
        } = &self.dialect;
        let Heard::Text(text) = message else {
            return Next::Pass.into();
        };
        if !may_say(text, message_type) {
            return Next::Pass.into();
        }
        let Ok(Value::Object(mut object)) = serde_json::from_str(text) else {
            return Next::Pass.into();
        };
        if object.get("type").and_then(Value::as_str) != Some(message_type) {
            return Next::Pass.into();
        }
        match object.remove(&**field) {
            Some(Value::String(token)) if is_credential(&token) => {
                Next::Verify(spoken(token)).into()
            }
            _ => self.error("the message has no token"),
        }
    }

    fn judged(&mut self, judgement: Result<&Accepted, &Denied>) -> Reaction {
        match judgement {
            Ok(accepted) if accepted.later => {
                let seconds = accepted.expires_in.as_secs();
                let reply = json!({ "type": &*self.dialect.message_type, "expires_in": seconds });
                Reaction::from(Next::Wait).reply(reply.to_string())
            }
            Ok(_) => self.error(&RenewError::NotLater.to_string()),
            Err(Denied::NotRenewed(why)) => self.error(&why.to_string()),
            Err(Denied::Unverified(portcullis_core::VerifyError::Unavailable { .. })) => {
                self.error("the token cannot be verified at the moment")
            }
            Err(Denied::Unverified(_)) => self.error("the token is not accepted"),
        }
    }

    fn expiring(&mut self, after: Duration) -> Option<String> {
        let warning = json!({
            "type": &*self.dialect.message_type,
            "expiring_in": after.as_secs(),
        });
        Some(warning.to_string())
    }
}

impl Renewing {
    fn error(&self, why: &str) -> Reaction {
        let reply = json!({ "type": &*self.dialect.message_type, "error": why });
        Reaction::from(Next::Wait).reply(reply.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_messages_are_taken() {
        let rows = [
            (r#"{"type":"auth","token":"t"}"#, "verify"),
            (r#"{"token":"t","type":"auth","more":1}"#, "verify"),
            (r#"{"type":"\u0061uth","token":"t"}"#, "verify"),
            (r#"{"\u0074ype":"auth","token":"t"}"#, "verify"),
            (r#"{"type":"auth"}"#, "wait"),
            (r#"{"type":"auth","token":7}"#, "wait"),
            (r#"{"type":"auth","token":""}"#, "wait"),
            (r#"{"type":"chat","token":"auth"}"#, "pass"),
            (r#"{"type":"chat"}"#, "pass"),
            (r#"["auth"]"#, "pass"),
            ("auth", "pass"),
            ("", "pass"),
        ];
        for (text, expected) in rows {
            let reaction = InBandRenewal::new().begin(true).hear(Heard::Text(text));
            let is = match reaction.next {
                Next::Verify(_) => "verify",
                Next::Wait => "wait",
                Next::Pass => "pass",
                other => panic!("{text}: {other:?}"),
            };
            assert_eq!(is, expected, "{text}");
        }
        let binary = InBandRenewal::new()
            .begin(true)
            .hear(Heard::Binary(br#"{"type":"auth"}"#));
        assert!(matches!(binary.next, Next::Pass));
    }
}
