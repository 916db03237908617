use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::first_message::is_credential;
use super::{
    Accepted, AuthAction, Conversation, Denied, Dialect, Incoming, MessageAction, Reaction,
    message_credential,
};
use crate::close::CloseFrame;

/// Authenticates clients of Meteor's DDP: `connect`, then the method `login` with
/// `{"resume":"<token>"}`.
///
/// The dialect answers `connect` with `connected`, and `login` with Meteor's result
/// `{id, token, tokenExpires}`. Clients use this token to log in again after a lost connection. An
/// invalid token is answered with Meteor's own error, "You've been logged out by the server. Please
/// log in again.", and the client may try twice more.
///
/// Before the login, other methods and subscriptions are answered with an error. After it, all
/// messages are the application's, except `ping` and another `login`, which renews the session.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Ddp;

impl Ddp {
    /// Creates the dialect for version 1 of the protocol, and for the drafts `pre1` and `pre2`, which
    /// some clients still request.
    pub fn new() -> Self {
        Self
    }
}

impl Dialect for Ddp {
    fn begin(&self, admitted: bool) -> Box<dyn Conversation> {
        Box::new(Meteor {
            is_connected: false,
            is_authenticated: admitted,
            login: None,
        })
    }
}

struct Meteor {
    is_connected: bool,
    is_authenticated: bool,
    login: Option<Login>,
}

/// The method call whose token is being verified.
struct Login {
    id: Value,
    token: Zeroizing<String>,
}

impl Conversation for Meteor {
    fn on_message(&mut self, message: Incoming<'_>) -> Reaction<MessageAction> {
        let parsed = match message {
            Incoming::Text(text) => serde_json::from_str(text).ok(),
            Incoming::Binary(_) => None,
        };
        let Some(Value::Object(message)) = parsed else {
            return error("Parse error");
        };
        let text = |name: &str| message.get(name).and_then(Value::as_str);
        match (text("msg"), self.is_connected) {
            (Some("connect"), false) => self.connect(text("version")),
            (Some("connect"), true) => error("Already connected"),
            (Some("ping"), _) => {
                let mut pong = json!({ "msg": "pong" });
                if let Some(id) = message.get("id") {
                    pong["id"] = id.clone();
                }
                reply(&pong)
            }
            (Some("pong"), _) => MessageAction::Consume.into(),
            (Some(_), false) => error("Must connect first"),
            (Some("method"), true) if text("method") == Some("login") => {
                let id = message.get("id").cloned().unwrap_or_default();
                let token = message.get("params").and_then(|it| it.pointer("/0/resume"));
                match token.and_then(Value::as_str) {
                    Some(token) if is_credential(token) => {
                        self.login = Some(Login {
                            id,
                            token: Zeroizing::new(token.to_owned()),
                        });
                        MessageAction::Verify(message_credential(token)).into()
                    }
                    _ => failed(
                        MessageAction::Consume,
                        &id,
                        400,
                        "Unrecognized options for login request",
                    ),
                }
            }
            (Some(_), true) if self.is_authenticated => MessageAction::Forward.into(),
            (Some("method"), true) => {
                let id = message.get("id").cloned().unwrap_or_default();
                failed(MessageAction::Consume, &id, 403, "Log in first")
            }
            (Some("sub"), true) => {
                let id = message.get("id").cloned().unwrap_or_default();
                let why = meteor_error(403, "Log in first");
                reply(&json!({ "msg": "nosub", "id": id, "error": why }))
            }
            (Some("unsub"), true) => MessageAction::Consume.into(),
            _ => error("Bad request"),
        }
    }

    fn on_verified(&mut self, outcome: Result<&Accepted, &Denied>) -> Reaction<AuthAction> {
        let Some(Login { id, token }) = self.login.take() else {
            return AuthAction::Continue.into();
        };
        match outcome {
            Ok(accepted) => {
                self.is_authenticated = true;
                let end = SystemTime::now() + accepted.expires_in.min(CENTURY);
                let end = end
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .unwrap_or_default();
                let result = json!({
                    "msg": "result",
                    "id": id,
                    "result": {
                        "id": &*accepted.subject,
                        "token": &**token,
                        "tokenExpires": { "$date": end.as_millis() as u64 },
                        "type": "resume",
                    },
                });
                Reaction::from(AuthAction::Continue)
                    .reply(result.to_string())
                    .reply(json!({ "msg": "updated", "methods": [id] }).to_string())
            }
            Err(_) => failed(
                AuthAction::Retry,
                &id,
                403,
                "You've been logged out by the server. Please log in again.",
            ),
        }
    }
}

