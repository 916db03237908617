use serde_json::{Value, json};

use super::first_message::is_credential;
use super::{
    Accepted, AuthAction, Conversation, Denied, Dialect, Incoming, MessageAction, Reaction,
    message_credential,
};
use crate::close::{CloseCodes, CloseFrame};

/// Authenticates clients of FHIR's WebSocket channel for subscriptions.
///
/// | the client sends | specified by |
/// |---|---|
/// | `bind-with-token <token>`, with a colon or without | R5 and the Backport guide |
/// | `{"type":"bind-with-token","payload":{"token":…}}` | Medplum |
/// | `bind <id>` | STU3 and R4; forwarded on an authenticated socket |
///
/// For each accepted binding, the application receives `bind-with-token <name>` with the
/// [identifier](crate::Identity::token_id) of the token in place of the token, or with the subject
/// if the token has no identifier. The application responds with the handshake bundles, and to
/// `bind <id>` with `bound <id>`.
///
/// A socket can have several bindings. A binding that expires later than the session renews it, so
/// the session lasts until the last binding expires. If the first token of a socket is invalid, the
/// socket closes with 1002 and a reason. A later invalid token is answered with an
/// `OperationOutcome` and changes nothing. A token of another subject closes the socket.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Fhir;

impl Fhir {
    /// Creates the dialect with all of the forms above.
    pub fn new() -> Self {
        Self
    }
}

impl Dialect for Fhir {
    fn begin(&self, admitted: bool) -> Box<dyn Conversation> {
        Box::new(Binding { is_bound: admitted })
    }

    fn close_codes(&self) -> Option<CloseCodes> {
        Some(CloseCodes::fhir())
    }
}

struct Binding {
    /// The client is authenticated.
    is_bound: bool,
}

impl Conversation for Binding {
    fn on_message(&mut self, message: Incoming<'_>) -> Reaction<MessageAction> {
        let Incoming::Text(text) = message else {
            return match self.is_bound {
                true => MessageAction::Forward.into(),
                false => close("Invalid bind request - Not a text message"),
            };
        };
        match (bound_token(text), self.is_bound) {
            (Some(token), _) if is_credential(&token) => {
                MessageAction::Verify(message_credential(token)).into()
            }
            (Some(_), true) => {
                operation_outcome(MessageAction::Consume, "The binding has no token.")
            }
            (Some(_), false) => close("Invalid bind request - No token included"),
            (None, true) => MessageAction::Forward.into(),
            (None, false) if text.trim_start().starts_with("bind") => {
                close("Invalid bind request - This socket needs bind-with-token")
            }
            (None, false) => close("Unexpected client message"),
        }
    }

    fn on_verified(&mut self, outcome: Result<&Accepted, &Denied>) -> Reaction<AuthAction> {
        match outcome {
            Ok(accepted) => {
                self.is_bound = true;
                let name = accepted.token_id.as_ref().unwrap_or(&accepted.subject);
                AuthAction::Deliver(format!("bind-with-token {name}")).into()
            }
            Err(_) if self.is_bound => operation_outcome(
                AuthAction::Retry,
                "Token failed to validate. Check token expiry.",
            ),
            Err(denied) => match denied.frame(&CloseCodes::fhir()) {
                frame if frame.code() == CloseCodes::fhir().unavailable => {
                    AuthAction::Close(frame).into()
                }
                _ => {
                    let reason = "Invalid bind request - The token is not accepted";
                    let code = CloseCodes::fhir().unauthorized;
                    AuthAction::Close(CloseFrame::new(code, reason)).into()
                }
            },
        }
    }
}

/// Returns the token of a binding, in any of the forms; empty if it contains none.
fn bound_token(text: &str) -> Option<String> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("bind-with-token") {
        // Any white space counts: a forwarded message must not look like a verified binding.
        let ends = rest.is_empty() || rest.starts_with(|c: char| c == ':' || c.is_whitespace());
        let token = rest.trim_start().trim_start_matches(':').trim();
        return ends.then(|| token.to_owned());
    }
    if !text.starts_with('{') {
        return None;
    }
    let message: Value = serde_json::from_str(text).ok()?;
    if message.get("type")?.as_str()? != "bind-with-token" {
        return None;
    }
    let token = message.pointer("/payload/token").and_then(Value::as_str);
    Some(token.unwrap_or_default().to_owned())
}

fn close(reason: &'static str) -> Reaction<MessageAction> {
    MessageAction::Close(CloseFrame::new(CloseCodes::fhir().unauthorized, reason)).into()
}

fn operation_outcome<A>(action: A, text: &str) -> Reaction<A> {
    let outcome = json!({
        "resourceType": "OperationOutcome",
        "issue": [{ "severity": "error", "code": "login", "details": { "text": text } }],
    });
    Reaction::from(action).reply(outcome.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_a_binding_are_parsed() {
        let rows = [
            ("bind-with-token abc", Some("abc")),
            ("bind-with-token: abc", Some("abc")),
            ("bind-with-token:abc", Some("abc")),
            ("  bind-with-token \t abc \r\n", Some("abc")),
            (
                r#"{"type":"bind-with-token","payload":{"token":"abc"}}"#,
                Some("abc"),
            ),
            (r#"{"type":"bind-with-token","payload":{}}"#, Some("")),
            ("bind-with-token", Some("")),
            ("bind-with-token\u{a0}abc", Some("abc")),
            ("\u{2003}bind-with-token\u{b}abc", Some("abc")),
            ("bind-with-tokenabc", None),
            ("bind 123", None),
            (r#"{"type":"ping"}"#, None),
            ("{", None),
        ];
        for (text, token) in rows {
            assert_eq!(bound_token(text).as_deref(), token, "{text}");
        }
    }

    #[test]
    fn binding_by_id_does_not_authenticate() {
        let alone = Fhir::new()
            .begin(false)
            .on_message(Incoming::Text("bind 123"));
        assert!(matches!(alone.action, MessageAction::Close(frame) if frame.code() == 1002));
        let admitted = Fhir::new()
            .begin(true)
            .on_message(Incoming::Text("bind 123"));
        assert!(matches!(admitted.action, MessageAction::Forward));
    }
}
