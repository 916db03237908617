use std::time::Duration;

use serde_json::{Value, json};

use super::first_message::is_credential;
use super::{
    Accepted, AuthAction, Conversation, Denied, Dialect, Incoming, MessageAction, Reaction,
    may_contain, message_credential,
};
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
/// A request without a credential is refused as ever; [`allow_pending`](Self::allow_pending) lets a client
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
    pub fn allow_pending(mut self) -> Self {
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
    fn on_message(&mut self, message: Incoming<'_>) -> Reaction<MessageAction> {
        let InBandRenewal {
            message_type,
            field,
            ..
        } = &self.dialect;
        let Incoming::Text(text) = message else {
            return MessageAction::Forward.into();
        };
        if !may_contain(text, message_type) {
            return MessageAction::Forward.into();
        }
        let Ok(Value::Object(mut object)) = serde_json::from_str(text) else {
            return MessageAction::Forward.into();
        };
        if object.get("type").and_then(Value::as_str) != Some(message_type) {
            return MessageAction::Forward.into();
        }
        match object.remove(&**field) {
            Some(Value::String(token)) if is_credential(&token) => {
                MessageAction::Verify(message_credential(token)).into()
            }
            _ => self.error(MessageAction::Consume, "the message contains no token"),
        }
    }

    fn on_verified(&mut self, outcome: Result<&Accepted, &Denied>) -> Reaction<AuthAction> {
        match outcome {
            Ok(accepted) if accepted.later => {
                let seconds = accepted.expires_in.as_secs();
                let reply = json!({ "type": &*self.dialect.message_type, "expires_in": seconds });
                Reaction::from(AuthAction::Continue).reply(reply.to_string())
            }
            Ok(_) => self.error(AuthAction::Continue, &RenewError::NotLater.to_string()),
            Err(Denied::NotRenewed(why)) => self.error(AuthAction::Retry, &why.to_string()),
            Err(Denied::Unverified(portcullis_core::VerifyError::Unavailable { .. })) => {
                self.error(AuthAction::Retry, "verifier unavailable")
            }
            Err(Denied::Unverified(_)) => self.error(AuthAction::Retry, "invalid token"),
        }
    }

    fn on_expiring(&mut self, after: Duration) -> Option<String> {
        let warning = json!({
            "type": &*self.dialect.message_type,
            "expiring_in": after.as_secs(),
        });
        Some(warning.to_string())
    }
}

impl Renewing {
    fn error<A>(&self, action: A, why: &str) -> Reaction<A> {
        let reply = json!({ "type": &*self.dialect.message_type, "error": why });
        Reaction::from(action).reply(reply.to_string())
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
            (r#"{"type":"auth"}"#, "consume"),
            (r#"{"type":"auth","token":7}"#, "consume"),
            (r#"{"type":"auth","token":""}"#, "consume"),
            (r#"{"type":"chat","token":"auth"}"#, "forward"),
            (r#"{"type":"chat"}"#, "forward"),
            (r#"["auth"]"#, "forward"),
            ("auth", "forward"),
            ("", "forward"),
        ];
        for (text, expected) in rows {
            let reaction = InBandRenewal::new()
                .begin(true)
                .on_message(Incoming::Text(text));
            let is = match reaction.action {
                MessageAction::Verify(_) => "verify",
                MessageAction::Consume => "consume",
                MessageAction::Forward => "forward",
                other => panic!("{text}: {other:?}"),
            };
            assert_eq!(is, expected, "{text}");
        }
        let binary = InBandRenewal::new()
            .begin(true)
            .on_message(Incoming::Binary(br#"{"type":"auth"}"#));
        assert!(matches!(binary.action, MessageAction::Forward));
    }
}