impl Meteor {
    fn connect(&mut self, version: Option<&str>) -> Reaction<MessageAction> {
        if !version.is_some_and(|version| VERSIONS.contains(&version)) {
            // The client reconnects with this version, or not at all.
            let failed = json!({ "msg": "failed", "version": VERSIONS[0] });
            let close = MessageAction::Close(CloseFrame::new(1000, "version not supported"));
            return Reaction::from(close).reply(failed.to_string());
        }
        self.is_connected = true;
        let mut id = [0; 9];
        // The id is for the client's own use and protects nothing.
        let _ = getrandom::fill(&mut id);
        let id = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, id);
        reply(&json!({ "msg": "connected", "session": id }))
    }
}

fn reply(message: &Value) -> Reaction<MessageAction> {
    Reaction::from(MessageAction::Consume).reply(message.to_string())
}

fn error(reason: &str) -> Reaction<MessageAction> {
    reply(&json!({ "msg": "error", "reason": reason }))
}

/// Returns the two replies with which Meteor answers a method: its result, and that its writes are
/// done.
fn failed<A>(action: A, id: &Value, code: u16, reason: &str) -> Reaction<A> {
    let result = json!({ "msg": "result", "id": id, "error": meteor_error(code, reason) });
    let reaction = Reaction::from(action).reply(result.to_string());
    reaction.reply(json!({ "msg": "updated", "methods": [id] }).to_string())
}

fn meteor_error(code: u16, reason: &str) -> Value {
    json!({
        "isClientSafe": true,
        "error": code,
        "reason": reason,
        "message": format!("{reason} [{code}]"),
        "errorType": "Meteor.Error",
    })
}

/// The supported versions, the preferred one first.
const VERSIONS: [&str; 3] = ["1", "pre2", "pre1"];

/// A lifetime after which any date is out of the range that clients can show.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn respond(conversation: &mut dyn Conversation, text: &str) -> String {
        let reaction = conversation.on_message(Incoming::Text(text));
        match reaction.action {
            MessageAction::Verify(credential) => format!("verify {}", credential.expose_secret()),
            MessageAction::Forward => "forward".into(),
            MessageAction::Consume => reaction.replies.join(" "),
            MessageAction::Close(frame) => {
                format!("{} {}", reaction.replies.join(" "), frame.code())
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn login_sequence() {
        let mut conversation = Ddp::new().begin(false);
        let login = r#"{"msg":"method","method":"login","id":"1","params":[{"resume":"t"}]}"#;
        let connect = r#"{"msg":"connect","version":"1","support":["1"]}"#;
        let rows = [
            ("{", "Parse error"),
            (login, "Must connect first"),
            (
                r#"{"msg":"connect","version":"9"}"#,
                r#","version":"1"} 1000"#,
            ),
            (connect, r#""msg":"connected""#),
            (connect, "Already connected"),
            (r#"{"msg":"ping","id":"7"}"#, r#""id":"7""#),
            (r#"{"msg":"sub","id":"2","name":"x"}"#, "nosub"),
            (r#"{"msg":"method","method":"x","id":"3"}"#, "Log in first"),
            (
                r#"{"msg":"method","method":"login","id":"4","params":[{}]}"#,
                "Unrecognized options",
            ),
            ("{}", "Bad request"),
            (login, "verify t"),
        ];
        for (text, expected) in rows {
            let answer = respond(&mut *conversation, text);
            assert!(answer.contains(expected), "{text}: {answer}");
        }
        let denied = Denied::Unverified(portcullis_core::VerifyError::Invalid);
        let reaction = conversation.on_verified(Err(&denied));
        assert!(reaction.replies[0].contains("You've been logged out by the server"));
        assert!(reaction.replies[0].contains(r#""id":"1""#));
        assert!(matches!(reaction.action, AuthAction::Retry));
    }

    /// Clients use the token of the result to log in again after a lost connection.
    #[test]
    fn login_is_answered_with_the_result_of_meteor() {
        let mut conversation = Ddp::new().begin(false);
        respond(&mut *conversation, r#"{"msg":"connect","version":"1"}"#);
        let login = r#"{"msg":"method","method":"login","id":"1","params":[{"resume":"t"}]}"#;
        respond(&mut *conversation, login);
        let session = "AAAAAAAAAAAAAAAAAAAAAA".parse().unwrap();
        let accepted = Accepted::new("alice", session, Duration::from_secs(60));
        let reaction = conversation.on_verified(Ok(&accepted));
        let [result, updated] = &reaction.replies[..] else {
            panic!("{reaction:?}");
        };
        let result: Value = serde_json::from_str(result).unwrap();
        assert_eq!(result["id"], "1");
        assert_eq!(result["result"]["id"], "alice");
        assert_eq!(result["result"]["token"], "t");
        assert!(result["result"]["tokenExpires"]["$date"].is_u64());
        assert_eq!(
            *updated,
            json!({ "msg": "updated", "methods": ["1"] }).to_string()
        );
        assert!(!format!("{reaction:?}").contains("alice"));
        assert_eq!(respond(&mut *conversation, r#"{"msg":"sub"}"#), "forward");
    }
}
