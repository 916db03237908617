use std::time::Duration;

use serde_json::{Value, json};

use super::first_message::is_credential;
use super::{
    Accepted, AuthAction, Conversation, Denied, Dialect, Incoming, MessageAction, Reaction,
    may_contain, message_credential,
};
use crate::session::RenewError;

/// Renews the credential of an open socket in band, with a JSON message.
///
/// ```json
/// → {"type":"auth","token":"…"}
/// ← {"type":"auth","expires_in":3600}
/// ```
///
/// A token that does not renew the session is answered with `{"type":"auth","error":"…"}`, and the
/// session continues. A token of another subject closes it. With
/// [`warn_before`](crate::session::SessionsBuilder::warn_before), the client receives
/// `{"type":"auth","expiring_in":60}` in time. All other messages are the application's.
///
/// ```
/// use portcullis::dialect::InBandRenewal;
///
/// InBandRenewal::new();
/// // {"type":"renew","access_token":"…"}
/// InBandRenewal::new().message_type("renew").field("access_token");
/// ```
///
/// The handshake needs a credential, unless [`allow_pending`](Self::allow_pending) lets clients send
/// it in the first message.
#[derive(Clone, Debug)]
pub struct InBandRenewal {
    message_type: Box<str>,
    field: Box<str>,
    admits_pending: bool,
}

impl InBandRenewal {
    /// Creates the dialect for messages of the form `{"type":"auth","token":…}`.
    pub fn new() -> Self {
        Self {
            message_type: "auth".into(),
            field: "token".into(),
            admits_pending: false,
        }
    }

    /// Sets the `type` of the messages; `auth` by default.
    #[must_use]
    pub fn message_type(mut self, name: impl Into<Box<str>>) -> Self {
        self.message_type = name.into();
        self
    }

    /// Sets the field that contains the token; `token` by default.
    #[must_use]
    pub fn field(mut self, name: impl Into<Box<str>>) -> Self {
        self.field = name.into();
        self
    }

    /// Admits upgrades without a credential as pending. Their first message has to contain one.
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
    fn only_messages_of_its_type_are_consumed() {
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
